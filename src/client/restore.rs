//! After a reconnection: declaring again what was declared, and setting up channels again.
//!
//! Runs beside the driver: it asks and waits like any other user of the session. A refusal concerns
//! the one declaration or consumer alone. What the lost connection still holds at the broker (an
//! exclusive queue, the only place at one) is asked for again in the background, so everything else
//! goes on at once. A new loss of the connection ends the whole attempt, and the next connection
//! starts it again.

use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    mem,
    task::Poll,
};

use forebay_wire::{Method, ShortStr};
use tokio::time::{Instant, sleep_until};

use crate::{
    Address, ConnectionState, ConsumeError, Error, Fault, Loss, Missing,
    backoff::Backoff,
    channel::{Answer, Channel, Role, Stage, Turn},
    channel_setup::set_up,
    limits::{EXCLUSIVE_WAIT_MAX, HELD_RETRY_MAX},
    record::Step,
    session::{Link, Session},
    shared::Shared,
};

/// The channel for declarations.
pub(crate) const CONTROL: u16 = 1;

pub(crate) fn expect_method(answer: Answer) -> Result<Method, Error> {
    match answer {
        Answer::Method(method) => Ok(method),
        Answer::Pulled => Err(Error::Unexpected { request: "a request", found: "basic.get-ok" }),
    }
}

/// After a reconnection: topology first, then channels. Afterwards, for as long as the connection
/// lives, channels that the broker closed and what it still held back. Ends only when the broker
/// makes the restoration impossible; dropped by the supervisor when the connection is lost.
pub(crate) async fn run(shared: &Shared, address: Address) -> Loss {
    let (first, longest) = shared.options.backoff;
    let mut restoration = Restoration {
        shared,
        address,
        missing: Vec::new(),
        held: Vec::new(),
        held_back: Vec::new(),
        retry: Backoff::new(first, longest.min(HELD_RETRY_MAX)),
        retry_at: Instant::now(),
        failed: HashMap::new(),
        repairs: Vec::new(),
    };
    let error = match restoration.restore().await {
        Ok(()) => restoration.go_on().await,
        Err(error) => error,
    };
    if is_lost(shared) {
        // The driver is about to notice, or the program closes the connection.
        std::future::pending::<()>().await;
    }
    match error {
        Error::Refused { fault, .. } => Loss::Server(fault),
        other => Loss::Protocol(other.to_string().into()),
    }
}

fn is_lost(shared: &Shared) -> bool {
    shared.with(|session| session.loss.is_some() || !matches!(session.link, Link::Up))
}

/// A queue that the broker keeps for the connection before this one.
struct Held {
    step: Step,
    since: Instant,
}

/// A consumer that waits for such a queue, or for the end of its exclusive predecessor.
struct HeldBack {
    number: u16,
    tag: ShortStr,
    since: Instant,
    fault: Fault,
}

struct Restoration<'a> {
    shared: &'a Shared,
    address: Address,
    missing: Vec<Missing>,
    held: Vec<Held>,
    held_back: Vec<HeldBack>,
    retry: Backoff,
    retry_at: Instant,
    /// Channels that could not be opened again at the last attempt.
    failed: HashMap<u16, Backoff>,
    /// When to try those again.
    repairs: Vec<(Instant, u16)>,
}

impl Restoration<'_> {
    async fn restore(&mut self) -> Result<(), Error> {
        {
            let turn = self.shared.turn().await?;
            let consumed = consumed_queues(self.shared);
            let steps = self.shared.record().steps(&consumed);
            for step in steps {
                self.declare(step, &turn).await?;
            }
            let steps = self.shared.record().binding_steps();
            for step in steps {
                if !self.held.iter().any(|held| held.step.queue == step.queue) {
                    self.declare(step, &turn).await?;
                }
            }
        }
        self.shared.with(|session| session.is_restored = true);
        self.tell();
        for number in channels_to_restore(self.shared) {
            self.restore_channel(number).await?;
        }
        self.retry_at = Instant::now() + self.retry.next_wait();
        Ok(())
    }

    fn tell(&self) {
        let address = self.address.clone();
        self.shared.state.send_replace(if self.missing.is_empty() {
            ConnectionState::Up(address)
        } else {
            ConnectionState::Partial { address, missing: self.missing.clone().into() }
        });
    }

    async fn declare(&mut self, step: Step, turn: &Turn) -> Result<(), Error> {
        if let Some(fault) = step.fatal.clone() {
            self.miss(&step, fault, false);
            return Ok(());
        }
        match self.shared.control_in_turn(step.method.clone(), turn).await {
            Ok(Answer::Method(answer)) => self.shared.record().handle_restored(&step, &answer),
            Ok(Answer::Pulled) => {}
            Err(Error::Refused { request, fault }) => {
                if is_lost(self.shared) {
                    // It ended the connection, and would end the next one too.
                    self.shared.record().handle_fatal(&step, &fault);
                    return Err(Error::Refused { request, fault });
                }
                let is_held = fault.is_locked() && step.is_queue();
                if is_held {
                    tracing::debug!(request, name = step.name, %fault, "a queue of the lost connection is still locked");
                } else {
                    tracing::warn!(request, name = step.name, %fault, "a declaration was refused after reconnecting");
                }
                self.miss(&step, fault, is_held);
                if is_held {
                    self.held.push(Held { step, since: Instant::now() });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn miss(&mut self, step: &Step, fault: Fault, is_awaited: bool) {
        let (request, name) = (step.method.name(), step.name.clone());
        self.missing.push(Missing { request, name, fault, is_awaited });
    }

    /// Sets a channel up, or leaves it to later, or ends its consumer.
    async fn restore_channel(&mut self, number: u16) -> Result<(), Error> {
        let spec = self.shared.with(|session| {
            session.channel(number).and_then(Channel::inbox).map(|inbox| inbox.spec.clone())
        });
        let of_consumer = spec.as_ref().map(|spec| &spec.queue);
        let held = self.held.iter().find(|held| held.step.queue.as_ref() == of_consumer);
        if let (Some(spec), Some(held)) = (&spec, held) {
            let fault = self.fault_of(held);
            self.hold_back(number, spec.tag.clone(), held.since, fault);
            return Ok(());
        }
        match set_up(self.shared, number).await {
            Ok(()) => drop(self.failed.remove(&number)),
            Err(error) if is_lost(self.shared) => return Err(error),
            Err(Error::Refused { fault, .. }) => match spec {
                Some(spec) if is_taken(&fault) => {
                    self.hold_back(number, spec.tag, Instant::now(), fault);
                }
                Some(_) => end_consumer(self.shared, number, fault),
                None => self.note_failure(number, &fault),
            },
            Err(error) => {
                tracing::warn!(channel = number, %error, "a channel was closed while it was opened");
            }
        }
        Ok(())
    }

    fn fault_of(&self, held: &Held) -> Fault {
        let missing = self.missing.iter().find(|missing| missing.name == held.step.name);
        missing.map(|missing| missing.fault.clone()).unwrap_or_default()
    }

    fn hold_back(&mut self, number: u16, tag: ShortStr, since: Instant, fault: Fault) {
        tracing::debug!(channel = number, %fault, "waiting for the end of the connection before");
        self.held_back.push(HeldBack { number, tag, since, fault });
    }

    /// The broker closed the channel once more, which asks for its repair; see [`Self::go_on`].
    fn note_failure(&mut self, number: u16, fault: &Fault) {
        tracing::warn!(channel = number, %fault, "a channel could not be opened again; trying again");
        let (first, longest) = self.shared.options.backoff;
        self.failed.entry(number).or_insert_with(|| Backoff::new(first, longest));
    }

    /// Repairs channels and asks for what was held back, until that is impossible.
    async fn go_on(&mut self) -> Error {
        loop {
            let is_held = !self.held.is_empty() || !self.held_back.is_empty();
            let retry_at = is_held.then_some(self.retry_at);
            let repair_at = self.repairs.iter().map(|(at, _)| *at).min();
            let due = retry_at.into_iter().chain(repair_at).min();
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let done = tokio::select! {
                number = next_repair(self.shared) => self.repair(number).await,
                () = wake => self.handle_due().await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn repair(&mut self, number: u16) -> Result<(), Error> {
        match self.failed.get_mut(&number) {
            Some(backoff) => {
                self.repairs.push((Instant::now() + backoff.next_wait(), number));
                Ok(())
            }
            None => self.restore_channel(number).await,
        }
    }

    async fn handle_due(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let repairs = mem::take(&mut self.repairs).into_iter();
        let (due, later): (Vec<_>, Vec<_>) = repairs.partition(|(at, _)| *at <= now);
        self.repairs = later;
        for (_, number) in due {
            let is_closed = |channel: &mut Channel| matches!(channel.stage, Stage::Closed(_));
            if self.shared.with(|session| session.channel(number).is_some_and(is_closed)) {
                self.restore_channel(number).await?;
            } else {
                self.failed.remove(&number);
            }
        }
        if self.retry_at <= now {
            self.retry_held().await?;
            self.retry_at = Instant::now() + self.retry.next_wait();
        }
        Ok(())
    }

    async fn retry_held(&mut self) -> Result<(), Error> {
        let before = self.missing.clone();
        for held in mem::take(&mut self.held) {
            self.retry_queue(held).await?;
        }
        for waiting in mem::take(&mut self.held_back) {
            if is_waiting(self.shared, &waiting) {
                if waiting.since.elapsed() < EXCLUSIVE_WAIT_MAX {
                    let HeldBack { number, since, .. } = waiting;
                    self.restore_channel(number).await?;
                    if let Some(again) = self.held_back.last_mut()
                        && again.number == number
                    {
                        again.since = since;
                    }
                } else {
                    end_consumer(self.shared, waiting.number, waiting.fault);
                }
            }
        }
        if self.missing != before {
            self.tell();
        }
        Ok(())
    }

    /// Asks for a queue again, and for its bindings once it is there.
    async fn retry_queue(&mut self, held: Held) -> Result<(), Error> {
        let turn = self.shared.turn().await?;
        let at = self.missing.iter().position(|missing| missing.name == held.step.name);
        let before = at.map(|at| self.missing.remove(at));
        if !self.shared.record().has_queue(held.step.queue.as_ref()) {
            return Ok(());
        }
        let Held { step, since } = held;
        let queue = step.queue.clone();
        self.declare(step, &turn).await?;
        match self.held.last_mut().filter(|held| held.step.queue == queue) {
            Some(held) => {
                held.since = since;
                if since.elapsed() >= EXCLUSIVE_WAIT_MAX {
                    self.held.pop();
                    if let Some(missing) = self.missing.last_mut() {
                        missing.is_awaited = false;
                    }
                }
            }
            None if before.is_some() => {
                let steps = self.shared.record().binding_steps();
                for step in steps.into_iter().filter(|step| step.queue == queue) {
                    self.declare(step, &turn).await?;
                }
            }
            None => {}
        }
        Ok(())
    }
}

/// The next channel whose setting up is owed.
async fn next_repair(shared: &Shared) -> u16 {
    poll_fn(|context| {
        shared.with(|session| match session.repairs.pop() {
            Some(number) => Poll::Ready(number),
            None => {
                session.restorer = Some(context.waker().clone());
                Poll::Pending
            }
        })
    })
    .await
}

/// Whether a consumer was refused because of another one that may be its own predecessor.
fn is_taken(fault: &Fault) -> bool {
    fault.is_locked() || (fault.is_access_refused() && fault.text.contains("exclusive"))
}

fn is_waiting(shared: &Shared, waiting: &HeldBack) -> bool {
    shared.with(|session| {
        session.channel(waiting.number).is_some_and(|channel| {
            let is_idle = matches!(channel.stage, Stage::Fresh | Stage::Closed(_));
            let inbox = channel.inbox();
            is_idle
                && inbox.is_some_and(|inbox| inbox.end.is_none() && inbox.spec.tag == waiting.tag)
        })
    })
}

fn end_consumer(shared: &Shared, number: u16, fault: Fault) {
    tracing::warn!(channel = number, %fault, "a consumer could not be restored");
    shared.with(|session| {
        let mut wakes = mem::take(&mut session.wakes);
        if let Some(inbox) = session.channel(number).and_then(Channel::inbox) {
            let queue = inbox.spec.queue.to_string();
            inbox.finish(Some(ConsumeError::Refused { queue, fault }), &mut wakes);
        }
        session.wakes = wakes;
    });
}

fn consumed_queues(shared: &Shared) -> HashSet<ShortStr> {
    shared.with(|session| {
        let inboxes = session.channels.iter_mut().flatten().filter_map(Channel::inbox);
        let consumed = inboxes.filter(|inbox| inbox.end.is_none());
        consumed.map(|inbox| inbox.spec.queue.clone()).collect()
    })
}

fn channels_to_restore(shared: &Shared) -> Vec<u16> {
    shared.with(|session| {
        let last = u16::try_from(session.channels.len()).unwrap_or(u16::MAX);
        let is_due = |session: &mut Session, number: &u16| {
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
