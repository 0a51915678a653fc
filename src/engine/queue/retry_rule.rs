//! How long a message waits that came back (`x-delayed-retry-type`, `-min`, `-max`, `-multiplier`).

use crate::limits::RETRY_DELAY_MS_MAX;
use crate::model::{Offset, QueueId, ReturnReason};
use crate::topology::RetryType;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// By so many parts of it a wait may be longer than it is said to be.
const JITTER_PARTS: u64 = 10;

/// The waits of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryRule {
    /// What waits.
    pub(crate) kind: RetryType,
    /// The first wait, in ms.
    pub(crate) min: u64,
    /// The longest one, in ms.
    pub(crate) max: u64,
    /// By what each further wait is longer; `None`: by the first one.
    pub(crate) multiplier: Option<u64>,
}

impl RetryRule {
    /// Whether a message waits that came back so.
    pub(crate) const fn applies(&self, reason: ReturnReason) -> bool {
        let is_failure = !matches!(reason, ReturnReason::Returned);
        // What RabbitMQ calls returned: a client gave it back and did not say that it failed.
        let is_return = matches!(reason, ReturnReason::Returned | ReturnReason::Nacked);
        match self.kind {
            RetryType::Disabled => false,
            RetryType::All => true,
            RetryType::Failed => is_failure,
            RetryType::Returned => is_return,
        }
    }

    /// The wait of a message that came back for the time `count`, in ms.
    pub(crate) fn delay(&self, count: u32) -> u64 {
        let count = u64::from(count.max(1));
        let delay = match self.multiplier {
            None => self.min.saturating_mul(count),
            Some(0 | 1) => self.min,
            Some(multiplier) => {
                let exponent = u32::try_from(count - 1).unwrap_or(u32::MAX);
                self.min.saturating_mul(multiplier.saturating_pow(exponent))
            }
        };
        delay.min(self.max).min(RETRY_DELAY_MS_MAX)
    }
}

/// A wait of at least `delay` and at most a tenth more, so that messages that failed together do not come
/// back together. It depends on nothing but the arguments: repeated, the same commands give the same
/// waits.
pub(crate) fn jittered(delay: u64, queue: QueueId, offset: Offset, count: u32) -> u64 {
    let room = delay / JITTER_PARTS + 1;
    let drawn = xxh3_64_with_seed(&offset.0.to_be_bytes(), queue.0 ^ (u64::from(count) << 48));
    delay + drawn % room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(multiplier: Option<u64>) -> RetryRule {
        RetryRule { kind: RetryType::All, min: 1_000, max: 10_000, multiplier }
    }

    #[test]
    fn waits_grow_as_the_rule_says_up_to_the_longest() {
        let waits = |multiplier| [1, 2, 3, 5, 12, u32::MAX].map(|it| rule(multiplier).delay(it));
        assert_eq!(waits(None), [1_000, 2_000, 3_000, 5_000, 10_000, 10_000]);
        assert_eq!(waits(Some(1)), [1_000; 6]);
        assert_eq!(waits(Some(2)), [1_000, 2_000, 4_000, 10_000, 10_000, 10_000]);
        let endless = RetryRule { max: u64::MAX, ..rule(Some(100)) };
        assert_eq!(endless.delay(u32::MAX), RETRY_DELAY_MS_MAX);
    }

    #[test]
    fn each_type_delays_what_its_name_says() {
        use ReturnReason::{Lost, Nacked, Rejected, Retried, Returned, TimedOut};
        let delayed = |kind| {
            let rule = RetryRule { kind, ..rule(None) };
            ReturnReason::ALL.into_iter().filter(|it| rule.applies(*it)).collect::<Vec<_>>()
        };
        assert_eq!(delayed(RetryType::Disabled), []);
        assert_eq!(delayed(RetryType::All), ReturnReason::ALL);
        assert_eq!(delayed(RetryType::Failed), [Nacked, Rejected, Retried, Lost, TimedOut]);
        assert_eq!(delayed(RetryType::Returned), [Nacked, Returned]);
    }

    #[test]
    fn jitter_adds_up_to_a_tenth_and_spreads_what_failed_together() {
        let waits: Vec<u64> =
            (0..1_000).map(|it| jittered(1_000, QueueId(1), Offset(it), 1)).collect();
        assert!(waits.iter().all(|wait| (1_000..=1_100).contains(wait)));
        for decile in 0..10 {
            let within = 1_000 + decile * 10..1_010 + decile * 10;
            let count = waits.iter().filter(|wait| within.contains(*wait)).count();
            assert!((50..=150).contains(&count), "{count} in {within:?}");
        }
        assert_eq!(jittered(0, QueueId(1), Offset(0), 1), 0);
    }
}
