//! Plain values that all floors of the engine use: names, numbers, messages, requests. They decide
//! nothing and know nothing above them.

mod binding;
mod client_identity;
mod death_reason;
mod delayed;
mod fault;
mod ids;
mod message;
mod name_pattern;
mod object_name;
mod offset_range;
mod origin;
mod reply_address;
mod retry;
mod settlement;
mod targets;
mod time;
mod topology_request;

pub use binding::{Binding, Destination};
pub use client_identity::{ClientIdentity, Party};
pub use death_reason::DeathReason;
pub use delayed::{DelayedId, DelayedIdError, DueClock};
pub use fault::{Fault, FaultScope};
pub use ids::{
    BodyId, ChannelId, ChannelKey, CommitId, ConnectionId, ConsumerNumber, DeliveryTag, Epoch,
    Level, Offset, Position, PublishSeq, QueueId,
};
pub(crate) use message::{BLIND_CARBON_COPY, CARBON_COPY};
pub use message::{Envelope, Message, MessageHeadError};
pub use name_pattern::{NamePattern, NamePatternError};
pub use object_name::ObjectName;
pub use offset_range::OffsetRange;
pub use origin::Origin;
pub use reply_address::ReplyAddress;
pub use retry::{Retry, ReturnReason};
pub use settlement::{Closure, RequeueMethod, Settle, Settlement};
pub use targets::Targets;
pub use time::{Monotonic, Now, WallClock};
pub use topology_request::{ExchangeDeclaration, QueueDeclaration, TopologyRequest};
