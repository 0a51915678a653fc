//! The persistent map that snapshots are made of: a copy costs one reference count, a change
//! O(log n), and an unshared map is changed in place.

use rpds::HashTrieMapSync;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Keyed by name. The hasher has no random seed, so that the engine stays deterministic; the keys
/// come from those who may declare, and a full collision of SipHash costs them 2^32 tries each.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V, BuildHasherDefault<DefaultHasher>>;
