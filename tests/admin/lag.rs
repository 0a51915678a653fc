//! What a broker has learnt of a queue's lag: told, accepted by an operator, and there after a kill.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::fake_clock::FakeClock;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{Session, consume, declare_named, fill, next};
use crate::http::Admin;
use forebay_lag::{QueueWatch, Role, Sample, Settings};
use forebay_store::limits::LAG_DAYS_MAX;
use forebay_store::{LagDay, LagHistories};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const DAY: u64 = 86_400;
const LINE: &str = "forebay_queue_lag_alert_line_messages{vhost=\"/\",queue=\"orders\"}";
const ABOVE: &str = "forebay_queue_symptom{vhost=\"/\",queue=\"orders\",symptom=\"above-line\"}";

/// Leaves nine days in which the first queues had 100 messages each.
fn leave_history(data: &Path) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut watch = QueueWatch::default();
    for at in (now - 9 * DAY..now - 600).step_by(300) {
        let sample = Sample { at, lag: 100.0, ..Sample::default() };
        watch.observe(&sample, Role::Work, &Settings::default());
    }
    let histories = LagHistories::of(data);
    for day in watch.history().changed() {
        let encoded = watch.history().encoded(day).unwrap();
        let queues = (0..10).map(|queue| LagDay {
            queue: forebay_engine::model::QueueId(queue),
            encoded: encoded.clone(),
        });
        histories.write(day, queues, LAG_DAYS_MAX).unwrap();
    }
}

/// Waits until the admin listener says so of the queue's lag.
async fn await_lag(admin: &Admin, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let said = async {
        loop {
            let lag = admin.get("/api/queues/%2F/orders")["lag"].clone();
            if is_so(&lag) {
                return lag;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    must(what, said).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_above_the_line_is_told_and_what_is_accepted_outlives_a_kill() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    broker.kill();
    leave_history(data.path());

    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    await_lag(&admin, "a line", |lag| lag["alert_line"] == json!(200.0)).await;
    assert_eq!(broker.metric(LINE), 200.0);
    let session = Session::open_at(broker.address).await;
    let messages: Vec<&str> = std::iter::repeat_n("m", 300).collect();
    fill(&session, "orders", &messages).await;
    let lag = await_lag(&admin, "a symptom", |lag| lag["symptoms"] == json!(["above-line"])).await;
    assert_eq!(broker.metric(ABOVE), 1.0);
    assert_eq!((&lag["role"], &lag["confidence"]), (&json!("work"), &json!("trusted")));
    assert!(printed(&broker, &["lag", "show", "orders"]).contains("above-line"));
    assert!(printed(&broker, &["queue", "list"]).contains("above-line"));
    let shown = printed(&broker, &["queue", "show", "orders"]);
    for part in [
        "3.0 times its normal peak of 100",
        "above the alert line of 200",
        "orders.dlq",
        "lag-line-percent",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    assert!(printed(&broker, &["status"]).contains("above-line: 1"));

    printed(&broker, &["queue", "accept-normal", "orders"]);
    await_lag(&admin, "no symptom", |lag| lag["symptoms"] == json!([])).await;
    broker.kill();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let lag = await_lag(&admin, "a line", |lag| lag["alert_line"].is_number()).await;
    assert_eq!(lag["symptoms"], json!([]));
    assert_eq!(lag["alert_line"].as_f64().map(f64::round), Some(600.0));

    let text = complaint(&broker, &["queue", "accept-normal", "nowhere"]);
    assert!(text.contains("no queue 'nowhere'"), "{text}");
}

/// A directory with the queue "orders", one message in it, and nine days of history.
async fn with_history() -> TempDir {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    fill(&session, "orders", &["m"]).await;
    broker.kill();
    leave_history(data.path());
    data
}

/// What the program says of a data directory, and whether it succeeded.
fn offline(data: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.args(arguments).arg("--data-dir").arg(data).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Spoils what one of the older days has of the first queue.
fn spoil(data: &Path) -> (PathBuf, Vec<u8>) {
    let mut days: Vec<PathBuf> = std::fs::read_dir(data.join("lag"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    days.sort();
    let day = days[2].clone();
    let mut bytes = std::fs::read(&day).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&day, &bytes).unwrap();
    (day, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_history_is_named_and_put_aside_and_nothing_else_is_lost() {
    let data = with_history().await;
    assert!(offline(data.path(), &["verify"]).0);
    let (day, spoilt) = spoil(data.path());
    let name = day.file_name().unwrap();
    let (is_sound, text) = offline(data.path(), &["verify"]);
    let place = format!("lag/{}", name.to_str().unwrap());
    assert!(!is_sound && text.contains(&place), "{text}");
    assert!(text.contains("lag history of queue") && text.contains("and no message"), "{text}");
    let (is_done, text) = offline(data.path(), &["repair", "--accept-loss"]);
    assert!(is_done, "{text}");
    let aside = data.path().join("damaged-1");
    assert_eq!(std::fs::read(aside.join("lag").join(name)).unwrap(), spoilt);
    assert!(aside.join("REPORT.txt").is_file() && !aside.join("fjall").exists());
    assert!(offline(data.path(), &["verify"]).0);
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    await_lag(&admin, "a line", |lag| lag["alert_line"] == json!(200.0)).await;
    assert_eq!(admin.get("/api/queues/%2F/orders")["messages"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_puts_a_damaged_history_aside_by_itself() {
    let data = with_history().await;
    let (day, spoilt) = spoil(data.path());
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    await_lag(&admin, "a line", |lag| lag["alert_line"] == json!(200.0)).await;
    let aside = data.path().join("lag/damaged").join(day.file_name().unwrap());
    assert_eq!(std::fs::read(aside).unwrap(), spoilt);
    broker.kill();
    assert!(offline(data.path(), &["verify"]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_for_a_while_neither_loses_nor_bends_a_history() {
    let Some(clock) = FakeClock::make() else { return };
    let data = with_history().await;
    let broker = Broker::launch(&clock.launch(data.path()));
    let admin = Admin::guest(&broker);
    let is_right = |lag: &Value| lag["alert_line"] == json!(200.0);
    await_lag(&admin, "a line", is_right).await;
    for days in [400, -400] {
        clock.set(days * DAY as i64);
        await_lag(&admin, "no history in that time", |lag| lag["alert_line"].is_null()).await;
        clock.set(0);
        await_lag(&admin, "the line again", is_right).await;
    }
    // Killed while the clock is wrong, and started with the right one.
    clock.set(400 * DAY as i64);
    await_lag(&admin, "no history in that time", |lag| lag["alert_line"].is_null()).await;
    broker.kill();
    clock.set(0);
    let broker = Broker::launch(&clock.launch(data.path()));
    await_lag(&Admin::guest(&broker), "the line after a kill", is_right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_time_of_a_queue_is_measured_and_the_configuration_sets_what_holds() {
    let data = TempDir::new().unwrap();
    let launch = Launch::on(data.path())
        .argument("--lag-line-percent=300")
        .argument("--lag-max-age-slo-ms=10m");
    let broker = Broker::launch(&launch);
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "orders", <_>::default()).await;
    fill(&session, "orders", &["m"; 30]).await;
    let mut consumer = consume(&session.channel, "orders").await;
    for _ in 0..30 {
        next(&mut consumer).await.ack(<_>::default()).await.unwrap();
    }
    let admin = Admin::guest(&broker);
    let settings = admin.get("/api/queues/%2F/orders")["settings"].clone();
    for setting in [
        json!({ "name": "lag-line-percent", "value": 300, "source": "default", "policy": null }),
        json!({ "name": "max-age-slo", "value": 600_000, "source": "default", "policy": null }),
    ] {
        assert!(settings.as_array().unwrap().contains(&setting), "{setting} in {settings}");
    }
    let age = |lag: &Value| lag["oldest_age_line_seconds"] == json!(600.0);
    await_lag(&admin, "the age that holds", age).await;
    await_lag(&admin, "a service time", |lag| lag["service_seconds"].is_number()).await;
    assert!(
        printed(&broker, &["queue", "show", "orders"]).contains("99 of 100 are settled within")
    );
    drop(broker);
    let broker = Broker::launch(&Launch::on(data.path()).argument("--lag-enabled=false"));
    let admin = Admin::guest(&broker);
    assert_eq!(admin.get("/api/queues/%2F/orders")["lag"], Value::Null);
    let text = complaint(&broker, &["lag", "show", "orders"]);
    assert!(text.contains("lag.enabled"), "{text}");
}
