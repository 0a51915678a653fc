//! Schedules and how far they have come, through `verify` and `repair`.

use crate::commands::{forebay, found};
use crate::damaged_page::flip_orders;
use crate::ground::copy;
use crate::harness::broker::Broker;
use serde_json::Value;

fn shown(broker: &Broker) -> Value {
    let shown = forebay(&["schedule", "show", "nightly", "--json"], broker).success();
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn a_schedule_and_its_progress_outlive_a_repair() {
    let (_parent, directory) = copy();
    let broker = Broker::start(&directory);
    // It stands still: what is found depends on no time of day.
    let set = ["schedule", "set", "nightly", "0 2 * * *", "--queue", "lost", "tick", "--paused"];
    forebay(&set, &broker).success();
    let ran = forebay(&["schedule", "run", "nightly"], &broker);
    assert_eq!(ran.code, Some(1), "its queue is not there: {ran:?}");
    let before = shown(&broker);
    assert_eq!((&before["state"], &before["failed"]), (&"paused".into(), &1.into()));
    broker.kill();
    assert!(found(&["verify"], &directory).0);
    flip_orders(&directory);
    assert!(!found(&["verify"], &directory).0);
    let (_, repaired) = found(&["repair", "--accept-loss"], &directory);
    assert!(!repaired.to_string().contains("schedule"), "{repaired}");
    assert!(found(&["verify"], &directory).0);
    let broker = Broker::start(&directory);
    assert_eq!(shown(&broker), before);
    forebay(&["schedule", "resume", "nightly"], &broker).success();
    assert!(shown(&broker)["next_due_at_ms"].is_u64());
}
