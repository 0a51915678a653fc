//! Publishers: with confirms, and without.

pub(crate) mod confirm;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tracing::Span;

use crate::{
    Error, Message, PublishError, TraceContext,
    connection::{lease::Lease, shared::Handle},
    limits::{CONFIRM_WINDOW_DEFAULT, CONFIRM_WINDOW_MAX},
    message::outbound::Outbound,
    publisher::confirm::{Confirm, Confirms},
    session::admission::Admission,
    session::channel::{Channel, Role},
    session::sending::Outbox,
    session::waiters::Place,
    session::{tickets::Ticket, window::Window},
    span,
};

/// How a publisher behaves: its window, and what it does after a reconnection. For
/// [`crate::Connection::publisher_with`].
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    window: usize,
    is_resending: bool,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self { window: CONFIRM_WINDOW_DEFAULT, is_resending: false }
    }
}

impl PublisherOptions {
    /// Messages that may be unconfirmed before [`Publisher::publish`] waits: 1 to 1,048,576
    /// ([`crate::limits::CONFIRM_WINDOW_MAX`]), beyond which the nearest bound counts. Default: 2,048. Beside it,
    /// 32 MiB of unconfirmed bodies make publishers wait ([`crate::limits::UNCONFIRMED_SIZE_MAX`]).
    #[must_use]
    pub fn window(mut self, messages: usize) -> Self {
        self.window = messages.clamp(1, CONFIRM_WINDOW_MAX);
        self
    }

    /// Publishes unconfirmed messages again after a reconnection, in their order, instead of
    /// failing their confirms with [`PublishError::Unknown`]. A repetition keeps its message id; so a
    /// message may arrive twice, and a consumer (or a queue with `x-dedup-window`) can tell.
    #[must_use]
    pub fn resend(mut self) -> Self {
        self.is_resending = true;
        self
    }
}

/// Publishes with confirms, on a channel of its own. A clone is the same publisher.
///
/// ```no_run
/// # use forebay_client::{Connection, Message, PublishError};
/// # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let publisher = connection.publisher().await?;
/// // First await: there was room in the window, the message is on its way.
/// let confirm = publisher.publish(Message::to_queue("orders", "1")).await?;
/// // Second await: the broker has it on disk.
/// match confirm.await {
///     Ok(()) => {}
///     Err(PublishError::Unknown(_)) => { /* publish it again with the same message id */ }
///     Err(other) => return Err(other.into()),
/// }
/// # Ok(()) }
/// ```
///
/// While the connection is down or the broker asks publishers to wait (`connection.blocked`),
/// `publish` waits. A future of it that is dropped before it is ready has not sent its message.
/// When a [`Confirm`] is dropped, a failure of its message is logged and told by [`Publisher::flush`].
#[derive(Clone, Debug)]
pub struct Publisher {
    lease: Arc<Lease>,
}

impl Publisher {
    pub(crate) async fn open(
        handle: &Arc<Handle>,
        options: PublisherOptions,
    ) -> Result<Self, Error> {
        let lease = Lease::open(handle, Self::role(&options)).await?;
        Ok(Self::new(lease))
    }

    pub(crate) fn role(options: &PublisherOptions) -> Role {
        Role::Publisher(Window::new(options.window, options.is_resending))
    }

    pub(crate) fn new(lease: Arc<Lease>) -> Self {
        Self { lease }
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Publishes a message; ready when the connection has taken it to be written, which needs room
    /// in the window. Only its confirm, awaited with what this returns, says that the broker has it:
    /// a program that ends before, without [`crate::Connection::close`], may not have sent it.
    ///
    /// Futures that wait for room are served in the order in which they came; one that is dropped
    /// while it waits has not sent its message, and no place in the queue remains of it.
    ///
    /// # Errors
    /// [`PublishError::NotSent`] or [`PublishError::Invalid`]: it was not sent.
    pub fn publish(&self, message: Message) -> Publish {
        let span = span::send(&message);
        Publish { sending: Sending::one(self, Self::prepare(message, &span)), span }
    }

    /// Waits until the next message can be written at once, for callers that make it only then.
    /// Others with the same publisher may be faster.
    ///
    /// # Errors
    /// [`PublishError::NotSent`] when the connection is closed.
    pub async fn ready(&self) -> Result<(), PublishError> {
        let mut turn = SendTurn::new(&self.lease);
        poll_fn(|context| {
            let (number, place) = (turn.lease.number, &mut turn.place);
            let shared = turn.lease.shared();
            shared.with(|session| session.poll_ready(number, place, context.waker()))
        })
        .await
    }

    /// Publishes many messages with as few writes as possible and one future for all confirms.
    /// A batch may be larger than the window. When this future is dropped half-way, the messages
    /// from the front are sent and the rest is not.
    ///
    /// # Errors
    /// [`PublishError::NotSent`] when the connection is closed, [`PublishError::Invalid`] when a message can't
    /// be encoded, which is found before any is sent.
    pub fn publish_all(&self, messages: impl IntoIterator<Item = Message>) -> PublishAll {
        let mut many = Vec::new();
        let mut fault = None;
        for message in messages {
            match Self::prepare(message, &Span::none()) {
                Ok(message) => many.push(message),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        let count = many.len();
        PublishAll { sending: Sending::new(self, Outbox::Many(many.into_iter()), fault), count }
    }

    fn prepare(mut message: Message, span: &Span) -> Result<Outbound, PublishError> {
        let parent = TraceContext::current();
        if parent.is_some() || !span.is_disabled() {
            let context = parent.map_or_else(TraceContext::new_root, |parent| parent.child());
            span.record("trace_id", context.trace_id());
            message.ensure_trace(&context);
        }
        message.encode()
    }

    /// Waits until everything published so far is settled.
    ///
    /// # Errors
    /// [`FlushError`] when messages failed whose [`Confirm`] was dropped, since the last flush.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let mut flush = Flush { lease: &self.lease, place: None };
        let failures = poll_fn(|context| {
            let (number, place) = (self.lease.number, &mut flush.place);
            self.lease.shared().with(|session| {
                match session.channel(number).and_then(Channel::window) {
                    Some(window) if !window.is_idle() => {
                        window.flushers().wait(place, context.waker());
                        Poll::Pending
                    }
                    Some(window) => Poll::Ready(Some(window.tickets().take_unreported())),
                    None => Poll::Ready(None),
                }
            })
        });
        match failures.await.and_then(|failures| Some((failures.failed, failures.first?))) {
            Some((failed, first)) => Err(FlushError { failed, first }),
            None => Ok(()),
        }
    }
}

/// Messages that are not known to be stored, and whose [`Confirm`] was dropped; see [`Publisher::flush`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failed} messages were not confirmed; the first: {first}")]
#[non_exhaustive]
pub struct FlushError {
    /// How many messages failed.
    pub failed: u64,
    /// Why the first of them failed.
    #[source]
    pub first: PublishError,
}

/// A flush that waits; dropped, it leaves its place.
struct Flush<'a> {
    lease: &'a Lease,
    place: Place,
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        let (number, place) = (self.lease.number, &mut self.place);
        if place.is_some() {
            self.lease.shared().with(|session| {
                if let Some(window) = session.channel(number).and_then(Channel::window) {
                    window.flushers().leave(place);
                }
            });
        }
    }
}

/// A place in the queue of the futures that publish; dropped, it lets the next one go on.
#[derive(Debug)]
struct SendTurn {
    lease: Arc<Lease>,
    place: Place,
}

impl SendTurn {
    fn new(lease: &Arc<Lease>) -> Self {
        Self { lease: Arc::clone(lease), place: None }
    }
}

impl Drop for SendTurn {
    fn drop(&mut self) {
        let (number, place) = (self.lease.number, &mut self.place);
        if place.is_some() {
            self.lease.shared().with(|session| session.withdraw(number, place));
        }
    }
}

/// Messages on their way into the session.
#[derive(Debug)]
struct Sending {
    turn: SendTurn,
    outbox: Outbox,
    ticket: Option<Ticket>,
    fault: Option<PublishError>,
}

impl Sending {
    fn one(publisher: &Publisher, message: Result<Outbound, PublishError>) -> Self {
        let (message, fault) = match message {
            Ok(message) => (Some(message), None),
            Err(error) => (None, Some(error)),
        };
        Self::new(publisher, Outbox::One(message), fault)
    }

    fn new(publisher: &Publisher, outbox: Outbox, fault: Option<PublishError>) -> Self {
        Self { turn: SendTurn::new(&publisher.lease), outbox, ticket: None, fault }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Ticket>, PublishError>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Err(fault));
        }
        let Self { turn, outbox, ticket, .. } = self;
        let (number, place) = (turn.lease.number, &mut turn.place);
        ready!(turn.lease.shared().with(|session| {
            session.poll_publish(number, outbox, ticket, place, context.waker())
        }))?;
        Poll::Ready(Ok(self.ticket.take()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let number = self.turn.lease.number;
            self.turn.lease.shared().with(|session| {
                if let Some(window) = session.channel(number).and_then(Channel::window) {
                    window.tickets().detach(ticket);
                }
            });
        }
    }
}

/// Future of [`Publisher::publish`].
#[derive(Debug)]
#[must_use = "a message is published when this is awaited"]
pub struct Publish {
    sending: Sending,
    span: Span,
}

impl Future for Publish {
    type Output = Result<Confirm, PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = ready!(this.sending.poll(context))?;
        let span = std::mem::replace(&mut this.span, Span::none());
        Poll::Ready(Ok(Confirm::new(Arc::clone(&this.sending.turn.lease), ticket, span)))
    }
}

/// Future of [`Publisher::publish_all`].
#[derive(Debug)]
#[must_use = "a message is published when this is awaited"]
pub struct PublishAll {
    sending: Sending,
    count: usize,
}

impl Future for PublishAll {
    type Output = Result<Confirms, PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = ready!(this.sending.poll(context))?;
        let lease = Arc::clone(&this.sending.turn.lease);
        Poll::Ready(Ok(Confirms::new(lease, ticket, this.count)))
    }
}

/// Publishes without confirms: fast, and a message that is lost is lost without an error. Made by
/// [`crate::Connection::unconfirmed_publisher`]; its type keeps it from being mistaken for a
/// [`Publisher`].
#[derive(Clone, Debug)]
pub struct UnconfirmedPublisher {
    inner: Publisher,
}

impl UnconfirmedPublisher {
    pub(crate) async fn open(handle: &Arc<Handle>) -> Result<Self, Error> {
        let lease = Lease::open(handle, Role::Unconfirmed(Admission::default())).await?;
        Ok(Self { inner: Publisher::new(lease) })
    }

    /// Hands a message to the connection, which writes it to the socket; waits while its buffer (1 MiB,
    /// [`crate::limits::OUTPUT_SIZE_MAX`]) is full or the connection down.
    ///
    /// # Errors
    /// [`PublishError::NotSent`] or [`PublishError::Invalid`]: it was not sent.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let message = Publisher::prepare(message, &Span::none());
        let mut sending = Sending::one(&self.inner, message);
        poll_fn(|context| sending.poll(context)).await.map(|_| ())
    }
}
