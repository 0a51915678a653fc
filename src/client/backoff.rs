//! The waits between attempts to reconnect: doubling, bounded, with jitter.
//!
//! Owned by the supervisor of a connection. Jitter matters when a broker restarts: without it a
//! thousand clients come back in the same millisecond, again and again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Successive waits. Each lies between half of the present step and the whole of it; the step
/// doubles up to the limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    step: Duration,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        // The standard library's hasher keys are random per process and differ per instance.
        let seed = RandomState::new().hash_one(0_u8) | 1;
        Self::seeded(first, longest, seed)
    }

    fn seeded(first: Duration, longest: Duration, seed: u64) -> Self {
        let longest = longest.max(first);
        Self { first, longest, step: first, random: seed | 1 }
    }

    pub(crate) fn reset(&mut self) {
        self.step = self.first;
    }

    pub(crate) fn next_wait(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.longest);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = step / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        half.saturating_add(Duration::from_nanos(self.random % spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_half_a_step_of_jitter_and_stop_at_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(1_000));
        for seed in 1..500 {
            let mut backoff = Backoff::seeded(first, longest, seed);
            for step in [100, 200, 400, 800, 1_000, 1_000] {
                let wait = backoff.next_wait();
                let step = Duration::from_millis(step);
                assert!(wait >= step / 2 && wait <= step, "seed {seed}: {wait:?} of {step:?}");
            }
            backoff.reset();
            assert!(backoff.next_wait() <= first);
        }
    }

    #[test]
    fn two_clients_do_not_wait_alike() {
        let waits = |seed| {
            Backoff::seeded(Duration::from_secs(1), Duration::from_secs(9), seed).next_wait()
        };
        assert_ne!(waits(0x5eed_0001), waits(0x1234_5678));
    }
}
