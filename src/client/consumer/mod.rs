//! Consumers: a stream of deliveries that goes on over reconnections.

pub(crate) mod delivery;
pub(crate) mod puller;

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use forebay_wire::{
    FieldValue, ShortStr,
    method::{BasicCancel, BasicRecover},
};
use futures_core::Stream;

use crate::{
    ConsumeError, Delivery, Error,
    connection::{lease::Lease, shared::Handle},
    name::Name,
    session::channel::{Channel, Role, Stage},
    session::inbox::{ConsumeSpec, Delivered, Inbox},
    session::{Session, channel},
};

/// A consumer to be started: its queue and its options. Made by [`crate::Connection::consume`].
#[derive(Clone, Debug)]
#[must_use = "the consumer begins with `start`"]
pub struct Consume {
    handle: Arc<Handle>,
    spec: ConsumeSpec,
    fault: Option<Error>,
}

impl Consume {
    pub(crate) fn new(handle: Arc<Handle>, queue: Result<ShortStr, Error>) -> Self {
        let (queue, fault) = match queue {
            Ok(queue) => (queue, None),
            Err(error) => (ShortStr::EMPTY, Some(error)),
        };
        Self { handle, spec: ConsumeSpec::of(queue), fault }
    }

    /// Deliveries that may be unsettled before the broker waits; 0 means no limit, and then at most 8 MiB
    /// are read ahead ([`crate::limits::READ_AHEAD_SIZE_MAX`]). Default: 64
    /// ([`crate::limits::PREFETCH_DEFAULT`]).
    pub fn prefetch(mut self, deliveries: u16) -> Self {
        self.spec.prefetch = deliveries;
        self
    }

    /// The name of the consumer in the broker's lists (consumer tag), 255 bytes at most. Default: a random
    /// one.
    pub fn tag(mut self, tag: impl Name) -> Self {
        match tag.into_short_str("consumer tag") {
            Ok(tag) => self.spec.tag = tag,
            Err(error) => self.fault = Some(error),
        }
        self
    }

    /// Messages count as done when they are sent: what is on the way when the connection breaks is
    /// lost, and the prefetch limit does not hold. Settling a delivery then has no effect.
    pub fn no_ack(mut self) -> Self {
        self.spec.is_no_ack = true;
        self
    }

    /// No other consumer may have the queue (`exclusive`).
    pub fn exclusive(mut self) -> Self {
        self.spec.is_exclusive = true;
        self
    }

    /// Consumers with a higher priority are served first (`x-priority`). Default: 0.
    pub fn priority(self, priority: i32) -> Self {
        self.argument("x-priority", priority)
    }

    /// How long it may hold a message, from the delivery of its oldest one, its last settlement or
    /// [`Delivery::extend`]; what it holds longer goes to another consumer (`x-lease`). Milliseconds count.
    /// Brokers other than Forebay know no such argument. Default: what the queue says, 30 minutes.
    pub fn lease(self, limit: Duration) -> Self {
        let milliseconds = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        self.argument("x-lease", milliseconds)
    }

    /// Any other argument of `basic.consume`.
    pub fn argument(mut self, name: impl Name, value: impl Into<FieldValue>) -> Self {
        match name.into_short_str("argument name") {
            Ok(name) => drop(self.spec.arguments.insert(name, value)),
            Err(error) => self.fault = Some(error),
        }
        self
    }

    /// What tells its queue from those of others: vhost and name.
    pub(crate) fn scope(&self) -> [&[u8]; 2] {
        [self.handle.0.options.vhost.as_bytes(), self.spec.queue.as_bytes()]
    }

    pub(crate) fn prefetch_at_least(mut self, deliveries: u16) -> Self {
        if self.spec.prefetch != 0 {
            self.spec.prefetch = self.spec.prefetch.max(deliveries);
        }
        self
    }

    /// Starts the consumer.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when there is no such queue, 403 when another consumer has it
    /// exclusively; [`Error::Closed`], [`Error::GivenUp`], [`Error::NoChannelLeft`],
    /// [`Error::NameTooLong`].
    pub async fn start(self) -> Result<Consumer, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let is_no_ack = self.spec.is_no_ack;
        let (tag, queue) = (self.spec.tag.clone(), self.spec.queue.clone());
        let lease = Lease::open(&self.handle, Role::Consumer(Inbox::new(self.spec))).await?;
        let (epochs, taken) = (0, VecDeque::new());
        Ok(Consumer { lease, tag, queue, is_no_ack, taken, epoch: 0, epochs, is_ended: false })
    }
}

/// A stream of deliveries from one queue.
///
/// ```no_run
/// # async fn example(connection: forebay_client::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer = connection.consume("orders").prefetch(100).start().await?;
/// while let Some(delivery) = consumer.next().await {
///     let delivery = delivery?;
///     println!("{:?}", delivery.text());
///     delivery.ack()?;
/// }
/// # Ok(()) }
/// ```
///
/// When the connection is lost, the stream pauses and goes on after the restoration; deliveries that
/// were not settled come again. The stream ends after [`Consumer::cancel`], with an error first when
/// the broker ended the consumer. Dropping it ends the consumer; deliveries in hand can still be
/// settled, and what it had not yet taken returns to the queue when they are.
#[derive(Debug)]
pub struct Consumer {
    lease: Arc<Lease>,
    tag: ShortStr,
    queue: ShortStr,
    is_no_ack: bool,
    /// Taken from the inbox in one go, of the channel's epoch `epoch`.
    taken: VecDeque<Delivered>,
    epoch: u64,
    /// The connection's count of lost channels when that was checked last.
    epochs: u64,
    is_ended: bool,
}

impl Consumer {
    /// The next delivery; `None` after the last one. Cancellation-safe: a future that is dropped takes no
    /// delivery along.
    ///
    /// # Errors
    /// [`ConsumeError`] once, when the broker or the loss of the connection ended the consumer; `None` after
    /// that.
    pub async fn next(&mut self) -> Option<Result<Delivery, ConsumeError>> {
        poll_fn(|context| self.poll_delivery(context)).await
    }

    fn poll_delivery(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, ConsumeError>>> {
        self.discard_lost();
        loop {
            if let Some(delivered) = self.taken.pop_front() {
                return Poll::Ready(Some(Ok(Delivery::new(
                    &self.lease,
                    self.epoch,
                    self.is_no_ack,
                    delivered,
                ))));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            let (number, taken) = (self.lease.number, &mut self.taken);
            let polled = self.lease.shared().with(|session| {
                let epoch = session.epoch(number);
                let Some(inbox) = session.channel(number).and_then(Channel::inbox) else {
                    return Poll::Ready(Err(None));
                };
                let is_filled = !inbox.buffer.is_empty();
                let handed_out = inbox.take(taken);
                session.read_ahead.shrink(handed_out);
                if is_filled {
                    return Poll::Ready(Ok(epoch));
                }
                let Some(inbox) = session.channel(number).and_then(Channel::inbox) else {
                    return Poll::Ready(Err(None));
                };
                match inbox.end.as_mut() {
                    Some(end) => Poll::Ready(Err(end.take())),
                    None => {
                        inbox.reader = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            });
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(epoch)) => self.epoch = epoch,
                Poll::Ready(Err(end)) => {
                    self.is_ended = true;
                    return Poll::Ready(end.map(Err));
                }
            }
        }
    }

    /// What was taken from a channel that is gone comes again on the next one. With `no_ack` it does
    /// not, so it is handed out.
    fn discard_lost(&mut self) {
        if self.taken.is_empty() || self.is_no_ack {
            return;
        }
        let shared = self.lease.shared();
        let epochs = shared.epochs.load(Ordering::Acquire);
        if epochs != self.epochs {
            self.epochs = epochs;
            let number = self.lease.number;
            if shared.with(|session| session.epoch(number)) != self.epoch {
                self.taken.clear();
            }
        }
    }

    /// Asks the broker for no more. What was prefetched still comes out of the stream, then it
    /// ends.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection goes meanwhile: the consumer is then not restored, so
    /// the stream ends all the same.
    pub async fn cancel(&mut self) -> Result<(), Error> {
        self.canceller().cancel().await
    }

    /// A way to cancel the consumer while another task waits for its deliveries.
    pub(crate) fn canceller(&self) -> Canceller {
        let (tag, queue) = (self.tag.clone(), self.queue.clone());
        Canceller { lease: Arc::clone(&self.lease), tag, queue }
    }

    /// Ends the consumer and makes sure that the broker knows of every settlement: cancels, waits
    /// until every delivery in hand is settled, returns what was prefetched and not taken (which
    /// does not count as a failed delivery), and closes the channel.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection goes meanwhile; unsettled messages then come again.
    pub async fn close(self) -> Result<(), Error> {
        self.close_releasing([]).await
    }

    /// Ends the consumer like [`Consumer::close`], and returns these of its deliveries to the queue as if
    /// they had never been taken: unlike [`Delivery::nack`] that is no failed delivery.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection goes meanwhile; unsettled messages then come again.
    pub async fn close_releasing(
        mut self,
        untried: impl IntoIterator<Item = Delivery>,
    ) -> Result<(), Error> {
        // So that this future may be dropped at any time.
        let untried: Vec<_> = untried.into_iter().map(Delivery::untried_when_dropped).collect();
        self.cancel().await?;
        drop(untried);
        self.leave_untaken();
        let number = self.lease.number;
        // The consumer is owned, so its place in the queue goes with the channel.
        let mut place = None;
        poll_fn(|context| {
            self.lease.shared().with(|session| {
                match session.channel(number).and_then(Channel::inbox) {
                    Some(inbox) if inbox.unsettled.open() > 0 => {
                        inbox.drained.wait(&mut place, context.waker());
                        Poll::Pending
                    }
                    _ => Poll::Ready(()),
                }
            })
        })
        .await;
        let shared = self.lease.shared();
        if shared.with(|session| session.needs_recovery(number)) {
            shared.request(number, BasicRecover { requeue: true }).await?;
            shared.with(|session| session.handle_recovered(number));
        }
        if shared.with(|session| is_ready(session, number)) {
            shared.request(number, channel::close()).await?;
        }
        Ok(())
    }

    /// What is prefetched and was not taken returns when the channel ends.
    fn leave_untaken(&mut self) {
        let (number, epoch, taken) = (self.lease.number, self.epoch, &mut self.taken);
        self.lease.shared().with(|session| {
            let (present, waiting) = session.abandon(number);
            let taken = taken.drain(..).map(|delivered| (epoch, delivered.tag));
            let waiting = waiting.into_iter().map(|delivered| (present, delivered.tag));
            for (epoch, tag) in taken.chain(waiting) {
                session.leave_untried(number, epoch, tag);
            }
        });
    }
}

pub(crate) struct Canceller {
    lease: Arc<Lease>,
    tag: ShortStr,
    queue: ShortStr,
}

impl Canceller {
    pub(crate) async fn cancel(self) -> Result<(), Error> {
        let number = self.lease.number;
        let shared = self.lease.shared();
        let answer = if shared.with(|session| is_running(session, number)) {
            let cancel = BasicCancel { consumer_tag: self.tag.clone(), no_wait: false };
            shared.request(number, cancel).await.map(drop)
        } else {
            Ok(())
        };
        finish(&self.lease, &self.queue);
        answer
    }
}

fn is_ready(session: &mut Session, number: u16) -> bool {
    session.channel(number).is_some_and(|channel| channel.stage == Stage::Ready)
}

fn is_running(session: &mut Session, number: u16) -> bool {
    is_ready(session, number)
        && session.channel(number).and_then(Channel::inbox).is_some_and(|inbox| inbox.end.is_none())
}

/// The stream ends, and with the last consumer of an auto-delete queue the queue.
fn finish(lease: &Lease, queue: &ShortStr) {
    let number = lease.number;
    let is_consumed = lease.shared().with(|session| {
        let mut wakes = mem::take(&mut session.wakes);
        if let Some(inbox) = session.channel(number).and_then(Channel::inbox) {
            inbox.finish(None, &mut wakes);
        }
        session.wakes = wakes;
        let mut inboxes = session.channels.iter_mut().flatten().filter_map(Channel::inbox);
        inboxes.any(|inbox| inbox.end.is_none() && inbox.spec.queue == *queue)
    });
    if !is_consumed {
        lease.shared().record().handle_unconsumed(queue);
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery, ConsumeError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_delivery(context)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let number = self.lease.number;
        self.lease.shared().with(|session| {
            if is_running(session, number) {
                let cancel = BasicCancel { consumer_tag: self.tag.clone(), no_wait: true };
                session.put(number, &cancel.into());
            }
        });
        finish(&self.lease, &self.queue);
        self.leave_untaken();
    }
}
