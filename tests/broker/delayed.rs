//! Messages that wait until they are due, over AMQP and across the end of the process.

use crate::clock::{Jumping, set_clock};
use crate::harness::broker::{self, Broker, is_ours};
use crate::harness::must;
use crate::harness::python::{interpreter, project, run};
use crate::harness::session::{
    Session, await_ready, bind, code, confirmed, consume, declare, declare_named, get, next,
    number, persistent, publish_with, ready_count, string, table, text,
};
use lapin::options::{BasicRejectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const HOUR_SECONDS: i64 = 3600;

fn delayed(name: &str, value: AMQPValue) -> BasicProperties {
    persistent().with_headers(table(name, value))
}

fn after(milliseconds: i64) -> BasicProperties {
    delayed("x-delay", AMQPValue::LongLongInt(milliseconds))
}

fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

async fn send(channel: &Channel, exchange: &str, key: &str, body: &str, with: BasicProperties) {
    confirmed(publish_with(channel, exchange, key, body.as_bytes(), with).await).await;
}

async fn delayed_exchange(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let kind = ExchangeKind::Custom("x-delayed-message".into());
    let options = ExchangeDeclareOptions { durable: true, ..<_>::default() };
    must("exchange.declare", channel.exchange_declare(name.into(), kind, options, arguments)).await
}

fn header(headers: &Option<FieldTable>, name: &str) -> Option<AMQPValue> {
    headers.as_ref()?.inner().get(name).cloned()
}

#[test]
fn pika_delays_by_what_it_sends() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/delayed.py"))
        .arg(format!("amqp://guest:guest@{}", broker::shared())));
}

#[tokio::test]
async fn a_message_comes_when_it_is_due_and_says_that_it_was_delayed() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "delayed").await;
    let mut consumer = consume(&channel, &queue).await;
    let published = Instant::now();
    send(&channel, "", &queue, "later", after(700)).await;
    send(&channel, "", &queue, "sooner", after(300)).await;
    let date = AMQPValue::LongLongInt(wall_ms() + 500);
    send(&channel, "", &queue, "between", delayed("x-deliver-at", date)).await;
    for past in [after(0), after(-5), delayed("x-deliver-at", AMQPValue::LongLongInt(5))] {
        send(&channel, "", &queue, "now", past).await;
    }
    for _ in 0..3 {
        assert_eq!(text(&next(&mut consumer).await), "now");
    }
    assert_eq!(ready_count(&channel, &queue).await, 0, "what is not due is not ready");
    for (body, due) in [("sooner", 300), ("between", 500), ("later", 700)] {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), body);
        assert!(published.elapsed() >= Duration::from_millis(due), "{body} came early");
        let delay = header(delivery.properties.headers(), "x-delay");
        let negative = (body != "between").then_some(AMQPValue::LongInt(-(due as i32)));
        assert_eq!(delay, negative);
        assert!(!delivery.redelivered);
    }
}

#[tokio::test]
async fn a_message_waits_once_also_when_it_dies_or_is_sent_on_as_it_is() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "once").await;
    let graves = declare(&channel, "once-dead").await;
    let mut letters = table("x-dead-letter-exchange", string(""));
    letters.insert("x-dead-letter-routing-key".into(), string(&graves));
    let dying = crate::harness::session::declare_with(&channel, "dying", letters).await;
    send(&channel, "", &dying, "x", after(100)).await;
    await_ready(&channel, &dying, 1).await;
    let message = get(&channel, &dying).await.unwrap();
    message.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    await_ready(&channel, &graves, 1).await;
    let dead = get(&channel, &graves).await.unwrap();
    let sent_on = dead.delivery.properties.clone();
    send(&channel, "", &queue, "x", sent_on).await;
    assert_eq!(ready_count(&channel, &queue).await, 1);
}

#[tokio::test]
async fn a_delayed_exchange_routes_as_its_type_says() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "topical").await;
    delayed_exchange(&channel, "delayed-topic", table("x-delayed-type", string("topic")))
        .await
        .unwrap();
    delayed_exchange(&channel, "delayed-topic", table("x-delayed-type", string("topic")))
        .await
        .unwrap();
    bind(&channel, &queue, "delayed-topic", "order.#").await;
    send(&channel, "delayed-topic", "order.new", "now", persistent()).await;
    send(&channel, "delayed-topic", "order.new", "later", after(200)).await;
    send(&channel, "delayed-topic", "parcel.new", "elsewhere", after(1)).await;
    await_ready(&channel, &queue, 2).await;
    assert_eq!(get(&channel, &queue).await.unwrap().data, b"now");
    assert_eq!(get(&channel, &queue).await.unwrap().data, b"later");
    for (name, arguments) in [
        ("delayed-topic", table("x-delayed-type", string("direct"))),
        ("delayed-none", FieldTable::default()),
        ("delayed-foo", table("x-delayed-type", string("foo"))),
        ("delayed-self", table("x-delayed-type", string("x-delayed-message"))),
    ] {
        let channel = session.channel().await;
        assert_eq!(code(delayed_exchange(&channel, name, arguments).await), 406, "{name}");
    }
}

#[tokio::test]
async fn a_delay_that_makes_no_sense_is_refused() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let queue = declare(&session.channel, "refusing").await;
    for (name, value) in [
        ("x-delay", string("soon")),
        ("x-delay", AMQPValue::Boolean(true)),
        ("x-deliver-at", string("tomorrow at nine")),
        ("x-delay", AMQPValue::LongLongInt(i64::MAX)),
    ] {
        let channel = session.confirm_channel().await;
        let with = delayed(name, value);
        let confirm = publish_with(&channel, "", &queue, b"x", with).await;
        let error = confirm.await.unwrap_err().to_string();
        assert!(error.contains("406") || error.contains("PRECONDITION"), "{error}");
        assert!(error.contains(name), "{error}");
    }
    assert_eq!(ready_count(&session.channel, &queue).await, 0);
}

#[tokio::test]
async fn kill_9_loses_no_delayed_message_and_doubles_none() {
    if !is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "mails", FieldTable::default()).await;
    let large = "x".repeat(70_000);
    let mut confirms = Vec::new();
    for nth in 0..200 {
        let body = format!("{nth} {}", if nth % 50 == 0 { large.as_str() } else { "" });
        confirms.push(publish_with(&channel, "", "mails", body.as_bytes(), after(10 * nth)).await);
    }
    for confirm in confirms {
        confirmed(confirm).await;
    }
    // Some are due while nothing runs, some after.
    broker.kill();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    await_ready(&session.channel, "mails", 200).await;
    for nth in 0..200 {
        let message = get(&session.channel, "mails").await.unwrap();
        let body = String::from_utf8(message.data.clone()).unwrap();
        assert!(body.starts_with(&format!("{nth} ")), "{nth}: {:.20}", body);
    }
    assert!(get(&session.channel, "mails").await.is_none());
}

#[tokio::test]
async fn a_jump_of_the_clock_moves_dates_and_no_delays() {
    let Some(jumping) = Jumping::new().filter(|_| is_ours()) else {
        eprintln!("passed over: needs libfaketime and a broker process of its own");
        return;
    };
    let broker = Broker::launch(&jumping.launch());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "after", FieldTable::default()).await;
    declare_named(&channel, "at", FieldTable::default()).await;
    let half_an_hour = HOUR_SECONDS * 1000 / 2;
    send(&channel, "", "after", "x", after(half_an_hour)).await;
    let date = AMQPValue::LongLongInt(wall_ms() + half_an_hour);
    send(&channel, "", "at", "x", delayed("x-deliver-at", date)).await;
    set_clock(&jumping.file(), HOUR_SECONDS);
    await_ready(&channel, "at", 1).await;
    assert_eq!(ready_count(&channel, "after").await, 0);
    // What is short is not late with the clock behind.
    set_clock(&jumping.file(), -HOUR_SECONDS);
    send(&channel, "", "after", "y", after(100)).await;
    await_ready(&channel, "after", 1).await;
    assert_eq!(get(&channel, "after").await.unwrap().data, b"y");
}

#[tokio::test]
async fn a_priority_queue_takes_what_is_due_by_priority() {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let levels = table("x-max-priority", number(5));
    let queue = crate::harness::session::declare_with(&channel, "levels", levels).await;
    for priority in [1, 5] {
        let with = after(100).with_priority(priority);
        send(&channel, "", &queue, &priority.to_string(), with).await;
    }
    await_ready(&channel, &queue, 2).await;
    assert_eq!(get(&channel, &queue).await.unwrap().data, b"5");
}
