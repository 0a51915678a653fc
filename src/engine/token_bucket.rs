//! A token bucket: how much may pass in a time, with a burst after a pause.
//!
//! Kept as one moment, when the bucket would be full again: nothing has to be refilled, and who comes
//! when it is empty is given a time of its own, behind everybody who came before.

use crate::model::Monotonic;

const NANOSECONDS_PER_MS: u64 = 1_000_000;
const NANOSECONDS_PER_S: u64 = 1_000_000_000;

/// What passes at once after a pause unless it is said, as a time at the full rate.
const BURST_NS: u64 = NANOSECONDS_PER_S;

/// A bucket, full at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Tokens that come in a second; above 0.
    rate: u64,
    /// What passes at once after a pause, as a time at the full rate.
    burst_ns: u64,
    full_at_ns: u64,
}

impl TokenBucket {
    /// A full bucket for so many tokens in a second, which holds those of a second; nothing for a rate of 0, which lets nothing
    /// pass.
    #[must_use]
    pub const fn new(rate: u64) -> Option<Self> {
        if rate == 0 { None } else { Some(Self { rate, burst_ns: BURST_NS, full_at_ns: 0 }) }
    }

    /// A full bucket for so many tokens in a second, which holds `burst` of them; `None` for a rate or a
    /// burst of 0, which lets nothing pass.
    #[must_use]
    pub const fn with_burst(rate: u64, burst: u64) -> Option<Self> {
        if rate == 0 || burst == 0 {
            return None;
        }
        let burst_ns = burst.saturating_mul(NANOSECONDS_PER_S) / rate;
        Some(Self { rate, burst_ns, full_at_ns: 0 })
    }

    /// Tokens that come in a second.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// Takes tokens that may not be there yet; when they are, which is now or later.
    pub fn take(&mut self, now: Monotonic, tokens: u64) -> Monotonic {
        self.full_at_ns = self.full_after(now, tokens);
        self.there_at(now)
    }

    /// When one more token is there, which is now or later.
    #[must_use]
    pub fn next_at(&self, now: Monotonic) -> Monotonic {
        Self { full_at_ns: self.full_after(now, 1), ..*self }.there_at(now)
    }

    /// When the bucket is full again after tokens were taken from it.
    fn full_after(&self, now: Monotonic, tokens: u64) -> u64 {
        let now_ns = now.0.saturating_mul(NANOSECONDS_PER_MS);
        let filling_ns = tokens.saturating_mul(NANOSECONDS_PER_S) / self.rate;
        self.full_at_ns.max(now_ns).saturating_add(filling_ns)
    }

    /// When the tokens are there that were taken.
    fn there_at(&self, now: Monotonic) -> Monotonic {
        let there_at_ns = self.full_at_ns.saturating_sub(self.burst_ns);
        Monotonic(there_at_ns.div_ceil(NANOSECONDS_PER_MS)).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_passes_at_once_and_then_it_drips() {
        let mut bucket = TokenBucket::new(10).unwrap();
        let now = Monotonic(5_000);
        assert_eq!(bucket.take(now, 10), now);
        assert_eq!(bucket.take(now, 1), now.plus(100));
        assert_eq!(bucket.take(now, 2), now.plus(300));
        // Full again after what was taken too early, and a second.
        let later = now.plus(1_300);
        assert_eq!(bucket.take(later, 10), later);
        assert_eq!(bucket.take(later, 1), later.plus(100));
        assert_eq!(TokenBucket::new(0), None);
    }

    #[test]
    fn a_burst_passes_at_once_and_a_token_that_is_not_there_is_not_taken() {
        let mut bucket = TokenBucket::with_burst(10, 2).unwrap();
        let now = Monotonic(5_000);
        for _ in 0..2 {
            assert_eq!(bucket.next_at(now), now);
            bucket.take(now, 1);
        }
        assert_eq!(bucket.next_at(now), now.plus(100));
        assert_eq!(bucket.next_at(now.plus(99)), now.plus(100));
        let later = now.plus(100);
        assert_eq!(bucket.take(later, 1), later);
        assert_eq!(bucket.next_at(later), later.plus(100));
        assert_eq!(TokenBucket::with_burst(0, 1), None);
        assert_eq!(TokenBucket::with_burst(1, 0), None);
    }

    proptest! {
        /// Taken only when it is there: no time sees more than the rate and one burst.
        #[test]
        fn no_time_sees_more_than_the_rate_and_a_burst(
            rate in 1_u64..5_000,
            burst in 1_u64..50,
            pauses in prop::collection::vec(0_u64..50, 1..200),
        ) {
            let mut bucket = TokenBucket::with_burst(rate, burst).unwrap();
            let mut now = Monotonic(0);
            let mut taken: Vec<u64> = Vec::new();
            for pause in pauses {
                now = now.plus(pause);
                while bucket.next_at(now) == now && taken.len() < 2_000 {
                    bucket.take(now, 1);
                    taken.push(now.0);
                }
            }
            for (first, begin) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let most = (end - begin) * rate + (burst + 1) * 1_000;
                    prop_assert!((last - first + 1) as u64 * 1_000 <= most);
                }
            }
        }

        /// Whoever waits as told, no time sees more than its share and the burst; and nobody waits
        /// for longer than what was taken before takes to come.
        #[test]
        fn no_time_sees_more_than_its_share(
            rate in 1_u64..100_000,
            takes in prop::collection::vec((0_u64..2_000, 1_u64..500), 1..60),
        ) {
            let mut bucket = TokenBucket::new(rate).unwrap();
            let mut now = Monotonic(0);
            let mut passed: Vec<(u64, u64)> = Vec::new();
            for (pause, tokens) in takes {
                now = now.plus(pause);
                let at = bucket.take(now, tokens);
                prop_assert!(at >= now);
                passed.push((at.0, tokens));
            }
            for (first, (begin, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (end, tokens) in &passed[first..] {
                    sum += tokens;
                    // One more for each rounding.
                    let share = (end - begin) * rate / 1_000 + rate + passed.len() as u64;
                    prop_assert!(sum <= share + passed[first].1, "{sum} of {share}");
                }
            }
            let all: u64 = passed.iter().map(|(_, tokens)| tokens).sum();
            let last = passed.iter().map(|(at, _)| *at).max().unwrap();
            prop_assert!(last <= now.0.max(all * 1_000 / rate + now.0 + 1));
        }
    }
}
