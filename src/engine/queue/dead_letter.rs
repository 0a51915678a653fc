//! A message that leaves a queue other than by acknowledgement.
//!
//! The queue names the message and the reason; the shard finds the destination and puts the copy
//! there before the next commit, which therefore holds both the copy and the end of the original:
//! after a crash there is exactly one of them.

use crate::model::{DeathReason, Message};
use crate::trace::LifeNumber;

/// A message that left.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) message: Message,
    pub(crate) reason: DeathReason,
    /// Its record in the queue that it left; `None`: it has none.
    pub(crate) life: Option<LifeNumber>,
}
