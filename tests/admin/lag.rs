//! What a broker has learnt of a queue's lag: told, accepted by an operator, and there after a kill.

use crate::command::{complaint, printed};
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::session::{Session, declare_named, fill};
use crate::http::Admin;
use forebay_lag::{QueueWatch, Role, Sample, Settings};
use forebay_store::{LagDay, LagHistories};
use serde_json::{Value, json};
use std::path::Path;
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
        histories.write(day, queues).unwrap();
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
