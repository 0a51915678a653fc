//! A page: the messages that one commit adds to one level of a queue, stored as one value.
//! The queue makes it, the store writes it and reads it back.

use crate::model::{Message, Offset, WallClock};

/// Messages at contiguous offsets `first..end` of one level. An offset in that range without a
/// record was settled before the page was written, or is not to be kept (a transient message).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first offset covered.
    pub first: Offset,
    /// The offset after the last one covered; `end > first`.
    pub end: Offset,
    /// Bytes of the bodies of all messages that ever stood in the level's pages before `first`: tells
    /// a queue's size after a restart without reading it.
    pub bytes_before: u64,
    /// `bytes_before` and the bodies of this page's own messages.
    pub bytes_after: u64,
    /// When the messages that were not settled when the page was made expire, in it and before it.
    /// `None`: an older program made the page.
    pub bounds: Option<ExpiryBounds>,
    /// The messages in the order of their offsets.
    pub records: Vec<Record>,
}

/// What is known of when messages expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryBounds {
    /// None of them was published earlier.
    pub published_from: WallClock,
    /// None has a shorter time to live of its own, in ms; `None`: none has any.
    pub expiration_min: Option<u64>,
}

/// A message and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset, within the page's range.
    pub offset: Offset,
    /// The message.
    pub message: Message,
}
