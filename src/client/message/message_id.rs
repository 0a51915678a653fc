//! Message ids for messages that have none: 96 random bits for the process, and a counter.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use forebay_wire::ShortStr;

const PREFIX_SIZE: usize = 16;
/// Hexadecimal digits of the counter; 48 bits last for centuries.
const DIGITS: usize = 12;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static PREFIX: LazyLock<[u8; PREFIX_SIZE]> = LazyLock::new(|| {
    let random = |salt: u64| u128::from(RandomState::new().hash_one(salt));
    let mut bits = random(1) << 64 | random(2);
    [(); PREFIX_SIZE].map(|()| {
        let sextet = usize::try_from(bits & 63).unwrap_or_default();
        bits >>= 6;
        ALPHABET.get(sextet).copied().unwrap_or(b'-')
    })
});
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A message id that no other message has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageId(u64);

impl MessageId {
    pub(crate) const SIZE: usize = PREFIX_SIZE + DIGITS;

    pub(crate) fn fresh() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let (prefix, digits) = bytes.split_at_mut(PREFIX_SIZE);
        prefix.copy_from_slice(&*PREFIX);
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            let value = (rest & 15) as u8;
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
            rest >>= 4;
        }
        bytes
    }
}

impl From<MessageId> for ShortStr {
    fn from(id: MessageId) -> Self {
        Self::try_from(id.bytes().as_slice()).unwrap_or_default()
    }
}

/// A message id that no other message has, as it is shown.
pub(crate) fn fresh() -> ShortStr {
    MessageId::fresh().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.as_str().is_some_and(|id| id.len() == MessageId::SIZE)));
    }
}
