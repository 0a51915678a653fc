//! What the channels of a connection share with it: its outputs, what was agreed with the client, the
//! one request that the shard has not answered.

mod channel_context;
mod client;
mod connection_info;
mod exchange_flow;
pub(crate) mod limits;
mod method_id;
mod open_channel;
mod outputs;
mod pending_request;
mod random;
mod route_cache;
mod traffic;

pub(crate) use channel_context::ChannelContext;
pub(crate) use client::{ClientProfile, connection_name};
pub(crate) use connection_info::{ConnectionInfo, Tuned};
pub(crate) use method_id::MethodId;
pub use open_channel::{ChannelMode, OpenChannel};
pub(crate) use outputs::ConnectionOutputs;
pub(crate) use pending_request::{AwaitedReply, PendingRequest};
pub use random::Seed;
pub use traffic::{MESSAGE_SIZE_BOUNDS, Traffic};
