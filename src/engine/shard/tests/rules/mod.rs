//! All rules of a queue at once against a naive model: priorities, times to live of the queue and
//! of messages, length limits in messages and bytes with each way to overflow, requeues and
//! delivery limits with quarantine, a single active consumer, dead letters, commits and crashes, in
//! whatever combination.
//!
//! [`list`] says what ought to happen, with a plain list of messages; [`drive`] does the same to a
//! shard with a store and compares after every step. Which consumer gets a message is the queue's
//! to choose, so the list is told whom it chose, and checks that it was allowed to.

mod drive;
mod list;
mod setting;
mod step;

use drive::Drive;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_keeps_all_its_rules_together(
        setting in setting::setting(),
        steps in prop::collection::vec(step::step(), 1..60),
    ) {
        let mut drive = Drive::new(setting);
        steps.iter().for_each(|step| drive.apply(step));
        drive.finish();
    }
}
