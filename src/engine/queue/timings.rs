//! How long messages take, and how often they were delivered, in buckets whose bounds are powers
//! of two: finding a bucket costs one instruction.

/// Buckets of a [`Distribution`]; the last one has no upper bound.
pub const DISTRIBUTION_BUCKETS: usize = 28;

/// Counts of values by size. Bucket 0 holds 0, bucket `n` what is above 2ⁿ⁻² and at most 2ⁿ⁻¹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Values in each bucket, not added up.
    pub buckets: [u64; DISTRIBUTION_BUCKETS],
    /// The sum of all values.
    pub sum: u64,
}

impl Distribution {
    /// The greatest value of a bucket; nothing for the last one.
    #[must_use]
    pub const fn bound(bucket: usize) -> Option<u64> {
        match bucket {
            0 => Some(0),
            _ if bucket + 1 < DISTRIBUTION_BUCKETS => Some(1 << (bucket - 1)),
            _ => None,
        }
    }

    /// Adds a value.
    pub(crate) fn observe(&mut self, value: u64) {
        let bits = value.checked_sub(1).map_or(0, |below| 1 + u64::BITS - below.leading_zeros());
        let bucket = (bits as usize).min(DISTRIBUTION_BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }
}

/// What queues measure of each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From publishing to the first delivery, in ms.
    pub waited: Distribution,
    /// From a delivery to its acknowledgement, in ms.
    pub processed: Distribution,
    /// Failed deliveries of messages that were acknowledged in the end.
    pub failures: Distribution,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for value in (0..70).chain([1 << 20, (1 << 20) + 1, u64::MAX]) {
            let mut distribution = Distribution::default();
            distribution.observe(value);
            let found = distribution.buckets.iter().position(|count| *count == 1).unwrap();
            let first = (0..DISTRIBUTION_BUCKETS)
                .find(|bucket| Distribution::bound(*bucket).is_none_or(|bound| value <= bound));
            assert_eq!(Some(found), first, "{value}");
        }
    }
}
