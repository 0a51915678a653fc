//! How long consumers hold deliveries until they settle them, counted by size.

use crate::limits::{HOLD_BUCKETS, SERVICE_QUANTILE};

/// Buckets of a doubling.
const STEPS: u32 = 2;

/// How many deliveries were held for how long before they were settled.
///
/// Bucket 0 counts those of less than a millisecond, bucket `n` those of 2^((n−1)/2) up to 2^(n/2) ms; the last
/// bucket, which begins at 35 days, has no upper bound. Counts go round at 2³², so that the difference between two looks at
/// a running count is right as long as fewer were settled between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTimes {
    counts: [u32; HOLD_BUCKETS],
}

impl Default for HoldTimes {
    fn default() -> Self {
        Self { counts: [0; HOLD_BUCKETS] }
    }
}

impl HoldTimes {
    /// Counts a delivery that was held for so many milliseconds.
    pub fn observe(&mut self, milliseconds: u64) {
        if let Some(count) = self.counts.get_mut(bucket(milliseconds)) {
            *count = count.wrapping_add(1);
        }
    }

    /// What was counted since `earlier`, which is an earlier state of the same count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.wrapping_sub(before);
        }
        since
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
    }

    /// How many deliveries it has counted.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The time within which 99 of 100 were settled, in milliseconds; `None` without any. Of fewer than a hundred it is the
    /// longest. Exact to the width of a bucket, and never less than the exact one.
    #[must_use]
    pub fn p99_milliseconds(&self) -> Option<f64> {
        let rank = (self.deliveries() as f64 * SERVICE_QUANTILE).ceil();
        let mut below = 0.0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += f64::from(*count);
            if below >= rank && *count > 0 {
                return Some(bound(bucket));
            }
        }
        None
    }
}

/// The upper bound of a bucket, in milliseconds.
fn bound(bucket: usize) -> f64 {
    (bucket as f64 / f64::from(STEPS)).exp2()
}

fn bucket(milliseconds: u64) -> usize {
    let Some(doublings) = milliseconds.checked_ilog2() else { return 0 };
    // In the upper half of a doubling, by ratio: v² ≥ 2^(2·doublings + 1).
    let square = u128::from(milliseconds) * u128::from(milliseconds);
    let is_upper = square >> (2 * doublings + 1) != 0;
    ((STEPS * doublings + u32::from(is_upper) + 1) as usize).min(HOLD_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_within_the_bounds_of_its_bucket(milliseconds in 0..3_000_000_000_u64) {
            let at = bucket(milliseconds);
            prop_assert!((milliseconds as f64) < bound(at) || at == HOLD_BUCKETS - 1);
            prop_assert!(at == 0 || bound(at - 1) <= milliseconds as f64);
        }

        #[test]
        fn the_percentile_is_at_least_the_exact_one_and_near_it(mut times in prop::collection::vec(1..10_000_000_u64, 1..300)) {
            let mut held = HoldTimes::default();
            times.iter().for_each(|time| held.observe(*time));
            times.sort_unstable();
            let exact = times[(times.len() * 99).div_ceil(100) - 1] as f64;
            let told = held.p99_milliseconds().unwrap();
            prop_assert!(exact <= told && told <= exact * 1.42, "{told} for {exact}");
        }

        #[test]
        fn what_came_since_an_earlier_look_is_told_though_the_count_went_round(
            before in prop::collection::vec(0..100_000_u64, 0..50), after in prop::collection::vec(0..100_000_u64, 0..50),
        ) {
            let mut running = HoldTimes { counts: [u32::MAX - 20; HOLD_BUCKETS] };
            before.iter().for_each(|time| running.observe(*time));
            let earlier = running;
            after.iter().for_each(|time| running.observe(*time));
            let mut only = HoldTimes::default();
            after.iter().for_each(|time| only.observe(*time));
            prop_assert_eq!(running.since(&earlier), only);
        }
    }

    #[test]
    fn nothing_counted_has_no_percentile_and_any_time_has_a_bucket() {
        let mut held = HoldTimes::default();
        assert_eq!(held.p99_milliseconds(), None);
        held.observe(u64::MAX);
        assert_eq!(held.deliveries(), 1);
    }
}
