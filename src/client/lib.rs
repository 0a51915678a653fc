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
//! - [`TraceContext`] carries W3C traces through message headers.
//!
//! # How it is built
//!
//! The protocol is a state machine without I/O behind one short lock (`session.rs`). Publishers
//! and acks encode straight into its output; one task per connection (`driver.rs`) writes what has
//! gathered while the last write was under way, and puts all frames of a read in at once. A confirm
//! is a slot in a table, not an allocation; acks leave as few frames as their order allows.
//!
//! # Features
//!
//! `tls` (default): `amqps://` by rustls. `fjall`, `redis`: stores of seen messages.
#![deny(missing_docs)]

mod admission;
mod assembler;
mod backoff;
mod catch_panic;
mod channel;
mod channel_setup;
mod confirm;
mod connection;
mod consumer;
mod delivery;
mod driver;
mod error;
mod exchange_options;
mod failure;
mod handshake;
mod idempotence;
mod inbound;
mod inbox;
mod incoming;
pub mod limits;
mod message;
mod message_id;
mod name;
mod options;
mod outbound;
mod parked;
mod publisher;
mod puller;
mod pulling;
mod queue_options;
mod record;
mod refusal;
mod replies;
mod requester;
mod restore;
mod retry;
mod returned;
mod running;
pub mod seen;
mod sending;
mod session;
mod settling;
mod shared;
mod state;
mod statistics;
mod supervisor;
#[cfg(feature = "tls")]
mod tls;
mod topology;
mod trace;
mod transport;
mod unsettled;
mod uri;
mod waiters;
mod window;
mod worker;
mod worker_pool;

pub use bytes::Bytes;
pub use confirm::{BatchError, Confirm, Confirms};
pub use connection::Connection;
pub use consumer::{Consume, Consumer};
pub use delivery::Delivery;
pub use error::{
    CloseError, ConnectError, ConsumeError, Error, Fault, Loss, PublishError, SettleError,
};
pub use exchange_options::ExchangeOptions;
pub use failure::Failure;
pub use idempotence::{Gate, Idempotence};
pub use incoming::Incoming;
pub use message::Message;
pub use name::Name;
pub use options::ConnectOptions;
pub use publisher::{
    FlushError, Publish, PublishAll, Publisher, PublisherOptions, UnconfirmedPublisher,
};
pub use puller::Puller;
pub use queue_options::QueueOptions;
pub use requester::{CallError, Requester};
pub use retry::Retry;
pub use returned::Returned;
pub use state::{ConnectionState, Missing, Outage};
pub use statistics::Statistics;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use tokio_util::sync::CancellationToken;
pub use topology::{DeleteOptions, QueueState};
pub use trace::TraceContext;
pub use uri::{Address, UriError};
pub use worker::{Worker, WorkerError};

// Names, values and properties as AMQP has them, with the errors of making them: a program needs no second
// crate.
#[doc(inline)]
pub use forebay_wire::{
    FieldTable, FieldValue, Properties, RawProperties, ShortStr, ShortStrTooLong, TableFlaw,
    WireError, WireErrorKind,
};
