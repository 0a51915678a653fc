//! Recurring schedules over `kill -9`, a stop of days, and jumps of the machine's clock (libfaketime plays
//! it): each due time has exactly one message, or is counted as missed.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::fake_clock::FakeClock;
use crate::harness::http::Admin;
use crate::harness::random::Random;
use crate::harness::session::{Session, await_ready, declare_named, get, ready_count};
use lapin::message::BasicGetMessage;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const ROUNDS_DEFAULT: u64 = 6;
const STORM_SCHEDULES: usize = 20;
const DAY_SECONDS: i64 = 86_400;

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The schedule and the due time that a message is for, in seconds.
fn due(message: &BasicGetMessage) -> (String, i64) {
    let headers = message.properties.headers().as_ref().unwrap().inner();
    let name = match headers.get("x-schedule") {
        Some(AMQPValue::LongString(name)) => String::from_utf8(name.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    match headers.get("x-due-at") {
        Some(AMQPValue::LongLongInt(due)) => (name, due / 1000),
        other => panic!("{other:?}"),
    }
}

fn set(admin: &Admin, name: &str, cron: &str, catch_up: &str) {
    let schedule = json!({ "cron": cron, "routing_key": "jobs", "catch_up": catch_up });
    admin.done("PUT", &format!("/api/schedules/%2F/{name}"), &schedule);
}

/// Set `FOREBAY_TEST_SEED` to draw the same moments, `FOREBAY_TEST_ROUNDS` for more of them.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_around_due_times_doubles_no_message_and_loses_none() {
    if !is_ours() {
        return;
    }
    let variable = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let seed = variable("FOREBAY_TEST_SEED").unwrap_or_else(Random::seed);
    let rounds = variable("FOREBAY_TEST_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    eprintln!("FOREBAY_TEST_SEED={seed} FOREBAY_TEST_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "jobs", <_>::default()).await;
    let names: Vec<String> = (0..STORM_SCHEDULES).map(|number| format!("s{number}")).collect();
    let admin = Admin::guest(&broker);
    names.iter().for_each(|name| set(&admin, name, "* * * * * *", "all"));
    for _ in 0..rounds {
        // From just before a due time to some milliseconds after it, where commits are under way.
        let into_second = Duration::from_micros(995_000 + random.below(30_000));
        let second = Duration::from_secs(now().as_secs() + 1);
        tokio::time::sleep((second + into_second).saturating_sub(now())).await;
        broker.kill();
        broker = Broker::start(data.path());
    }
    let admin = Admin::guest(&broker);
    for name in &names {
        admin.done("POST", &format!("/api/schedules/%2F/{name}/pause"), &Value::Null);
    }
    let session = Session::open_at(broker.address).await;
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    while let Some(message) = get(&session.channel, "jobs").await {
        let (name, due) = due(&message);
        found.entry(name).or_default().push(due);
    }
    for name in &names {
        let shown = admin.get(&format!("/api/schedules/%2F/{name}"));
        let last = shown["last_due_at"].as_i64().unwrap() / 1000;
        let times = &found[name];
        let expected: Vec<i64> = (times[0]..=last).collect();
        assert_eq!(times, &expected, "{name}, seed {seed}");
        assert!(expected.len() as u64 >= rounds, "{name} was due in each round");
        let counts = ["fired", "missed", "failed"].map(|count| shown[count].as_u64().unwrap());
        assert_eq!(counts, [expected.len() as u64, 0, 0], "{name}, seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_days_is_made_good_as_each_schedule_says() {
    let Some(clock) = FakeClock::make().filter(|_| is_ours()) else { return };
    let data = TempDir::new().unwrap();
    let broker = Broker::launch(&clock.launch(data.path()));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "jobs", <_>::default()).await;
    let admin = Admin::guest(&broker);
    // Due twelve hours from now, so that no due time is near.
    let noon = (now().as_secs() / 3600 + 12) % 24;
    for catch_up in ["none", "last", "all"] {
        set(&admin, catch_up, &format!("30 {noon} * * *"), catch_up);
    }
    let first = admin.get("/api/schedules/%2F/all")["next_due_at"].as_i64().unwrap() / 1000;
    broker.kill();
    clock.set(3 * DAY_SECONDS);
    let broker = Broker::launch(&clock.launch(data.path()));
    let session = Session::open_at(broker.address).await;
    await_ready(&session.channel, "jobs", 4).await;
    let mut found = Vec::new();
    while let Some(message) = get(&session.channel, "jobs").await {
        found.push(due(&message));
    }
    found.sort();
    let day = |days: i64| first + days * DAY_SECONDS;
    let expected = [("all", 0), ("all", 1), ("all", 2), ("last", 2)];
    assert_eq!(found, expected.map(|(name, days)| (name.to_owned(), day(days))));
    let admin = Admin::guest(&broker);
    for (name, fired, missed) in [("none", 0, 3), ("last", 1, 2), ("all", 3, 0)] {
        let shown = admin.get(&format!("/api/schedules/%2F/{name}"));
        assert_eq!((&shown["fired"], &shown["missed"]), (&json!(fired), &json!(missed)), "{name}");
        assert_eq!(shown["next_due_at"].as_i64().unwrap() / 1000, day(3), "{name}");
    }
    broker.await_metric("forebay_schedule_messages_total", 4.0).await;
    broker.await_metric("forebay_schedule_due_times_missed_total", 5.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_brings_no_due_time_twice() {
    let Some(clock) = FakeClock::make().filter(|_| is_ours()) else { return };
    let data = TempDir::new().unwrap();
    let broker = Broker::launch(&clock.launch(data.path()));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "jobs", <_>::default()).await;
    let admin = Admin::guest(&broker);
    let noon = (now().as_secs() / 3600 + 12) % 24;
    set(&admin, "noon", &format!("0 {noon} * * *"), "last");
    let due_at = admin.get("/api/schedules/%2F/noon")["next_due_at"].as_i64().unwrap() / 1000;
    let until = |second: i64| second - i64::try_from(now().as_secs()).unwrap();
    clock.set(until(due_at) + 5);
    await_ready(&session.channel, "jobs", 1).await;
    // Back, and there again: another schedule shows that the clock was looked at.
    clock.set(0);
    set(&admin, "witness", &format!("10 {noon} * * *"), "last");
    let witness = admin.get("/api/schedules/%2F/witness")["next_due_at"].as_i64().unwrap() / 1000;
    assert_eq!(witness, due_at + 600);
    clock.set(until(due_at) + 660);
    await_ready(&session.channel, "jobs", 2).await;
    let shown = admin.get("/api/schedules/%2F/noon");
    assert_eq!((&shown["fired"], &shown["missed"]), (&json!(1), &json!(0)));
    assert_eq!(shown["next_due_at"].as_i64().unwrap() / 1000, due_at + DAY_SECONDS);
    let mut found = Vec::new();
    while let Some(message) = get(&session.channel, "jobs").await {
        found.push(due(&message));
    }
    assert_eq!(found, [("noon".to_owned(), due_at), ("witness".to_owned(), witness)]);
    assert_eq!(ready_count(&session.channel, "jobs").await, 0);
}
