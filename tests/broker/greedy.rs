//! Peers that take more than they give back: what the broker keeps for them has a bound, and when
//! memory runs short in spite of it, it recovers unaided.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::raw::{Raw, short};
use bytes::Bytes;
use forebay_wire::method::{BasicConsume, BasicGet, QueueDeclare, TxSelect};
use forebay_wire::{Frame, Method, Properties};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

/// What the broker may take, with what is on its way, while it is flooded with twice as much and more.
const FLOODED_SIZE_MAX: u64 = 512 * MIB;
const FLOOD_MESSAGES: usize = 16_000;
const FLOOD_BODY_SIZE: usize = 100_000;

const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

const _: () = assert!((FLOOD_MESSAGES * FLOOD_BODY_SIZE) as u64 > 2 * FLOODED_SIZE_MAX);

/// The address at which a requester that does nothing else waits for its answer.
async fn address_of(requester: &mut Raw, queue: &str) -> forebay_wire::ShortStr {
    requester.declare(QueueDeclare { queue: short(queue), ..<_>::default() }).await;
    let consume = BasicConsume { queue: short(REPLY_QUEUE), no_ack: true, ..<_>::default() };
    requester.send(1, &consume).await;
    assert!(matches!(requester.method().await, Method::BasicConsumeOk(_)));
    let reply_to = Some(short(REPLY_QUEUE));
    let properties = Properties { reply_to, ..Properties::default() };
    requester.publish_with(1, &short(queue), &properties, &Bytes::from_static(b"?")).await;
    let get = BasicGet { queue: short(queue), no_ack: true };
    requester.send(1, &get).await;
    assert!(matches!(requester.method().await, Method::BasicGetOk(_)));
    let header = requester.frame().await;
    let Some(Frame::Header { header, .. }) = header else { panic!("{header:?}") };
    header.properties.reply_to().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_a_requester_that_does_not_read_are_bounded() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let broker = Broker::start(data.path());
    let mut requester = Raw::open_channel(broker.address).await;
    let address = address_of(&mut requester, "requests").await;
    let mut responder = Raw::open_channel(broker.address).await;
    let body = Bytes::from(vec![7; FLOOD_BODY_SIZE]);
    for _ in 0..FLOOD_MESSAGES {
        responder.publish(1, &address, 1, &body).await;
    }
    // All have been taken when this is answered.
    responder.declare(QueueDeclare { queue: short("end"), ..<_>::default() }).await;
    let peak = broker.resident_peak_size();
    assert!(peak < FLOODED_SIZE_MAX, "{} MiB resident", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_memory_is_too_short_for_is_ended_and_memory_recovers() {
    let Some(data) = is_ours().then(|| TempDir::new().unwrap()) else { return };
    let launch = Launch::on(data.path()).argument("--memory-high-watermark").argument("112MiB");
    let broker = Broker::launch(&launch);
    let mut raw = Raw::open_channel(broker.address).await;
    raw.declare(QueueDeclare { queue: short("q"), ..<_>::default() }).await;
    raw.send(1, &TxSelect {}).await;
    assert!(matches!(raw.method().await, Method::TxSelectOk(_)));
    // Small messages: what they leave behind is hard to give back.
    let body = Bytes::from_static(&[7; 100]);
    let close = loop {
        let publishes = async {
            for _ in 0..1_000 {
                raw.publish(1, &short("q"), 1, &body).await;
            }
        };
        publishes.await;
        raw.send(1, &forebay_wire::method::BasicQos::default()).await;
        match raw.method().await {
            Method::BasicQosOk(_) => {}
            Method::ConnectionClose(close) => break close,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(close.reply_code, 506);
    drop(raw);
    broker.await_metric("forebay_alarm_active{alarm=\"memory\"}", 0.0).await;
    let mut after = Raw::open_channel(broker.address).await;
    after.declare(QueueDeclare { queue: short("q"), passive: true, ..<_>::default() }).await;
}
