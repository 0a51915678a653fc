//! What connections may be sent and what the shard may spend: channels with their prefetch and
//! output budget, memory, the work of one input. Queues ask it in their turns; it knows none.

mod clients;
mod isolation;
mod memory;
mod outbox;
mod slab;
mod work;

pub use clients::ChannelReport;
pub(crate) use clients::{ChannelSlot, Clients, ConsumerId, ConsumerPlace, Freed, HeldCount};
pub(crate) use isolation::Survived;
pub use memory::MemoryLimits;
pub(crate) use memory::{Memory, MemoryUse};
pub(crate) use outbox::Outbox;
pub(crate) use work::Work;
pub use work::WorkLimits;
