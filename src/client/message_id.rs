//! Message ids for messages that need one and have none: 64 random bits for the process, 64 for its
//! start, and a counter.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use forebay_wire::ShortStr;

static PREFIX: LazyLock<String> = LazyLock::new(|| {
    let random = |salt: u64| RandomState::new().hash_one(salt);
    format!("{:016x}{:016x}", random(1), random(2))
});
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A message id that nobody else has.
pub(crate) fn fresh() -> ShortStr {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ShortStr::try_from(format!("{}-{number:x}", *PREFIX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| !id.is_empty()));
    }
}
