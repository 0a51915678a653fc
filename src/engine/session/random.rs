//! Names and tokens that must neither repeat nor be guessed, from the seed that the connection was
//! given: the engine has no randomness of its own, so a test that knows the seed knows the names.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::fmt;

/// What a connection's names and tokens are made from: from the system's randomness, where a guess
/// must not help.
pub type Seed = [u8; 32];

/// Characters of a generated name after its prefix, as RabbitMQ's have; 6 bits each.
const NAME_SUFFIX_LENGTH: usize = 22;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A stream that tells nothing of what comes next (ChaCha20).
///
/// Most connections never ask: the stream's state, ten times the seed, is made for the first number.
pub(crate) struct Random {
    seed: Seed,
    stream: Option<Box<ChaCha20Rng>>,
}

impl fmt::Debug for Random {
    /// Without what a guess could begin with.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Random(…)")
    }
}

impl Random {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self { seed, stream: None }
    }

    /// A number that can't be guessed.
    pub(crate) fn token(&mut self) -> u128 {
        let mut bytes = [0; 16];
        self.stream().fill_bytes(&mut bytes);
        u128::from_be_bytes(bytes)
    }

    /// 22 characters that are safe in names.
    pub(crate) fn name_suffix(&mut self) -> String {
        let mut bytes = [0; NAME_SUFFIX_LENGTH];
        self.stream().fill_bytes(&mut bytes);
        let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 63)).copied().unwrap_or(b'A');
        bytes.iter().map(letter).map(char::from).collect()
    }

    fn stream(&mut self) -> &mut ChaCha20Rng {
        let seed = self.seed;
        self.stream.get_or_insert_with(|| Box::new(ChaCha20Rng::from_seed(seed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names_and_another_one_others() {
        let names = |seed| {
            let mut random = Random::new(seed);
            [random.name_suffix(), random.name_suffix(), format!("{:x}", random.token())]
        };
        assert_eq!(names([1; 32]), names([1; 32]));
        let [first, second, _] = names([1; 32]);
        assert_eq!(first.len(), NAME_SUFFIX_LENGTH);
        assert_ne!(first, second);
        assert_ne!(first, names([2; 32])[0]);
    }
}
