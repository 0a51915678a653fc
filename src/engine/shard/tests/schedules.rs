//! Recurring schedules: one message for each due time, also over crashes and jumps of the clock; what becomes of
//! missed ones; and what an operator may do with them.

use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume};
use crate::administration::Administration;
use crate::command::Command;
use crate::definition::{DefinedObject, Definition};
use crate::event::Reply;
use crate::limits::{SCHEDULES_FIRED_MAX, SCHEDULES_PER_VHOST_MAX};
use crate::model::{
    ConnectionId, Fault, Message, Monotonic, ObjectName, TopologyRequest, WallClock,
};
use crate::operation::Operation;
use crate::schedules::{CatchUp, FiringOutcome, Schedule, ScheduleKey, ScheduleRequest};
use crate::shard::{ScheduleListing, ScheduleReport};
use crate::trace::Happening;
use crate::trace_request::TraceRequest;
use bytes::Bytes;
use forebay_wire::properties::Properties;
use forebay_wire::{FieldValue, RawProperties, ShortStr};
use proptest::prelude::*;
use std::collections::BTreeSet;

const WORKER: ConnectionId = ConnectionId(2);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

struct Ground {
    broker: Broker,
}

fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

fn key(name: &str) -> ScheduleKey {
    ScheduleKey { vhost: short("/"), name: short(name) }
}

/// To the queue `q`.
fn schedule(name: &str, cron: &str, catch_up: CatchUp) -> Schedule {
    schedule_to(name, cron, catch_up, ("", "q"))
}

fn schedule_to(
    name: &str,
    cron: &str,
    catch_up: CatchUp,
    (exchange, routing_key): (&str, &str),
) -> Schedule {
    Schedule::new(ScheduleRequest {
        name: &short(name),
        cron,
        time_zone: "UTC",
        exchange: &ObjectName::from(short(exchange)),
        routing_key: &short(routing_key),
        properties: &Properties { content_type: Some(short("text/plain")), ..<_>::default() },
        body: Bytes::from_static(b"tick"),
        catch_up,
        is_paused: false,
    })
    .unwrap()
}

fn defined(schedule: Box<Schedule>, says_paused: bool) -> DefinedObject {
    DefinedObject::Schedule { vhost: short("/"), schedule, says_paused }
}

impl Ground {
    /// At ten seconds past a whole hour, with a queue `q`.
    fn new() -> Self {
        let mut broker = Broker::new();
        broker.now.wall = WallClock(100 * HOUR + 10_000);
        broker.open(CONNECTION);
        broker.declare("q", true, <_>::default());
        Self { broker }
    }

    fn request(&mut self, request: Administration) -> Result<Reply, Fault> {
        let request = Box::new(request);
        self.broker.send(CONNECTION, [Command::Administer { channel: CHANNEL, request }]);
        self.broker.commit();
        self.broker.reply(CONNECTION)
    }

    fn set(&mut self, schedule: Schedule) {
        let request =
            Administration::SetSchedule { vhost: short("/"), schedule: Box::new(schedule) };
        assert!(matches!(self.request(request), Ok(Reply::Done)));
    }

    fn pause(&mut self, name: &str, is_paused: bool) {
        let request = Administration::PauseSchedule { key: key(name), is_paused };
        assert!(matches!(self.request(request), Ok(Reply::Done)));
    }

    fn run(&mut self, name: &str) -> Result<FiringOutcome, Fault> {
        match self.request(Administration::RunSchedule(key(name)))? {
            Reply::ScheduleRun(outcome) => Ok(outcome),
            other => panic!("{other:?}"),
        }
    }

    /// Passes time as a server does: it comes back when the shard asked for it, and writes what there is.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.broker.now.monotonic.plus(milliseconds);
        while let Some(next) = self.broker.shard.poll_timeout().filter(|next| *next <= end) {
            let step = next.0.saturating_sub(self.broker.now.monotonic.0);
            self.broker.pass(step);
            self.broker.begin_commit();
            self.broker.finish_commit();
        }
        self.broker.pass(end.0 - self.broker.now.monotonic.0);
        self.broker.commit();
    }

    /// The process dies, and begins again after so much time.
    fn crash(&mut self, milliseconds: u64) {
        self.broker.now.wall.0 += milliseconds;
        self.broker.crash();
        self.pass(0);
    }

    fn jump(&mut self, by: i64) {
        let wall = &mut self.broker.now.wall.0;
        *wall = wall.checked_add_signed(by).unwrap();
    }

    fn ready(&self) -> u64 {
        self.broker.statistics("q").ready
    }

    /// The messages in the queue.
    fn messages(&mut self) -> Vec<Message> {
        self.broker.open(WORKER);
        self.broker.subscribe(WORKER, consume("q", "c", 0));
        self.broker.reply(WORKER).unwrap();
        let deliveries = self.broker.deliveries(WORKER);
        deliveries.into_iter().map(|delivery| delivery.message).collect()
    }

    /// The due times that they are for, in ms behind the hour at which the test began.
    fn due_times(&mut self) -> Vec<u64> {
        let due = |message: &Message| match properties(message).headers.unwrap().get("x-due-at") {
            Some(FieldValue::I64(due)) => due.unsigned_abs() - 100 * HOUR,
            other => panic!("{other:?}"),
        };
        self.messages().iter().map(due).collect()
    }

    fn reports(&self) -> Vec<ScheduleReport> {
        let mut list = ScheduleListing::default();
        loop {
            if let Some(found) = self.broker.shard.advance_schedules(&mut list) {
                return found;
            }
        }
    }

    fn report(&self, name: &str) -> ScheduleReport {
        let reports = self.reports();
        reports.into_iter().find(|report| report.key == key(name)).expect("the schedule")
    }

    fn records(&self, kind: u8) -> Vec<(Bytes, Bytes)> {
        let records = self.broker.store.recover().records;
        records.into_iter().filter(|(key, _)| key[0] == kind).collect()
    }
}

fn properties(message: &Message) -> Properties {
    RawProperties::parse(message.properties_bytes()).unwrap().decode()
}

#[test]
fn each_due_time_has_one_message_that_tells_of_it() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    ground.pass(3 * HOUR);
    let messages = ground.messages();
    assert_eq!(messages.len(), 3);
    for (hour, message) in (101..).zip(&messages) {
        let properties = properties(message);
        let headers = properties.headers.unwrap();
        assert_eq!(message.body(), "tick");
        assert!(message.is_persistent());
        assert_eq!(headers.get("x-schedule"), Some(&FieldValue::from("hourly")));
        assert_eq!(headers.get("x-due-at"), Some(&FieldValue::I64(hour * 3_600_000)));
        assert_eq!(properties.timestamp, Some(hour as u64 * 3600));
        let id = format!("hourly@1970-01-05T0{}:00:00Z", hour - 96);
        assert_eq!(properties.message_id, Some(short(&id)));
        assert_eq!(properties.content_type, Some(short("text/plain")));
    }
    let report = ground.report("hourly");
    assert_eq!(report.next_due, Some(WallClock(104 * HOUR)));
    assert_eq!(report.progress.last_due, Some(WallClock(103 * HOUR)));
    assert_eq!(report.progress.last.unwrap().outcome, FiringOutcome::Delivered { queues: 1 });
    assert_eq!((report.progress.fired, report.progress.missed), (3, 0));
}

#[test]
fn the_shard_asks_for_time_when_one_is_due_and_looks_at_the_clock_before() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    let now = ground.broker.now.monotonic;
    assert_eq!(ground.broker.shard.poll_timeout(), Some(now.plus(500)));
    ground.broker.pass(HOUR - 10_000 - 200);
    let now = ground.broker.now.monotonic;
    assert_eq!(ground.broker.shard.poll_timeout(), Some(now.plus(200)));
}

#[test]
fn the_message_and_the_record_of_its_due_time_are_in_one_synced_commit() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    ground.broker.pass(HOUR);
    assert!(ground.broker.begin_commit());
    let commit = ground.broker.writing.back().unwrap();
    let has_page = commit.operations.iter().any(|it| matches!(it, Operation::PutPage { .. }));
    let has_progress = commit
        .operations
        .iter()
        .any(|it| matches!(it, Operation::PutRecord { key, .. } if key[0] == b't'));
    assert!(has_page && has_progress, "{commit:?}");
    assert_eq!(commit.durability, crate::operation::Durability::Synced);
}

#[test]
fn after_a_crash_at_the_due_time_there_is_one_message() {
    for is_committed in [false, true] {
        let mut ground = Ground::new();
        ground.set(schedule("hourly", "0 * * * *", CatchUp::None));
        ground.broker.pass(HOUR);
        assert_eq!(ground.ready(), 1);
        if is_committed {
            ground.broker.commit();
        }
        ground.crash(10);
        assert_eq!(ground.ready(), 1);
        ground.crash(10);
        assert_eq!(ground.due_times(), [HOUR]);
    }
}

#[test]
fn a_restart_of_less_than_a_minute_misses_none() {
    for catch_up in CatchUp::ALL {
        let mut ground = Ground::new();
        ground.set(schedule("often", "*/20 * * * * *", catch_up));
        ground.crash(59_000);
        assert_eq!(ground.due_times(), [20_000, 40_000, MINUTE]);
        assert_eq!(ground.report("often").progress.missed, 0);
    }
}

#[test]
fn what_was_missed_is_made_good_as_the_schedule_says() {
    for (catch_up, fired, missed) in [
        (CatchUp::None, vec![], 3),
        (CatchUp::Last, vec![3 * HOUR], 2),
        (CatchUp::All, vec![HOUR, 2 * HOUR, 3 * HOUR], 0),
    ] {
        let mut ground = Ground::new();
        ground.set(schedule("hourly", "0 * * * *", catch_up));
        ground.crash(3 * HOUR + 30 * MINUTE);
        assert_eq!(ground.due_times(), fired, "{catch_up:?}");
        let report = ground.report("hourly");
        assert_eq!(report.progress.missed, missed, "{catch_up:?}");
        assert_eq!(report.next_due, Some(WallClock(104 * HOUR)));
        assert_eq!(ground.broker.shard.statistics().schedules.missed, missed);
        // It is dealt with.
        ground.crash(0);
        assert_eq!(ground.report("hourly").progress.missed, missed);
    }
}

#[test]
fn due_times_before_a_schedule_was_set_are_not_its_own() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    ground.crash(1);
    assert_eq!(ground.ready(), 0);
    assert_eq!(ground.report("hourly").next_due, Some(WallClock(101 * HOUR)));
}

#[test]
fn a_clock_that_is_set_back_brings_no_due_time_again() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    ground.pass(2 * HOUR);
    assert_eq!(ground.ready(), 2);
    ground.jump(-(90 * MINUTE as i64));
    ground.pass(HOUR);
    assert_eq!(ground.ready(), 2);
    ground.pass(2 * HOUR);
    assert_eq!(ground.due_times(), [HOUR, 2 * HOUR, 3 * HOUR]);
}

#[test]
fn a_schedule_that_waits_for_a_clock_that_was_set_back_begins_anew_when_it_is_told_to() {
    let mut ground = Ground::new();
    ground.jump(1000 * HOUR as i64);
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    ground.jump(-(1000 * HOUR as i64));
    ground.pass(2 * HOUR);
    assert_eq!(ground.ready(), 0);
    ground.pause("hourly", true);
    ground.pause("hourly", false);
    ground.pass(HOUR);
    assert_eq!(ground.due_times(), [3 * HOUR]);
}

#[test]
fn a_clock_that_is_set_forward_is_noticed_at_once_and_what_it_passes_over_was_missed() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    ground.jump(5 * HOUR as i64 + 30 * MINUTE as i64);
    ground.pass(500);
    let report = ground.report("hourly");
    assert_eq!((report.progress.fired, report.progress.missed), (1, 4));
    assert_eq!(ground.due_times(), [5 * HOUR]);
}

#[test]
fn a_message_that_reaches_no_queue_is_counted_and_the_schedule_goes_on() {
    let mut ground = Ground::new();
    ground.broker.declare(
        "full",
        true,
        arguments(&[
            ("x-max-length", FieldValue::I32(0)),
            ("x-overflow", FieldValue::from("reject-publish")),
        ]),
    );
    for (name, to, expected) in [
        ("gone", ("none", ""), FiringOutcome::NoExchange),
        ("lost", ("amq.direct", "nowhere"), FiringOutcome::NoRoute),
        ("refused", ("", "full"), FiringOutcome::Refused),
    ] {
        ground.set(schedule_to(name, "0 * * * *", CatchUp::Last, to));
        ground.pass(2 * HOUR);
        let progress = ground.report(name).progress;
        assert_eq!(progress.last.unwrap().outcome, expected);
        assert_eq!((progress.fired, progress.failed), (0, 2));
        assert_eq!(ground.run(name).unwrap(), expected);
        assert!(matches!(
            ground.request(Administration::DeleteSchedule(key(name))),
            Ok(Reply::Done)
        ));
    }
    assert_eq!(ground.broker.shard.statistics().schedules.failed, 9);
    assert_eq!(ground.ready(), 0);
}

#[test]
fn a_queue_that_comes_later_gets_what_is_due_then() {
    let mut ground = Ground::new();
    ground.set(schedule_to("hourly", "0 * * * *", CatchUp::Last, ("", "later")));
    ground.pass(HOUR);
    ground.broker.declare("later", true, <_>::default());
    ground.pass(HOUR);
    assert_eq!(ground.broker.statistics("later").ready, 1);
    let progress = ground.report("hourly").progress;
    assert_eq!((progress.fired, progress.failed), (1, 1));
}

#[test]
fn a_paused_schedule_stands_still_and_goes_on_with_what_is_due_then() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    ground.pause("hourly", true);
    assert_eq!(ground.report("hourly").next_due, None);
    ground.pass(2 * HOUR);
    ground.crash(HOUR);
    ground.pause("hourly", false);
    ground.pass(HOUR);
    assert_eq!(ground.report("hourly").progress.missed, 0);
    assert_eq!(ground.due_times(), [4 * HOUR]);
}

#[test]
fn a_file_that_does_not_say_so_sets_no_paused_schedule_going() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    ground.pause("hourly", true);
    for (says_paused, next_due) in [(false, None), (true, Some(WallClock(101 * HOUR)))] {
        let schedule = Box::new(schedule("hourly", "0 * * * *", CatchUp::Last));
        let object = defined(schedule, says_paused);
        let definition = Definition { path: "schedules[0]".to_owned(), object };
        ground.request(Administration::Import(vec![definition])).unwrap();
        assert_eq!(ground.report("hourly").next_due, next_due);
    }
}

#[test]
fn an_operator_has_it_run_beside_its_due_times() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    ground.pause("hourly", true);
    for _ in 0..2 {
        assert_eq!(ground.run("hourly").unwrap(), FiringOutcome::Delivered { queues: 1 });
    }
    let messages = ground.messages();
    let ids: BTreeSet<String> =
        messages.iter().map(|it| properties(it).message_id.unwrap().to_string()).collect();
    let expected = ["hourly@1970-01-05T04:00:10Z#0", "hourly@1970-01-05T04:00:10Z#1"];
    assert_eq!(ids, expected.map(str::to_owned).into());
    for message in &messages {
        let headers = properties(message).headers.unwrap();
        assert_eq!(headers.get("x-due-at"), None);
        let at = ground.broker.now.wall.0 as i64;
        assert_eq!(headers.get("x-run-at"), Some(&FieldValue::I64(at)));
    }
    let progress = ground.report("hourly").progress;
    assert_eq!((progress.fired, progress.runs, progress.last_due), (2, 2, None));
}

#[test]
fn a_schedule_that_is_set_again_goes_on_and_one_with_other_times_begins_now() {
    let mut ground = Ground::new();
    ground.set(schedule("s", "0 * * * *", CatchUp::All));
    ground.pass(HOUR);
    // What it says already: an operator's tool repeats itself.
    let before = ground.records(b's');
    ground.set(schedule("s", "0 * * * *", CatchUp::All));
    assert_eq!(ground.records(b's'), before);
    // Another message at the same times: none of them is lost meanwhile.
    ground.broker.now.wall.0 += 2 * HOUR;
    ground.set(schedule("s", "0 * * * *", CatchUp::None));
    assert_eq!(ground.report("s").progress.fired, 3);
    ground.broker.now.wall.0 += 1;
    ground.set(schedule("s", "30 * * * *", CatchUp::All));
    let report = ground.report("s");
    assert_eq!((report.progress.fired, report.progress.missed), (3, 0));
    assert_eq!(report.next_due, Some(WallClock(103 * HOUR + 30 * MINUTE)));
}

#[test]
fn a_deleted_schedule_leaves_no_record() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::Last));
    assert!(matches!(
        ground.request(Administration::DeleteSchedule(key("hourly"))),
        Ok(Reply::Done)
    ));
    assert!(ground.records(b's').is_empty() && ground.records(b't').is_empty());
    ground.pass(2 * HOUR);
    assert_eq!(ground.ready(), 0);
    for request in [
        Administration::DeleteSchedule(key("hourly")),
        Administration::RunSchedule(key("hourly")),
        Administration::PauseSchedule { key: key("hourly"), is_paused: true },
    ] {
        let fault = ground.request(request).unwrap_err();
        assert_eq!(fault.text, "no schedule 'hourly' in vhost '/'");
    }
}

#[test]
fn schedules_go_with_their_virtual_host() {
    let mut ground = Ground::new();
    let shop = short("shop");
    let make = Administration::PutVhost { name: shop.clone(), update: <_>::default() };
    ground.request(make).unwrap();
    let of_shop = Box::new(schedule("s", "0 * * * *", CatchUp::All));
    let set = Administration::SetSchedule { vhost: shop.clone(), schedule: of_shop };
    ground.request(set.clone()).unwrap();
    ground.set(schedule("s", "0 * * * *", CatchUp::All));
    ground.request(Administration::DeleteVhost { name: shop }).unwrap();
    assert_eq!(ground.reports().len(), 1);
    assert_eq!((ground.records(b's').len(), ground.records(b't').len()), (1, 1));
    assert_eq!(ground.request(set).unwrap_err().text, "vhost shop not found");
    ground.crash(HOUR);
    assert_eq!(ground.due_times(), [HOUR]);
}

#[test]
fn a_virtual_host_has_so_many_schedules_and_no_more() {
    let mut ground = Ground::new();
    let name = |number: usize| format!("s{number}");
    let definitions = (0..SCHEDULES_PER_VHOST_MAX).map(|number| {
        let schedule = Box::new(schedule(&name(number), "0 * * * *", CatchUp::Last));
        Definition { path: name(number), object: defined(schedule, true) }
    });
    let definitions: Vec<Definition> = definitions.collect();
    ground.request(Administration::Import(definitions)).unwrap();
    let one_more = Box::new(schedule("more", "0 * * * *", CatchUp::Last));
    let set = Administration::SetSchedule { vhost: short("/"), schedule: one_more.clone() };
    let text = ground.request(set).unwrap_err().text;
    assert!(text.starts_with("vhost '/' has 1000 schedules"), "{text}");
    let object = defined(one_more, true);
    let definition = Definition { path: "schedules[0]".to_owned(), object };
    let text = ground.request(Administration::Import(vec![definition])).unwrap_err().text;
    assert!(text.starts_with("schedules[0]: vhost '/' has 1000 schedules"), "{text}");
    // One that is there can still be changed.
    ground.set(schedule("s7", "0 0-23 * * *", CatchUp::Last));
    // All are due in the same second: they come in slices, and all of them.
    ground.broker.now.wall.0 = 101 * HOUR;
    ground.broker.shard.handle_timeout(ground.broker.now);
    assert_eq!(ground.ready(), SCHEDULES_FIRED_MAX as u64);
    assert_eq!(ground.broker.shard.poll_timeout(), Some(Monotonic::AT_ONCE));
    ground.pass(0);
    assert_eq!(ground.ready(), SCHEDULES_PER_VHOST_MAX as u64);
}

#[test]
fn a_schedule_without_a_record_of_its_progress_begins_when_it_is_found() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    let (progress, _) = ground.records(b't').remove(0);
    ground.broker.store.remove_record(&progress);
    ground.crash(5 * HOUR);
    assert_eq!(ground.ready(), 0);
    assert_eq!(ground.records(b't').len(), 1);
    ground.pass(HOUR);
    assert_eq!(ground.due_times(), [6 * HOUR]);
}

#[test]
fn a_schedule_that_another_version_set_stands_still_and_says_why() {
    let mut ground = Ground::new();
    ground.set(schedule("hourly", "0 * * * *", CatchUp::All));
    let (key, value) = ground.records(b's').remove(0);
    let at = value.windows(3).position(|window| window == b"UTC").unwrap();
    let mut newer = value.to_vec();
    newer[at..at + 3].copy_from_slice(b"UTD");
    ground.broker.store.put_record(key.clone(), newer.into());
    ground.crash(HOUR);
    let report = ground.report("hourly");
    assert_eq!((report.next_due, ground.ready()), (None, 0));
    assert!(report.problem.unwrap().contains("'UTD' is no time zone"));
    assert_eq!(ground.run("hourly").unwrap(), FiringOutcome::Delivered { queues: 1 });
    // The version that knows it is back: what was due is made good.
    ground.broker.store.put_record(key, value);
    ground.crash(HOUR);
    assert_eq!(ground.report("hourly").progress.fired, 3);
}

#[test]
fn a_delayed_message_of_a_schedule_waits_in_its_queue() {
    let mut ground = Ground::new();
    let headers = arguments(&[("x-delay", FieldValue::I32(5000))]);
    let properties = Properties { headers: Some(headers), ..<_>::default() };
    let mut schedule = schedule("hourly", "0 * * * *", CatchUp::Last);
    schedule = Schedule::new(ScheduleRequest {
        name: schedule.name(),
        cron: "0 * * * *",
        time_zone: "UTC",
        exchange: schedule.exchange(),
        routing_key: schedule.routing_key(),
        properties: &properties,
        body: Bytes::new(),
        catch_up: CatchUp::Last,
        is_paused: false,
    })
    .unwrap();
    ground.set(schedule);
    ground.pass(HOUR - 10_000 + 4_999);
    assert_eq!((ground.ready(), ground.broker.statistics("q").delayed), (0, 1));
    ground.pass(3);
    assert_eq!(ground.due_times(), [HOUR]);
}

#[test]
fn an_internal_exchange_takes_nothing_from_schedules() {
    let mut ground = Ground::new();
    let request = TopologyRequest::DeclareExchange(crate::model::ExchangeDeclaration {
        name: ObjectName::from_static("inner"),
        kind: short("fanout"),
        durable: true,
        internal: true,
        ..<_>::default()
    });
    ground.broker.ask(request).unwrap();
    ground.set(schedule_to("s", "0 * * * *", CatchUp::Last, ("inner", "")));
    assert_eq!(ground.run("s").unwrap(), FiringOutcome::InternalExchange);
}

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// Time passes, and what is due is published and not yet written.
    Fire(u64),
    Crash(u64),
    Jump(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..90_000_u64).prop_map(Step::Pass),
        (0..30_000_u64).prop_map(Step::Fire),
        (0..600_000_u64).prop_map(Step::Crash),
        (-600_000..600_000_i64).prop_map(Step::Jump),
    ];
    proptest::collection::vec(step, 1..24)
}

proptest! {
    /// Every schedule makes all of its due times good, so that each that the clock has ever shown has its message.
    #[test]
    fn every_due_time_has_exactly_one_message_whatever_happens(steps in steps()) {
        let mut ground = Ground::new();
        ground.set(schedule("a", "*/10 * * * * *", CatchUp::All));
        ground.set(schedule("b", "*/3 * * * *", CatchUp::All));
        let start = ground.broker.now.wall.0;
        let mut latest = start;
        for step in steps {
            match step {
                Step::Pass(milliseconds) => ground.pass(milliseconds),
                Step::Fire(milliseconds) => ground.broker.pass(milliseconds),
                Step::Crash(milliseconds) => ground.crash(milliseconds),
                Step::Jump(by) => {
                    ground.jump(by);
                    ground.pass(0);
                }
            }
            latest = latest.max(ground.broker.now.wall.0);
        }
        // The clock that crashed ahead of its schedules may be behind them now.
        ground.jump(latest as i64 - ground.broker.now.wall.0 as i64);
        ground.pass(500);
        latest = latest.max(ground.broker.now.wall.0);
        let due = |name: &'static str, interval: u64| {
            let first = start / interval + 1;
            (first..=latest / interval).map(move |number| (name.to_owned(), number * interval))
        };
        let expected: Vec<(String, u64)> = due("a", 10_000).chain(due("b", 180_000)).collect();
        let mut found: Vec<(String, u64)> = ground
            .messages()
            .iter()
            .map(|message| {
                let headers = properties(message).headers.unwrap();
                let name = headers.get("x-schedule").unwrap().as_text().unwrap().to_owned();
                (name, headers.get("x-due-at").unwrap().as_integer().unwrap() as u64)
            })
            .collect();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_queue_that_traces_tells_which_schedule_published() {
    let mut ground = Ground::new();
    ground.broker.declare("traced", true, arguments(&[("x-trace", FieldValue::I32(10))]));
    ground.set(schedule_to("hourly", "0 * * * *", CatchUp::Last, ("", "traced")));
    ground.run("hourly").unwrap();
    let request = Box::new(TraceRequest {
        queue: "traced".try_into().unwrap(),
        message_id: None,
        below: None,
        count_max: 10,
    });
    ground.broker.send(CONNECTION, [Command::Trace { channel: CHANNEL, request }]);
    let Ok(Reply::Trace(page)) = ground.broker.reply(CONNECTION) else { panic!() };
    let first = &page.lives[0].events[0].what;
    assert_eq!(*first, Happening::Scheduled { by: short("hourly") });
}
