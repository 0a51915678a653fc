//! Watches over made-up queues, through days.

use super::lag_defaults::LagDefaults;
use super::watched::QueueLag;
use super::watches::LagWatches;
use forebay_engine::model::{ConnectionId, QueueDeclaration, QueueId};
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_engine::topology::Topology;
use forebay_lag::{Role, Symptom};
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::sync::Arc;
use tempfile::TempDir;

const DAY: u64 = 86_400;
const BEGIN: u64 = 20_000 * DAY;

struct Shop {
    topology: Topology,
    data_dir: TempDir,
}

impl Shop {
    fn new() -> Self {
        let mut topology = Topology::new();
        topology.create_vhost(&vhost());
        Self { topology, data_dir: tempfile::tempdir().unwrap() }
    }

    fn declare(&mut self, name: &str, arguments: &[(&'static str, FieldValue)]) -> QueueId {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert(ShortStr::from_static(name), value.clone());
        }
        let name = ShortStr::try_from(name).unwrap().into();
        let declaration =
            QueueDeclaration { name, durable: true, arguments: table, ..Default::default() };
        self.topology.declare_queue(&vhost(), ConnectionId(1), &declaration).unwrap().id
    }

    fn watches(&self) -> LagWatches {
        LagWatches::new(self.data_dir.path(), LagDefaults::default())
    }

    fn look(
        &self,
        watches: &LagWatches,
        at: u64,
        queue: QueueId,
        statistics: QueueStatistics,
    ) -> QueueLag {
        let record = Arc::new(self.topology.queue_by_id(queue).unwrap().clone());
        let report = QueueReport { record, statistics, state: Default::default() };
        watches.look(at, &[report], &self.topology);
        watches.shown()[&queue]
    }

    /// Days of a queue that has 100 messages.
    fn live(&self, watches: &LagWatches, queue: QueueId, days: std::ops::Range<u64>) -> QueueLag {
        let mut last = QueueLag::default();
        for at in (BEGIN + days.start * DAY..BEGIN + days.end * DAY).step_by(300) {
            last = self.look(watches, at, queue, ready(100));
        }
        last
    }
}

fn vhost() -> ShortStr {
    ShortStr::from_static("/")
}

fn ready(ready: u64) -> QueueStatistics {
    QueueStatistics { ready, consumers: 1, ..Default::default() }
}

#[test]
fn what_was_learnt_outlives_the_process_and_a_queue_that_is_gone_is_forgotten() {
    let mut shop = Shop::new();
    let queue = shop.declare("orders", &[]);
    let watches = shop.watches();
    assert_eq!(shop.live(&watches, queue, 0..9).assessment.line, Some(200.0));
    watches.stop();
    // Written by a process that was killed afterwards.
    let again = shop.watches();
    let now = shop.look(&again, BEGIN + 9 * DAY, queue, ready(300));
    assert_eq!(now.assessment.line, Some(200.0));
    assert!(now.assessment.has(Symptom::AboveLine));
    shop.topology.remove_queue(queue);
    let other = shop.declare("orders", &[]);
    let without = shop.watches();
    assert_eq!(shop.look(&without, BEGIN + 9 * DAY, other, ready(300)).assessment.line, None);
}

#[test]
fn an_accepted_level_is_normal_at_once_and_after_a_kill() {
    let mut shop = Shop::new();
    let queue = shop.declare("orders", &[]);
    let watches = shop.watches();
    assert_eq!(watches.accept_normal(queue), None, "nobody has looked at it");
    shop.live(&watches, queue, 0..9);
    let at = BEGIN + 9 * DAY;
    assert!(shop.look(&watches, at, queue, ready(1000)).assessment.has(Symptom::AboveLine));
    watches.accept_normal(queue).unwrap();
    assert!(!shop.look(&watches, at + 5, queue, ready(1000)).assessment.has(Symptom::AboveLine));
    let again = shop.watches();
    let now = shop.look(&again, at + 10, queue, ready(1000));
    assert!(now.assessment.line.is_some_and(|line| line > 1900.0), "{now:?}");
}

#[test]
fn damaged_files_are_no_reason_not_to_go_on() {
    let mut shop = Shop::new();
    let queue = shop.declare("orders", &[]);
    let watches = shop.watches();
    shop.live(&watches, queue, 0..9);
    watches.stop();
    let spoilt = shop.data_dir.path().join(format!("lag/{}", 20_003));
    std::fs::write(&spoilt, b"what is this?").unwrap();
    let again = shop.watches();
    assert_eq!(shop.look(&again, BEGIN + 9 * DAY, queue, ready(100)).assessment.line, Some(200.0));
    let aside = shop.data_dir.path().join(format!("lag/damaged/{}", 20_003));
    assert_eq!(std::fs::read(aside).unwrap(), b"what is this?");
    assert_eq!(std::fs::read(spoilt).unwrap(), b"", "nothing of it could be read");
}

#[test]
fn the_line_and_the_age_can_be_set() {
    let mut shop = Shop::new();
    let queue = shop.declare(
        "orders",
        &[("x-lag-line-percent", FieldValue::I32(500)), ("x-max-age-slo", FieldValue::I32(60_000))],
    );
    let watches = shop.watches();
    assert_eq!(shop.live(&watches, queue, 0..9).assessment.line, Some(500.0));
    let old = QueueStatistics { oldest_age: Some(61_000), ..ready(100) };
    assert!(shop.look(&watches, BEGIN + 9 * DAY, queue, old).assessment.has(Symptom::TooOld));
}

#[test]
fn what_is_switched_off_says_nothing_and_forgets_nothing() {
    let mut shop = Shop::new();
    let queue = shop.declare("orders", &[]);
    let watches = shop.watches();
    shop.live(&watches, queue, 0..9);
    watches.set_defaults(LagDefaults { is_enabled: false, ..LagDefaults::default() });
    let record = Arc::new(shop.topology.queue_by_id(queue).unwrap().clone());
    let report = QueueReport { record, statistics: ready(500), state: Default::default() };
    watches.look(BEGIN + 9 * DAY, &[report], &shop.topology);
    assert!(watches.shown().is_empty());
    watches.set_defaults(LagDefaults::default());
    let now = shop.look(&watches, BEGIN + 9 * DAY + 60, queue, ready(500));
    assert_eq!(now.assessment.line, Some(200.0));
}

#[test]
fn the_service_time_comes_from_what_the_queue_has_counted() {
    let mut shop = Shop::new();
    let queue = shop.declare("orders", &[]);
    let watches = shop.watches();
    let mut statistics = ready(100);
    for at in (BEGIN..BEGIN + DAY).step_by(60) {
        statistics.acked += 1;
        statistics.hold_times.observe(40_000);
        shop.look(&watches, at, queue, statistics);
    }
    let service = shop.look(&watches, BEGIN + DAY, queue, statistics).assessment.service_seconds;
    assert!(service.is_some_and(|seconds| (40.0..57.0).contains(&seconds)), "{service:?}");
    watches.stop();
    // A process that has counted nothing yet.
    let again = shop.watches();
    let kept = shop.look(&again, BEGIN + DAY + 60, queue, ready(100)).assessment;
    // It is kept to the step of a scale.
    let ratio = kept.service_seconds.unwrap() / service.unwrap();
    assert!((0.94..1.06).contains(&ratio), "{ratio}");
}

#[test]
fn roles_come_from_the_topology_and_can_be_set() {
    let mut shop = Shop::new();
    let text = |text: &str| FieldValue::from(text);
    let delay = shop.declare(
        "delay",
        &[
            ("x-message-ttl", FieldValue::I32(1000)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("orders")),
        ],
    );
    let orders = shop.declare(
        "orders",
        &[("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("given-up"))],
    );
    let given_up = shop.declare("given-up", &[]);
    let named = shop.declare("orders.dlq", &[]);
    let set = shop.declare("archive", &[("x-queue-role", text("delay"))]);
    let watches = shop.watches();
    let idle = QueueStatistics { ready: 5, ..Default::default() };
    let role = |queue, statistics| shop.look(&watches, BEGIN, queue, statistics).role;
    assert_eq!(role(delay, idle), Role::Delay);
    assert_eq!(role(delay, ready(5)), Role::Work, "somebody consumes it");
    assert_eq!(role(orders, idle), Role::Work, "what leaves a delay queue goes back to work");
    assert_eq!(role(given_up, idle), Role::DeadLetters);
    assert_eq!(role(named, idle), Role::DeadLetters);
    assert_eq!(role(set, ready(5)), Role::Delay);
}
