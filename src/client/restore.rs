//! Setting up channels, the first time and after a reconnection; declaring again what was declared.
//!
//! Runs beside the driver: it asks and waits like any other user of the session. A refusal ends the
//! one consumer that it concerns; a new loss of the connection ends the whole attempt, and the next
//! connection starts it again.

use std::{future::poll_fn, task::Poll};

use forebay_wire::{
    Method,
    method::{BasicConsume, BasicQos, ChannelOpen, ConfirmSelect},
};

use tokio::time::{Instant, sleep};

use crate::{
    Address, ConnectionState, ConsumeError, Error, Loss,
    backoff::Backoff,
    channel::{Answer, Channel, Role, Stage, Turn},
    inbox::ConsumeSpec,
    limits::EXCLUSIVE_WAIT_MAX,
    record::Step,
    shared::Shared,
};

/// The channel for declarations.
pub(crate) const CONTROL: u16 = 1;

/// What a role needs at the broker.
enum Need {
    Nothing,
    Confirms,
    Consumer(ConsumeSpec),
}

pub(crate) fn expect_method(answer: Answer) -> Result<Method, Error> {
    match answer {
        Answer::Method(method) => Ok(method),
        Answer::Content(_) => {
            Err(Error::Unexpected { request: "a request", found: "basic.get-ok" })
        }
    }
}

/// Opens a channel and brings it to what its role needs.
pub(crate) async fn set_up(shared: &Shared, number: u16) -> Result<(), Error> {
    let (epoch, need) = shared.with(|session| {
        let need = match session.channel(number).map(|channel| &channel.role) {
            Some(Role::Publisher(_)) => Need::Confirms,
            Some(Role::Consumer(inbox)) => Need::Consumer(inbox.spec.clone()),
            _ => Need::Nothing,
        };
        (session.epoch(number), need)
    });
    shared.request(number, ChannelOpen {}).await?;
    match need {
        Need::Nothing => {}
        Need::Confirms => {
            shared.request(number, ConfirmSelect { no_wait: false }).await?;
        }
        Need::Consumer(spec) => {
            let qos = BasicQos { prefetch_size: 0, prefetch_count: spec.prefetch, global: false };
            shared.request(number, qos).await?;
            let queue = shared.record().present_name(&spec.queue);
            let consume = BasicConsume {
                queue,
                consumer_tag: spec.tag,
                no_local: false,
                no_ack: spec.is_no_ack,
                exclusive: spec.is_exclusive,
                no_wait: false,
                arguments: spec.arguments,
            };
            shared.request(number, consume).await?;
        }
    }
    if shared.with(|session| session.handle_ready(number, epoch)) {
        Ok(())
    } else {
        Err(Error::Lost { request: "channel.open", loss: Loss::EndOfStream })
    }
}

/// After a reconnection: topology first, then channels. Afterwards, for as long as the connection
/// lives, channels that the broker closed. Never ends; dropped by the supervisor.
pub(crate) async fn run(shared: &Shared, address: Address) {
    if restore(shared, address).await.is_err() {
        // Lost again: the supervisor is about to notice.
        std::future::pending::<()>().await;
    }
    loop {
        let number = poll_fn(|context| {
            shared.with(|session| match session.repairs.pop() {
                Some(number) => Poll::Ready(number),
                None => {
                    session.restorer.push(context.waker());
                    Poll::Pending
                }
            })
        })
        .await;
        if let Err(error) = set_up(shared, number).await {
            tracing::warn!(channel = number, %error, "a channel could not be opened again");
        }
    }
}

async fn restore(shared: &Shared, address: Address) -> Result<(), Error> {
    {
        let turn = shared.turn().await?;
        let steps = shared.record().steps();
        declare(shared, &turn, steps).await?;
        let steps = shared.record().binding_steps();
        declare(shared, &turn, steps).await?;
    }
    shared.with(|session| session.is_restored = true);
    shared.state.send_replace(ConnectionState::Up(address));
    for number in channels_to_restore(shared) {
        match set_up(shared, number).await {
            Ok(()) => {}
            Err(Error::Refused { fault, .. }) => {
                tracing::warn!(channel = number, %fault, "a channel could not be restored");
                shared.with(|session| {
                    let mut wakes = std::mem::take(&mut session.wakes);
                    if let Some(inbox) = session.channel(number).and_then(Channel::inbox) {
                        let queue = inbox.spec.queue.to_string();
                        inbox.finish(Some(ConsumeError::Refused { queue, fault }), &mut wakes);
                    }
                    session.wakes = wakes;
                });
            }
            Err(lost) => return Err(lost),
        }
    }
    Ok(())
}

async fn declare(shared: &Shared, turn: &Turn, steps: Vec<Step>) -> Result<(), Error> {
    for step in steps {
        match declare_one(shared, turn, &step.method).await {
            Ok(Answer::Method(answer)) => shared.record().handle_restored(&step, &answer),
            Ok(Answer::Content(_)) => {}
            Err(Error::Refused { request, fault }) => {
                tracing::warn!(request, %fault, "a declaration was refused after reconnecting");
            }
            Err(lost) => return Err(lost),
        }
    }
    Ok(())
}

/// An exclusive queue belongs to the connection before this one until the broker misses that: then
/// it is asked again.
async fn declare_one(shared: &Shared, turn: &Turn, method: &Method) -> Result<Answer, Error> {
    let begin = Instant::now();
    let (first, longest) = shared.options.backoff;
    let mut backoff = Backoff::new(first, longest);
    loop {
        let answer = shared.control_in_turn(method.clone(), turn).await;
        match &answer {
            Err(Error::Refused { request, fault })
                if fault.is_locked() && begin.elapsed() < EXCLUSIVE_WAIT_MAX =>
            {
                tracing::debug!(request, %fault, "waiting for the end of the connection before");
                sleep(backoff.next_wait()).await;
            }
            _ => return answer,
        }
    }
}

fn channels_to_restore(shared: &Shared) -> Vec<u16> {
    shared.with(|session| {
        let last = u16::try_from(session.channels.len()).unwrap_or(u16::MAX);
        let is_due = |session: &mut crate::session::Session, number: &u16| {
            session.channel(*number).is_some_and(|channel| {
                let is_wanted = match &channel.role {
                    Role::Control => false,
                    Role::Consumer(inbox) => inbox.end.is_none(),
                    _ => true,
                };
                is_wanted && channel.was_ready && channel.stage == Stage::Fresh
            })
        };
        (CONTROL + 1..=last).filter(|number| is_due(session, number)).collect()
    })
}
