//! A client for AMQP 0-9-1 brokers: publish with confirms, consume with acknowledgements, reconnect.
#![deny(missing_docs)]

mod assembler;
mod backoff;
mod catch_panic;
mod channel;
mod confirm;
mod connection;
mod consumer;
mod delivery;
mod driver;
mod error;
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
mod publisher;
mod puller;
mod record;
mod restore;
mod returned;
pub mod seen;
mod sending;
mod session;
mod shared;
mod state;
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

pub use bytes::Bytes;
pub use confirm::{BatchError, Confirm, Confirms};
pub use connection::Connection;
pub use consumer::{Consume, Consumer};
pub use delivery::Delivery;
pub use error::{ConnectError, ConsumeError, Error, Fault, Loss, PublishError, SettleError};
pub use failure::Failure;
pub use forebay_wire::{FieldTable, FieldValue, Properties, RawProperties, ShortStr};
pub use idempotence::{Gate, Idempotence};
pub use incoming::Incoming;
pub use message::Message;
pub use name::Name;
pub use options::ConnectOptions;
pub use publisher::{
    FlushError, Publish, PublishAll, Publisher, PublisherOptions, UnconfirmedPublisher,
};
pub use puller::Puller;
pub use returned::Returned;
pub use state::ConnectionState;
pub use tokio_util::sync::CancellationToken;
pub use topology::{ExchangeOptions, QueueOptions, QueueState};
pub use trace::TraceContext;
pub use uri::{Address, UriError};
pub use worker::{Worker, WorkerError};
