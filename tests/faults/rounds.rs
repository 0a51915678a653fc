//! How often, and with which decisions.

use crate::harness::random::Random;

/// The rounds of a test: few of them, unless more are asked for. What is asked for is for the whole
/// suite: a test whose rounds are short does `share` of them for each.
pub(crate) struct Rounds {
    pub(crate) count: u64,
    pub(crate) seed: u64,
    pub(crate) random: Random,
}

impl Rounds {
    /// `few` rounds, or `FOREBAY_TEST_ROUNDS` times `share`; the decisions of `FOREBAY_TEST_SEED`.
    pub(crate) fn of(test: &str, few: u64, share: u64) -> Self {
        let asked = variable("FOREBAY_TEST_ROUNDS").map(|rounds| rounds * share);
        let count = asked.unwrap_or(few);
        let seed = variable("FOREBAY_TEST_SEED").unwrap_or_else(Random::seed);
        eprintln!("{test}: {count} rounds, FOREBAY_TEST_SEED={seed}");
        Self { count, seed, random: Random::new(seed) }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
