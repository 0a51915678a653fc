//! Which messages were handled already: stores for idempotent workers.
//!
//! A message goes through three states under its key:
//!
//! ```text
//! unknown --claim--> in progress --complete--> done (for the time to remember)
//!    ^                   |
//!    +----- release, or the claim's time passes
//! ```
//!
//! **What is promised.** While a claim holds, no other worker handles a message with the same key; once
//! it is completed, none handles it again until the time to remember is over. **What is not:** a
//! process that dies between the effect of its handler and the completion leaves a claim that runs
//! out, and then the message is handled a second time. No store outside the handler's own
//! transaction can close that gap; a handler whose effect must happen once passes the key on to
//! whatever has the effect (payment services take such an idempotency key), or writes it in the same
//! transaction. The worker renews the claim while the handler runs; a handler that blocks its thread for
//! longer than the claim holds may be joined by a second one. A worker that stops, or whose future is
//! dropped, gives its claims back.
//!
//! **Keys** are made of the vhost, the queue, the worker's name ([`crate::Worker::named`]) and the
//! message id, so the workers of all queues may share one store.

#[cfg(feature = "fjall")]
mod fjall;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::{future::Future, time::Duration};

#[cfg(feature = "fjall")]
pub use fjall::{FjallSeen, FjallSeenError};
pub use memory::MemorySeen;
#[cfg(feature = "redis")]
pub use redis::{RedisSeen, RedisSeenError};

/// What a store answers to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// The caller has it, and must complete or release it.
    Taken,
    /// Another owner has it; ask again later.
    InProgress,
    /// It was handled.
    Done,
}

/// Remembers which messages are being handled and which were. Each method is atomic for its key.
pub trait SeenStore: Send + Sync + 'static {
    /// Why the store can't answer.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Claims `key` for `owner`, a number that no other claim uses, unless another owner has claimed it or
    /// it is done. The claim ends by itself after `lease`. An owner that claims its key again renews
    /// it: `lease` counts from then on.
    fn claim(
        &self,
        key: &[u8],
        owner: u64,
        lease: Duration,
    ) -> impl Future<Output = Result<Claim, Self::Error>> + Send;

    /// Marks `key` as done for `keep`, durably if the store is durable at all.
    fn complete(
        &self,
        key: &[u8],
        owner: u64,
        keep: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Gives a claim back, if `owner` still has it.
    fn release(
        &self,
        key: &[u8],
        owner: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
