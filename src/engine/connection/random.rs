//! Names that must not repeat, from the seed that the connection was given: the engine has no
//! randomness of its own, so a test that knows the seed knows the names.

/// A stream of 64-bit numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number of the stream.
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 22 characters that are safe in names, as RabbitMQ's generated names have.
    pub(crate) fn name_suffix(&mut self) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut suffix = String::with_capacity(22);
        for _ in 0..2 {
            let mut number = self.number();
            for _ in 0..11 {
                let letter = ALPHABET.get((number & 63) as usize).copied().unwrap_or(b'A');
                suffix.push(char::from(letter));
                number >>= 5;
            }
        }
        suffix
    }
}
