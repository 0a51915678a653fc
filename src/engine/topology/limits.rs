//! Bounds of the topology. Names are bounded by their type (255 bytes), arguments by the frame
//! that they came in; a virtual host may have as many objects as memory holds.

/// Queue ids by which the stored ceiling is raised: so many queues are made for one record of it,
/// and so many ids at most are lost in a restart.
pub(super) const QUEUE_IDS_RESERVED: u64 = 1024;

/// The weight of a binding to an `x-consistent-hash` exchange may be: at most this.
pub(super) const HASH_WEIGHT_MAX: u16 = u16::MAX;

/// Words of a topic pattern that are split, and nodes of the trie that are followed at the same
/// time, without an allocation.
pub(super) const TOPIC_WORDS_INLINE: usize = 16;

/// Queues of a message that are gathered from several places without an allocation.
pub(super) const TARGETS_INLINE: usize = 32;

/// Characters of a value that an error text shows.
pub(super) const SHOWN_CHARACTERS_MAX: usize = 48;

const _: () = assert!(QUEUE_IDS_RESERVED > 0);
// An error text must fit the 255 bytes of `reply-text` with the names of what it is about.
const _: () = assert!(2 * SHOWN_CHARACTERS_MAX < 255);
