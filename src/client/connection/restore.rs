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

use forebay_wire::ShortStr;
use tokio::time::{Instant, sleep_until};

use crate::{
    Address, ConnectionState, ConsumeError, Error, Fault, Loss, Missing,
    backoff::Backoff,
    connection::channel_setup::set_up,
    connection::record::Step,
    connection::shared::Shared,
    limits::{EXCLUSIVE_WAIT_MAX, HELD_RETRY_MAX},
    session::channel::{Answer, CONTROL, Channel, ControlPermit, Role, Stage},
    session::{Link, Session},
};

/// After a reconnection: topology first, then channels. Afterwards, for as long as the connection
/// lives, channels that the broker closed and what it still postpones. Ends only when the broker
/// makes the restoration impossible; dropped by the supervisor when the connection is lost.
pub(crate) async fn run(shared: &Shared, address: Address) -> Loss {
    let (first, longest) = shared.options.backoff;
    let mut restoration = Restoration {
        shared,
        address,
        missing: Vec::new(),
        locked: Vec::new(),
        postponed: Vec::new(),
        retry: Backoff::new(first, longest.min(HELD_RETRY_MAX)),
        retry_at: Instant::now(),
        failed: HashMap::new(),
        repairs: Vec::new(),
    };
    let error = match restoration.restore().await {
        Ok(()) => restoration.repair_until_lost().await,
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
struct LockedQueue {
    step: Step,
    since: Instant,
}

/// A consumer that waits for such a queue, or for the end of its exclusive predecessor.
struct PostponedConsumer {
    number: u16,
    tag: ShortStr,
    since: Instant,
    fault: Fault,
}

struct Restoration<'a> {
    shared: &'a Shared,
    address: Address,
    missing: Vec<Missing>,
    locked: Vec<LockedQueue>,
    postponed: Vec<PostponedConsumer>,
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
            let permit = self.shared.control_permit().await?;
            let consumed = consumed_queues(self.shared);
            let steps = self.shared.record().steps(&consumed);
            for step in steps {
                self.declare(step, &permit).await?;
            }
            let steps = self.shared.record().binding_steps();
            for step in steps {
                if !self.locked.iter().any(|locked| locked.step.queue == step.queue) {
                    self.declare(step, &permit).await?;
                }
            }
        }
        self.shared.with(|session| session.is_restored = true);
        self.publish_state();
        for number in channels_to_restore(self.shared) {
            self.restore_channel(number).await?;
        }
        self.retry_at = Instant::now() + self.retry.next_wait();
        Ok(())
    }

    fn publish_state(&self) {
        let address = self.address.clone();
        self.shared.state.send_replace(if self.missing.is_empty() {
            ConnectionState::Up(address)
        } else {
            ConnectionState::Partial { address, missing: self.missing.clone().into() }
        });
    }

    async fn declare(&mut self, step: Step, permit: &ControlPermit) -> Result<(), Error> {
        if let Some(fault) = step.fatal.clone() {
            self.note_missing(&step, fault, false);
            return Ok(());
        }
        match self.shared.control_with_permit(step.method.clone(), permit).await {
            Ok(Answer::Method(answer)) => self.shared.record().handle_restored(&step, &answer),
            Ok(Answer::Pulled) => {}
            Err(Error::Refused { request, fault }) => {
                if is_lost(self.shared) {
                    // It ended the connection, and would end the next one too.
                    self.shared.record().handle_fatal(&step, &fault);
                    return Err(Error::Refused { request, fault });
                }
                let is_locked = fault.is_locked() && step.is_queue();
                if is_locked {
                    tracing::debug!(request, name = step.name, %fault, "a queue of the lost connection is still locked");
                } else {
                    tracing::warn!(request, name = step.name, %fault, "a declaration was refused after reconnecting");
                }
                self.note_missing(&step, fault, is_locked);
                if is_locked {
                    self.locked.push(LockedQueue { step, since: Instant::now() });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn note_missing(&mut self, step: &Step, fault: Fault, is_awaited: bool) {
        let (request, name) = (step.method.name(), step.name.clone());
        self.missing.push(Missing { request, name, fault, is_awaited });
    }

    /// Sets a channel up, or leaves it to later, or ends its consumer.
    async fn restore_channel(&mut self, number: u16) -> Result<(), Error> {
        let spec = self.shared.with(|session| {
            session.channel(number).and_then(Channel::inbox).map(|inbox| inbox.spec.clone())
        });
        let of_consumer = spec.as_ref().map(|spec| &spec.queue);
        let locked = self.locked.iter().find(|locked| locked.step.queue.as_ref() == of_consumer);
        if let (Some(spec), Some(locked)) = (&spec, locked) {
            let fault = self.fault_of(locked);
            self.postpone(number, spec.tag.clone(), locked.since, fault);
            return Ok(());
        }
        match set_up(self.shared, number).await {
            Ok(()) => drop(self.failed.remove(&number)),
            Err(error) if is_lost(self.shared) => return Err(error),
            Err(Error::Refused { fault, .. }) => match spec {
                Some(spec) if is_taken(&fault) => {
                    self.postpone(number, spec.tag, Instant::now(), fault);
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

    fn fault_of(&self, locked: &LockedQueue) -> Fault {
        let missing = self.missing.iter().find(|missing| missing.name == locked.step.name);
        missing.map(|missing| missing.fault.clone()).unwrap_or_default()
    }

    fn postpone(&mut self, number: u16, tag: ShortStr, since: Instant, fault: Fault) {
        tracing::debug!(channel = number, %fault, "waiting for the end of the connection before");
        self.postponed.push(PostponedConsumer { number, tag, since, fault });
    }

    /// The broker closed the channel once more, which asks for its repair; see [`Self::repair_until_lost`].
    fn note_failure(&mut self, number: u16, fault: &Fault) {
        tracing::warn!(channel = number, %fault, "a channel could not be opened again; trying again");
        let (first, longest) = self.shared.options.backoff;
        self.failed.entry(number).or_insert_with(|| Backoff::new(first, longest));
    }

    /// Repairs channels and asks for what was postponed, until that is impossible.
    async fn repair_until_lost(&mut self) -> Error {
        loop {
            let is_locked = !self.locked.is_empty() || !self.postponed.is_empty();
            let retry_at = is_locked.then_some(self.retry_at);
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
            self.retry_postponed().await?;
            self.retry_at = Instant::now() + self.retry.next_wait();
        }
        Ok(())
    }

    async fn retry_postponed(&mut self) -> Result<(), Error> {
        let before = self.missing.clone();
        for locked in mem::take(&mut self.locked) {
            self.retry_queue(locked).await?;
        }
        for waiting in mem::take(&mut self.postponed) {
            if is_waiting(self.shared, &waiting) {
                if waiting.since.elapsed() < EXCLUSIVE_WAIT_MAX {
                    let PostponedConsumer { number, since, .. } = waiting;
                    self.restore_channel(number).await?;
                    if let Some(again) = self.postponed.last_mut()
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
            self.publish_state();
        }
        Ok(())
    }

    /// Asks for a queue again, and for its bindings once it is there.
    async fn retry_queue(&mut self, locked: LockedQueue) -> Result<(), Error> {
        let permit = self.shared.control_permit().await?;
        let at = self.missing.iter().position(|missing| missing.name == locked.step.name);
        let before = at.map(|at| self.missing.remove(at));
        if !self.shared.record().has_queue(locked.step.queue.as_ref()) {
            return Ok(());
        }
        let LockedQueue { step, since } = locked;
        let queue = step.queue.clone();
        self.declare(step, &permit).await?;
        match self.locked.last_mut().filter(|locked| locked.step.queue == queue) {
            Some(locked) => {
                locked.since = since;
                if since.elapsed() >= EXCLUSIVE_WAIT_MAX {
                    self.locked.pop();
                    if let Some(missing) = self.missing.last_mut() {
                        missing.is_awaited = false;
                    }
                }
            }
            None if before.is_some() => {
                let steps = self.shared.record().binding_steps();
                for step in steps.into_iter().filter(|step| step.queue == queue) {
                    self.declare(step, &permit).await?;
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

fn is_waiting(shared: &Shared, waiting: &PostponedConsumer) -> bool {
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
