//! Messages that wait for a time: when they come into their queue, what survives a crash, what memory
//! holds, and what an operator sees.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish};
use crate::command::Command;
use crate::limits::{BODY_OWN_SIZE_MAX, DELAYED_WINDOW_BYTES_MAX};
use crate::model::{
    ConnectionId, DueClock, Message, Monotonic, QueueId, TopologyRequest, WallClock,
};
use forebay_wire::FieldValue;

const WORKER: ConnectionId = ConnectionId(2);

struct Ground {
    broker: Broker,
    queue: QueueId,
}

impl Ground {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(entries: &[(&str, FieldValue)]) -> Self {
        let mut broker = Broker::new();
        broker.open(CONNECTION);
        let queue = broker.declare("q", true, arguments(entries));
        Self { broker, queue }
    }

    fn delayed(&self, body: &str, clock: DueClock, delay: u64) -> Message {
        let due = WallClock(self.broker.now.wall.0 + delay);
        message(body.to_owned(), true).delayed(clock, due)
    }

    fn publish(&mut self, messages: Vec<Message>) {
        let command = publish(self.queue, messages, None);
        self.broker.send(CONNECTION, [command]);
    }

    fn delay(&mut self, body: &str, delay: u64) {
        let message = self.delayed(body, DueClock::Elapsed, delay);
        self.publish(vec![message]);
    }

    fn schedule(&mut self, body: &str, delay: u64) {
        let message = self.delayed(body, DueClock::Calendar, delay);
        self.publish(vec![message]);
    }

    fn subscribe(&mut self) {
        self.broker.open(WORKER);
        self.broker.subscribe(WORKER, consume("q", "c", 0));
        self.broker.reply(WORKER).unwrap();
    }

    fn bodies(&mut self) -> Vec<String> {
        let deliveries = self.broker.deliveries(WORKER);
        let body = |message: &Message| String::from_utf8(message.body().to_vec()).unwrap();
        deliveries.iter().map(|delivery| body(&delivery.message)).collect()
    }

    fn counts(&self) -> (u64, u64) {
        let statistics = self.broker.statistics("q");
        (statistics.ready, statistics.delayed)
    }

    fn jump(&mut self, by: i64) {
        let wall = &mut self.broker.now.wall.0;
        *wall = wall.checked_add_signed(by).unwrap();
    }

    /// Passes time as a server does: it comes back when the shard asked for it.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.broker.now.monotonic.plus(milliseconds);
        while let Some(next) = self.broker.shard.poll_timeout().filter(|next| *next <= end) {
            let step = next.0.saturating_sub(self.broker.now.monotonic.0);
            self.broker.pass(step);
            self.broker.begin_commit();
            self.broker.finish_commit();
        }
        self.broker.pass(end.0 - self.broker.now.monotonic.0);
    }
}

#[test]
fn a_message_comes_when_it_is_due_and_neither_counts_nor_ages_before() {
    let mut ground = Ground::new();
    ground.subscribe();
    ground.delay("later", 500);
    ground.publish(vec![message("now", true)]);
    assert_eq!(ground.bodies(), ["now"]);
    assert_eq!(ground.counts(), (0, 1));
    ground.broker.commit();
    ground.pass(499);
    assert_eq!(ground.bodies(), [""; 0]);
    let report = ground.broker.report().queues.remove(0).statistics;
    assert_eq!(report.next_delayed, Some(WallClock(ground.broker.now.wall.0 + 1)));
    ground.pass(1);
    assert_eq!(ground.bodies(), ["later"]);
    assert_eq!(ground.counts(), (0, 0));
    ground.broker.commit();
    assert_eq!(ground.broker.store.delayed(), 0);
}

#[test]
fn the_shard_asks_for_time_when_the_first_is_due() {
    let mut ground = Ground::new();
    for delay in [700, 300, 500] {
        ground.delay("x", delay);
        ground.broker.commit();
    }
    let due = ground.broker.now.monotonic.plus(300);
    assert_eq!(ground.broker.shard.poll_timeout(), Some(due));
}

#[test]
fn messages_come_in_the_order_of_their_due_times_and_then_of_publishing() {
    let mut ground = Ground::new();
    ground.subscribe();
    for (body, delay) in [("c", 300), ("a", 100), ("b", 200), ("b2", 200)] {
        ground.delay(body, delay);
    }
    ground.broker.commit();
    // All are due by the time the shard is asked again.
    ground.broker.pass(1000);
    assert_eq!(ground.bodies(), ["a", "b", "b2", "c"]);
}

#[test]
fn a_confirm_waits_until_the_message_is_durable() {
    let mut ground = Ground::new();
    let message = ground.delayed("x", DueClock::Elapsed, 500);
    let command = publish(ground.queue, vec![message], Some(1));
    ground.broker.send(CONNECTION, [command]);
    assert!(ground.broker.take_events(CONNECTION).is_empty());
    assert!(ground.broker.begin_commit());
    assert_eq!(
        ground.broker.writing[0].durability,
        crate::operation::Durability::Synced,
        "a publisher waits"
    );
    ground.broker.finish_commit();
    assert_eq!(ground.broker.take_events(CONNECTION).len(), 1);
}

#[test]
fn after_a_crash_there_is_one_copy_wherever_the_message_was() {
    for (commits_before, commits_after) in [(false, false), (true, false), (true, true)] {
        let mut ground = Ground::new();
        ground.delay("x", 100);
        if commits_before {
            ground.broker.commit();
        }
        ground.broker.pass(200);
        assert_eq!(ground.counts(), (1, 0));
        if commits_after {
            ground.broker.commit();
        }
        ground.broker.crash();
        ground.pass(0);
        assert_eq!(ground.counts(), (u64::from(commits_before), 0));
        ground.broker.commit();
        assert_eq!(ground.broker.store.delayed(), 0);
    }
}

#[test]
fn a_message_that_was_due_while_no_process_lived_comes_at_the_start() {
    let mut ground = Ground::new();
    ground.delay("a", 1_000);
    ground.schedule("b", 2_000);
    ground.schedule("c", 50_000);
    ground.broker.commit();
    ground.jump(10_000);
    ground.broker.crash();
    ground.pass(0);
    assert_eq!(ground.counts(), (2, 1));
    ground.subscribe();
    assert_eq!(ground.bodies(), ["a", "b"]);
}

#[test]
fn a_jump_of_the_wall_clock_concerns_only_what_waits_for_a_time_of_day() {
    for jump in [600_000, -600_000] {
        let mut ground = Ground::new();
        ground.delay("after", 10_000);
        ground.schedule("at", 300_000);
        ground.broker.commit();
        ground.jump(jump);
        ground.pass(9_999);
        let is_ahead = jump > 0;
        assert_eq!(ground.counts(), (u64::from(is_ahead), if is_ahead { 1 } else { 2 }));
        ground.pass(1);
        assert_eq!(ground.counts().0, 1 + u64::from(is_ahead));
        ground.pass(300_000);
        assert_eq!(ground.counts().0, 1 + u64::from(is_ahead));
        ground.pass(600_000);
        assert_eq!(ground.counts(), (2, 0));
    }
}

#[test]
fn what_was_delayed_after_a_jump_is_due_in_its_time_after_a_restart_too() {
    for jump in [600_000, -600_000] {
        let mut ground = Ground::new();
        ground.jump(jump);
        ground.delay("later", 1_000);
        ground.broker.commit();
        for (passed, expected) in [(900, &[][..]), (99, &[]), (1, &["later"])] {
            ground.broker.pass(passed);
            ground.broker.crash();
            ground.broker.open(CONNECTION);
            ground.subscribe();
            ground.broker.pass(0);
            assert_eq!(ground.bodies(), expected, "a jump of {jump} ms");
        }
    }
}

#[test]
fn a_jump_is_noticed_although_nothing_else_happens() {
    let mut ground = Ground::new();
    ground.schedule("at", 3_600_000);
    ground.broker.commit();
    let asked = ground.broker.shard.poll_timeout().unwrap();
    assert!(asked <= ground.broker.now.monotonic.plus(1_000), "{asked:?}");
    ground.jump(3_600_000);
    ground.pass(1_000);
    assert_eq!(ground.counts(), (1, 0));
}

#[test]
fn its_time_to_live_begins_when_it_is_due() {
    let mut ground = Ground::with(&[("x-message-ttl", FieldValue::I32(100))]);
    ground.delay("x", 1_000);
    ground.broker.commit();
    ground.pass(1_050);
    assert_eq!(ground.counts(), (1, 0));
    ground.pass(100);
    assert_eq!(ground.counts(), (0, 0));
}

#[test]
fn a_length_limit_counts_it_when_it_is_due() {
    for overflow in ["drop-head", "reject-publish"] {
        let limit = ("x-max-length", FieldValue::I32(1));
        let overflow = ("x-overflow", FieldValue::LongStr(overflow.into()));
        let is_drop = overflow.1 == FieldValue::LongStr("drop-head".into());
        let mut ground = Ground::with(&[limit, overflow]);
        ground.delay("a", 100);
        ground.delay("b", 100);
        ground.publish(vec![message("c", true)]);
        assert_eq!(ground.counts(), (1, 2));
        ground.broker.commit();
        ground.pass(100);
        // What was confirmed is not refused afterwards.
        assert_eq!(ground.counts(), (if is_drop { 1 } else { 3 }, 0));
    }
}

#[test]
fn priorities_hold_among_messages_that_are_due() {
    let mut ground = Ground::with(&[("x-max-priority", FieldValue::I32(5))]);
    let properties = |priority| forebay_wire::properties::Properties {
        priority: Some(priority),
        delivery_mode: Some(2),
        ..Default::default()
    };
    for (body, priority) in [("low", 1), ("high", 5)] {
        let due = WallClock(ground.broker.now.wall.0 + 100);
        let message = super::broker::message_with(body, &properties(priority), None);
        ground.publish(vec![message.delayed(DueClock::Elapsed, due)]);
    }
    ground.broker.commit();
    ground.pass(100);
    ground.subscribe();
    assert_eq!(ground.bodies(), ["high", "low"]);
}

#[test]
fn a_purge_leaves_it_and_a_delete_takes_it_away() {
    let mut ground = Ground::new();
    ground.delay("x", 1_000);
    ground.publish(vec![message("now", true)]);
    ground.broker.ask(TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() }).unwrap();
    assert_eq!(ground.counts(), (0, 1));
    let (if_unused, if_empty) = (false, true);
    let name = "q".try_into().unwrap();
    let careful = TopologyRequest::DeleteQueue { name, if_unused, if_empty };
    assert!(ground.broker.ask(careful).unwrap_err().text.contains("not empty"));
    ground.broker.delete("q");
    assert_eq!(ground.broker.store.delayed(), 0);
    ground.broker.pass(2_000);
    assert_eq!(ground.broker.shard.poll_timeout(), None);
}

#[test]
fn it_goes_to_the_store_whatever_its_delivery_mode_and_its_queue() {
    let mut broker = Broker::new();
    broker.open(CONNECTION);
    let queue = broker.declare("volatile", false, arguments(&[]));
    let due = WallClock(broker.now.wall.0 + 1_000);
    let delayed = message("x", false).delayed(DueClock::Elapsed, due);
    broker.send(CONNECTION, [publish(queue, vec![delayed], None)]);
    broker.commit();
    assert_eq!((broker.store.delayed(), broker.statistics("volatile").delayed), (1, 1));
    // The queue ends with the process, and what it had does too.
    broker.crash();
    broker.commit();
    assert_eq!(broker.store.delayed(), 0);
}

#[test]
fn a_large_body_is_handed_on_to_its_page() {
    let mut ground = Ground::new();
    let body = "x".repeat(BODY_OWN_SIZE_MAX + 1);
    ground.delay(&body, 100);
    ground.broker.commit();
    ground.pass(100);
    ground.broker.commit();
    let stored = ground.broker.store.messages(ground.queue);
    assert!(stored[0].shared_body().is_some());
    ground.broker.crash();
    ground.delay(&body, 100);
    ground.broker.commit();
    ground.pass(100);
    ground.broker.commit();
    let stored = ground.broker.store.messages(ground.queue);
    assert_ne!(stored[0].shared_body(), stored[1].shared_body());
}

#[test]
fn memory_holds_a_window_of_those_that_are_due_next() {
    let mut ground = Ground::new();
    let count = 4 * DELAYED_WINDOW_BYTES_MAX / 1_000;
    for number in 0..count {
        // Those due first come last.
        let body = format!("{number:01000}");
        ground.delay(&body, 1_000 * (count - number));
        if number % 50 == 0 {
            ground.broker.commit();
        }
    }
    ground.broker.commit();
    let cached = ground.broker.report().cached_bytes;
    assert!(cached <= DELAYED_WINDOW_BYTES_MAX, "{cached}");
    let mut come = 0;
    for number in (0..count).rev() {
        ground.pass(1_000);
        come += 1;
        assert_eq!(ground.counts(), (come, number));
        assert!(ground.broker.report().cached_bytes <= 4 * DELAYED_WINDOW_BYTES_MAX);
        if come == 100 {
            ground
                .broker
                .ask(TopologyRequest::PurgeQueue { name: "q".try_into().unwrap() })
                .unwrap();
            come = 0;
        }
    }
}

#[test]
fn what_is_published_while_the_store_is_read_is_not_passed_over() {
    let mut ground = Ground::new();
    ground.delay("first", 5_000);
    ground.delay("last", 7_000);
    ground.broker.commit();
    ground.broker.crash();
    ground.broker.open(CONNECTION);
    // The shard asks for what is due soon; before it is answered, another one is committed.
    ground.broker.now.monotonic = ground.broker.now.monotonic.plus(4_500);
    ground.broker.now.wall.0 += 4_500;
    ground.broker.shard.handle_timeout(ground.broker.now);
    let fetch = ground.broker.shard.poll_delayed_fetch(ground.broker.now).unwrap();
    let fetched = ground.broker.store.read_delayed(fetch);
    let between = ground.delayed("between", DueClock::Elapsed, 1_500);
    let command = publish(ground.queue, vec![between], None);
    ground.broker.shard.handle_commands(ground.broker.now, CONNECTION, [command]);
    ground.broker.shard.commits.hurry();
    assert!(ground.broker.begin_commit());
    ground.broker.finish_commit_only();
    ground.broker.shard.handle_delayed_fetched(ground.broker.now, fetched);
    ground.broker.commit();
    ground.subscribe();
    ground.pass(4_000);
    assert_eq!(ground.bodies(), ["first", "between", "last"]);
}

#[test]
fn a_delayed_message_in_a_transaction_takes_no_room() {
    let limits = [
        ("x-max-length", FieldValue::I32(1)),
        ("x-overflow", FieldValue::LongStr("reject-publish".into())),
    ];
    let mut ground = Ground::with(&limits);
    ground.publish(vec![message("full", true)]);
    let delayed = ground.delayed("x", DueClock::Elapsed, 100);
    let Command::Publish(publish) = publish(ground.queue, vec![delayed], None) else { panic!() };
    let commit = Command::CommitTransaction {
        channel: CHANNEL,
        publishes: vec![publish],
        settles: Vec::new(),
        replies: Vec::new(),
    };
    ground.broker.send(CONNECTION, [commit]);
    ground.broker.commit();
    ground.broker.reply(CONNECTION).unwrap();
    assert_eq!(ground.counts(), (1, 1));
}

#[test]
fn a_shard_without_delayed_messages_asks_for_no_time() {
    let mut ground = Ground::new();
    ground.schedule("x", 100);
    ground.broker.commit();
    ground.pass(100);
    ground.broker.commit();
    assert_eq!(ground.counts(), (1, 0));
    assert_eq!(ground.broker.shard.poll_timeout(), None::<Monotonic>);
}
