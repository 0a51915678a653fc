//! A client for AMQP 0-9-1 brokers: Forebay and RabbitMQ alike.
//!
//! ```no_run
//! use forebay_client::{Connection, Message, QueueOptions};
//!
//! # async fn hello() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = Connection::connect("amqp://localhost").await?;
//! connection.declare_queue("greetings", QueueOptions::durable()).await?;
//!
//! let publisher = connection.publisher().await?;
//! publisher.publish(Message::to_queue("greetings", "Hello!")).await?.await?;
//!
//! let mut consumer = connection.consume("greetings").start().await?;
//! if let Some(delivery) = consumer.next().await.transpose()? {
//!     println!("{:?}", delivery.text());
//!     delivery.ack()?;
//! }
//! # Ok(()) }
//! ```
//!
//! - [`Connection`] restores itself when it is lost: topology, publishers and consumers with it.
//! - [`Publisher`] works with confirms: each message ends as confirmed, or as a [`PublishError`]:
//!   returned, nacked, refused or unknown. With [`PublisherOptions::resend`] the unknown are published
//!   again under the same message id.
//! - [`Requester`] sends requests and awaits their replies.
//! - [`Consumer`] is a stream of [`Delivery`]s, each to be settled; a dropped one goes back.
//! - [`Worker`] runs an async handler with many messages at once, and [`Worker::idempotent`]
//!   recognises repetitions by a store of [`seen`] messages. It stops without a cost for any message.
//! - [`BatchWorker`] gives an async handler many messages in one call.
//! - [`TraceContext`] carries W3C traces through message headers.
//!
//! # How it is built
//!
//! The protocol is a state machine without I/O behind one short lock (`session/`). Publishers
//! and acks encode straight into its output; one task per connection (`connection/driver.rs`) writes what has
//! gathered while the last write was under way, and puts all frames of a read in at once. A confirm
//! is a slot in a table, not an allocation; acks leave as few frames as their order allows.
//!
//! | folder | holds |
//! |---|---|
//! | `message/` | what is published and received, before and after the protocol |
//! | `session/` | channels, confirm windows, inboxes: the state of a connection over all its sockets |
//! | `connect/` | from a URI over TCP, TLS and the handshake to an open socket |
//! | `connection/` | the task of a connection, declarations and their restoration |
//! | `publisher/`, `consumer/`, `worker/`, `requester.rs` | what programs hold in their hands |
//! | `seen/` | stores of seen messages |
//!
//! # Features
//!
//! `tls` (default): `amqps://` by rustls. `fjall`, `redis`: stores of seen messages. `json`: bodies by serde,
//! `json` for handlers of values. `tower`: `service` for a tower service as handler.
#![deny(missing_docs)]

mod backoff;
mod connect;
mod connection;
mod consumer;
mod error;
pub mod limits;
mod message;
mod name;
mod publisher;
mod requester;
pub mod seen;
mod session;
mod span;
mod stop_signal;
mod worker;

pub use bytes::Bytes;
pub use connect::options::ConnectOptions;
pub use connect::uri::{Address, UriError};
pub use connection::Connection;
pub use connection::exchange_options::ExchangeOptions;
pub use connection::queue_options::QueueOptions;
pub use connection::state::{ConnectionState, Missing, Outage};
pub use connection::topology::{DeleteOptions, QueueState};
pub use consumer::delivery::Delivery;
pub use consumer::puller::Puller;
pub use consumer::{Consume, Consumer};
pub use error::{
    CloseError, ConnectError, ConsumeError, Error, Fault, Loss, PublishError, SettleError,
};
pub use message::Message;
pub use message::incoming::Incoming;
pub use message::returned::Returned;
pub use message::trace::TraceContext;
pub use name::Name;
pub use publisher::confirm::{BatchError, Confirm, Confirms};
pub use publisher::{
    FlushError, Publish, PublishAll, Publisher, PublisherOptions, UnconfirmedPublisher,
};
pub use requester::{CallError, Requester};
pub use session::statistics::Statistics;
pub use stop_signal::stop_signal;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use tokio_util::sync::CancellationToken;
pub use worker::batch_failure::BatchFailure;
pub use worker::batch_worker::BatchWorker;
pub use worker::failure::Failure;
pub use worker::handled::{Handled, Outcome};
#[cfg(any(feature = "json", feature = "tower"))]
pub use worker::handler::HandlerFuture;
#[cfg(feature = "tower")]
pub use worker::handler::service;
#[cfg(feature = "json")]
pub use worker::handler::{json, json_with};
pub use worker::idempotence::{Gate, Idempotence};
pub use worker::retry::Retry;
pub use worker::{Worker, WorkerError};

// Names, values and properties as AMQP has them, with the errors of making them: a program needs no second
// crate.
#[doc(inline)]
pub use forebay_wire::{
    FieldTable, FieldValue, Properties, RawProperties, ShortStr, ShortStrTooLong, TableFlaw,
    WireError, WireErrorKind,
};
