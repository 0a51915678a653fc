//! Clients that die, keep messages, close in good order and start again, against what
//! docs/reference/dead-letters.md promises: three processes with two channels each, two queues, consumers and
//! batches by `basic.get`, time-outs, restarts of the broker. [`model`] says from the promise alone what becomes
//! of each message and who may be given it; [`drive`] does the same to a shard and compares.

mod drive;
mod model;
mod step;

use drive::Drive;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_condemned_for_its_company_and_nothing_is_held_up_for_long(
        limits in (1u32..4, 1u32..3),
        is_single in any::<bool>(),
        steps in prop::collection::vec(step::step(), 1..80),
    ) {
        let mut drive = Drive::new([limits.0, limits.1], [None; 2], is_single);
        steps.iter().for_each(|step| drive.apply(step));
        drive.finish();
    }

    /// The times are longer than anything waits for the sake of a quarantined message, so that what has
    /// timed out was proven harmless before.
    #[test]
    fn who_hangs_gets_nothing_holds_up_nobody_and_condemns_nothing_alone(
        limits in (1u32..4, 1u32..3),
        is_second_timed in any::<bool>(),
        is_single in any::<bool>(),
        steps in prop::collection::vec(step::step(), 1..80),
    ) {
        let timeouts = [Some(7_001), is_second_timed.then_some(9_507)];
        let mut drive = Drive::new([limits.0, limits.1], timeouts, is_single);
        steps.iter().for_each(|step| drive.apply(step));
        drive.finish();
    }
}
