//! The persistent maps that snapshots are made of: a copy costs one reference count, a change
//! O(log n), and an unshared map is changed in place.

use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};
use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Keyed by name. The hasher has no random seed, so that the engine stays deterministic; the keys
/// come from those who may declare, and a full collision of SipHash costs them 2^32 tries each.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V, BuildHasherDefault<DefaultHasher>>;

/// Keyed in order.
pub(crate) type Tree<K, V> = RedBlackTreeMapSync<K, V>;

/// In order.
pub(crate) type TreeSet<T> = RedBlackTreeSetSync<T>;

/// Takes the first entry out.
pub(crate) fn pop<K, V>(tree: &mut Tree<K, V>) -> Option<V>
where
    K: Clone + Ord,
    V: Clone,
{
    let (key, value) = tree.first().map(|(key, value)| (key.clone(), value.clone()))?;
    tree.remove_mut(&key);
    Some(value)
}

/// Takes an entry out.
pub(crate) fn take<K, V, Q>(tree: &mut Tree<K, V>, key: &Q) -> Option<V>
where
    K: Borrow<Q> + Clone + Ord,
    V: Clone,
    Q: Ord + ?Sized,
{
    let value = tree.get(key)?.clone();
    tree.remove_mut(key);
    Some(value)
}
