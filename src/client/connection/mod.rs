//! A connection to a broker, as the program has it.

pub(crate) mod channel_setup;
pub(crate) mod driver;
pub(crate) mod exchange_options;
pub(crate) mod lease;
pub(crate) mod queue_options;
pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod supervisor;
pub(crate) mod topology;

use std::sync::Arc;

use bytes::Bytes;
use forebay_wire::{ShortStr, method::ConnectionUpdateSecret};
use tokio::sync::watch;

use crate::{
    CloseError, ConnectOptions, ConnectionState, Consume, Error, Loss, Outage, Publisher,
    PublisherOptions, Puller, Requester, Statistics, UnconfirmedPublisher,
    connection::shared::{Handle, Shared},
    name::Name,
};

/// A connection to a broker that restores itself when it is lost.
///
/// A clone is the same connection. One background task serves it; that task ends when
/// [`Connection::close`] is called or when the last clone is dropped together with every publisher,
/// consumer, puller and delivery made from it.
///
/// Each publisher, consumer and puller has a channel of its own, so a fault of one does not disturb
/// the others.
///
/// ```no_run
/// # async fn hello() -> Result<(), Box<dyn std::error::Error>> {
/// use forebay_client::{Connection, Message, QueueOptions};
///
/// let connection = Connection::connect("amqp://localhost").await?;
/// connection.declare_queue("greetings", QueueOptions::durable()).await?;
/// let publisher = connection.publisher().await?;
/// publisher.publish(Message::to_queue("greetings", "hello")).await?.await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) handle: Arc<Handle>,
}

impl Connection {
    /// Connects to the first address that works. The argument is a URI or [`ConnectOptions`].
    ///
    /// Only a connection that was up once restores itself: a first attempt that fails returns its
    /// reason, so that a wrong password does not look like a slow start. A program that may start
    /// before its broker asks for more attempts with [`ConnectOptions::connect_for`].
    ///
    /// # Errors
    /// [`Error::Uri`], [`Error::TlsSettings`] or [`Error::Connect`], each with one line that says
    /// what to do.
    pub async fn connect<T>(options: T) -> Result<Self, Error>
    where
        T: TryInto<ConnectOptions>,
        T::Error: Into<Error>,
    {
        let options = options.try_into().map_err(Into::into)?;
        let opened = supervisor::connect(&options).await?;
        let shared = Arc::new(Shared::new(options, ConnectionState::Up(opened.address.clone())));
        tokio::spawn(supervisor::supervise(Arc::clone(&shared), Ok(opened)));
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    /// A connection that is not there yet: it is made in the background as if it had been lost
    /// ([`crate::Loss::NotYet`]), and whatever needs it waits. For programs that shall start without
    /// their broker. What keeps it from coming about, a wrong password too, is told by
    /// [`Connection::state`] only; [`ConnectOptions::reconnect_for`] limits the attempts. To be called
    /// within a runtime.
    ///
    /// # Errors
    /// [`Error::Uri`] or [`Error::TlsSettings`]: the options can't be understood.
    pub fn connect_lazy<T>(options: T) -> Result<Self, Error>
    where
        T: TryInto<ConnectOptions>,
        T::Error: Into<Error>,
    {
        let options = options.try_into().map_err(Into::into)?;
        let outage = Outage { loss: Loss::NotYet, attempts: 0, last_failure: None };
        let state = ConnectionState::Down(outage.clone());
        let shared = Arc::new(Shared::new(options, state));
        tokio::spawn(supervisor::supervise(Arc::clone(&shared), Err(outage)));
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    /// A publisher with confirms, and a window of 2,048 messages
    /// ([`crate::limits::CONFIRM_WINDOW_DEFAULT`]).
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], [`Error::Refused`], [`Error::GivenUp`] or [`Error::Closed`].
    pub async fn publisher(&self) -> Result<Publisher, Error> {
        self.publisher_with(PublisherOptions::default()).await
    }

    /// A publisher with confirms.
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], [`Error::Refused`], [`Error::GivenUp`] or [`Error::Closed`].
    pub async fn publisher_with(&self, options: PublisherOptions) -> Result<Publisher, Error> {
        Publisher::open(&self.handle, options).await
    }

    /// A requester: sends requests and awaits their replies by direct reply-to.
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], [`Error::Refused`], [`Error::GivenUp`] or [`Error::Closed`].
    pub async fn requester(&self) -> Result<Requester, Error> {
        Requester::open(&self.handle).await
    }

    /// A publisher that never learns what became of its messages. For measurements and for
    /// messages that may be lost.
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], [`Error::Refused`], [`Error::GivenUp`] or [`Error::Closed`].
    pub async fn unconfirmed_publisher(&self) -> Result<UnconfirmedPublisher, Error> {
        UnconfirmedPublisher::open(&self.handle).await
    }

    /// Begins to describe a consumer of a queue; [`Consume::start`] starts it.
    pub fn consume(&self, queue: impl Name) -> Consume {
        Consume::new(Arc::clone(&self.handle), queue.into_short_str("queue name"))
    }

    /// A puller: takes single messages from a queue with `basic.get`.
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], [`Error::Refused`], [`Error::GivenUp`], [`Error::Closed`], or
    /// [`Error::NameTooLong`] above 255 bytes.
    pub async fn puller(&self, queue: impl Name) -> Result<Puller, Error> {
        Puller::open(&self.handle, queue.into_short_str("queue name")?).await
    }

    /// The present name of a queue that the broker named: it changes when the connection is
    /// restored. Any other name comes back as it is.
    pub fn present_queue_name(&self, name: &ShortStr) -> ShortStr {
        self.handle.0.record().present_name(name)
    }

    /// The state of the connection, now and as it changes.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.handle.0.state.subscribe()
    }

    /// Counters of what this connection has done, for metrics.
    pub fn statistics(&self) -> Statistics {
        self.handle.0.with(|session| session.statistics())
    }

    /// Why the broker takes no messages at present (`connection.blocked`, an alarm for its disk or
    /// its memory), now and as it changes; `None` while it takes them.
    ///
    /// Publishers wait meanwhile, and deliveries still come. But the broker does not read from this
    /// connection any more, acks and requests neither: a program whose consumers shall go on gives them a
    /// connection of their own.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.handle.0.blocked.subscribe()
    }

    /// Renews the password, for tokens that run out: tells the broker
    /// (`connection.update-secret`), and logs in with it after every loss from now on. While the
    /// connection is down it is taken for the next attempt, and this waits for its success.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection goes before the answer comes, as it does when the
    /// broker refuses the password; [`Error::Closed`], [`Error::GivenUp`].
    pub async fn update_secret(&self, secret: &str) -> Result<(), Error> {
        let shared = &self.handle.0;
        shared.set_password(secret);
        shared.up().await?;
        let update = ConnectionUpdateSecret {
            new_secret: Bytes::copy_from_slice(secret.as_bytes()),
            reason: ShortStr::from_static("renewed by the program"),
        };
        shared.request(0, update).await.map(drop)
    }

    /// Closes the connection: writes the acks that wait, waits for outstanding confirms (5 s at
    /// most), says good-bye to the broker. Publishers and consumers of this connection end.
    ///
    /// A program that publishes awaits this before it ends: the connection is served by a task of the
    /// runtime, and what that has not written when the runtime ends is lost.
    ///
    /// # Errors
    /// [`CloseError`] tells of messages that are not known to be stored. The connection is closed all
    /// the same.
    pub async fn close(self) -> Result<(), CloseError> {
        let mut state = self.state();
        self.handle.0.begin_close();
        // An error means that the supervisor is gone, which is as closed as can be.
        let _ = state.wait_for(|state| matches!(state, ConnectionState::Closed)).await;
        let failures = self.handle.0.with(|session| std::mem::take(&mut session.unreported));
        match failures.first {
            Some(first) => Err(CloseError { messages: failures.failed, first }),
            None => Ok(()),
        }
    }
}
