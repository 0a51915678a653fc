//! What breaks the protocol closes the connection with the right code, and nobody else notices.

use crate::harness::broker::{attached, shared};
use crate::harness::raw::{Raw, frame_bytes, payload, short};
use crate::harness::session::{Session, confirmed, declare, publish};
use forebay_wire::method::{
    BasicAck, BasicConsume, BasicPublish, BasicQos, ChannelOpen, ChannelOpenOk, ConnectionTuneOk,
    QueueDeclare,
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// Sends this on an open connection with channel 1 and returns the close: code, class, method.
async fn refusal(bytes: &[u8]) -> (u16, u16, u16) {
    let mut raw = Raw::open_channel(shared()).await;
    raw.send_bytes(bytes).await;
    let close = raw.connection_close().await;
    (close.reply_code, close.class_id, close.method_id)
}

async fn code(bytes: &[u8]) -> u16 {
    refusal(bytes).await.0
}

fn method(channel: u16, method: &impl forebay_wire::EncodeMethod) -> Vec<u8> {
    frame_bytes(METHOD, channel, &payload(method))
}

/// A content header with this body size and no properties.
fn header(channel: u16, class: u16, size: u64) -> Vec<u8> {
    let bytes = [&class.to_be_bytes()[..], &[0, 0], &size.to_be_bytes(), &[0, 0]].concat();
    frame_bytes(HEADER, channel, &bytes)
}

fn publish_method() -> Vec<u8> {
    method(1, &BasicPublish { routing_key: short("nowhere"), ..<_>::default() })
}

#[tokio::test]
async fn frames_that_are_none_are_refused_with_501() {
    let mut oversized = vec![METHOD, 0, 1];
    oversized.extend(200_000_u32.to_be_bytes());
    let mut endless = vec![BODY, 0, 1];
    endless.extend(u32::MAX.to_be_bytes());
    let mut wrong_end = method(1, &QueueDeclare::default());
    *wrong_end.last_mut().unwrap() = 0;
    let cases = [
        ("oversized", oversized),
        ("four gigabytes", endless),
        ("wrong end", wrong_end),
        ("unknown type", frame_bytes(9, 1, &[])),
        ("type zero", frame_bytes(0, 1, &[])),
    ];
    for (name, bytes) in cases {
        assert_eq!(code(&bytes).await, 501, "{name}");
    }
}

#[tokio::test]
async fn frames_out_of_turn_are_refused_with_505() {
    let cases = [
        ("body without header", frame_bytes(BODY, 1, b"x")),
        ("header without method", header(1, 60, 1)),
        ("body instead of header", [publish_method(), frame_bytes(BODY, 1, b"x")].concat()),
        ("method instead of header", [publish_method(), publish_method()].concat()),
        ("method instead of body", [publish_method(), header(1, 60, 1), publish_method()].concat()),
        ("two headers", [publish_method(), header(1, 60, 1), header(1, 60, 1)].concat()),
        ("header of another class", [publish_method(), header(1, 50, 1)].concat()),
        ("body on an unopened channel", frame_bytes(BODY, 7, b"x")),
    ];
    for (name, bytes) in cases {
        assert_eq!(code(&bytes).await, 505, "{name}");
    }
}

#[tokio::test]
async fn methods_in_the_wrong_place_are_refused() {
    let declare = QueueDeclare { queue: short("q"), ..<_>::default() };
    let tune_ok = ConnectionTuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 };
    let cases = [
        ("unopened channel", method(5, &declare), 504),
        ("opened twice", method(1, &ChannelOpen {}), 504),
        ("queue on channel 0", method(0, &declare), 504),
        ("connection on channel 1", method(1, &tune_ok), 503),
        ("the broker's own", method(1, &ChannelOpenOk {}), 503),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(code(&bytes).await, expected, "{name}");
    }
}

#[tokio::test]
async fn unknown_methods_are_refused_with_a_word() {
    if attached().is_some() {
        return;
    }
    for bytes in [[0, 99, 0, 10], [0, 50, 0, 99]] {
        let code = code(&frame_bytes(METHOD, 1, &bytes)).await;
        assert!([503, 540].contains(&code), "{bytes:?}: {code}");
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_read_are_refused() {
    let whole = payload(&QueueDeclare { queue: short("queue"), ..<_>::default() });
    for length in [0, 3, 5, 8, whole.len() - 1] {
        let code = code(&frame_bytes(METHOD, 1, &whole[..length])).await;
        assert!([501, 502].contains(&code), "cut at {length}: {code}");
    }
    let mut long = whole.clone();
    long.push(0);
    let code = code(&frame_bytes(METHOD, 1, &long)).await;
    assert!([501, 502].contains(&code), "an byte too many: {code}");
}

#[tokio::test]
async fn heartbeats_belong_on_channel_0() {
    let code = code(&frame_bytes(HEARTBEAT, 1, &[])).await;
    assert!([501, 503, 505].contains(&code), "{code}");
}

#[tokio::test]
async fn a_body_larger_than_announced_is_refused() {
    if attached().is_some() {
        return;
    }
    let bytes = [publish_method(), header(1, 60, 2), frame_bytes(BODY, 1, b"three")].concat();
    let code = code(&bytes).await;
    assert!([501, 505].contains(&code), "{code}");
}

#[tokio::test]
async fn refusals_name_the_method() {
    let immediate = BasicPublish { immediate: true, ..<_>::default() };
    let bytes = [method(1, &immediate), header(1, 60, 0)].concat();
    assert_eq!(refusal(&bytes).await, (540, 60, 40));
    let size = BasicQos { prefetch_size: 1, prefetch_count: 1, global: false };
    assert_eq!(refusal(&method(1, &size)).await, (540, 60, 10));
}

#[tokio::test]
async fn a_consumer_tag_in_use_is_refused_with_530() {
    let mut raw = Raw::open_channel(shared()).await;
    let queue = raw.declare(QueueDeclare { exclusive: true, ..<_>::default() }).await;
    let consume = BasicConsume { queue, consumer_tag: short("same"), ..<_>::default() };
    raw.send(1, &consume).await;
    raw.method().await;
    raw.send(1, &consume).await;
    assert_eq!(raw.connection_close().await.reply_code, 530);
}

#[tokio::test]
async fn an_error_on_a_channel_names_class_and_method() {
    let mut raw = Raw::open_channel(shared()).await;
    raw.send(1, &BasicAck { delivery_tag: 7, multiple: false }).await;
    let forebay_wire::Method::ChannelClose(close) = raw.method().await else {
        panic!("no channel.close");
    };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (406, 60, 80));
    assert!(close.reply_text.to_string().contains('7'), "{}", close.reply_text);
}

#[tokio::test]
async fn messages_on_two_channels_may_interleave() {
    let mut raw = Raw::open_channel(shared()).await;
    raw.send(2, &ChannelOpen {}).await;
    raw.method().await;
    let queue = raw.declare(QueueDeclare { exclusive: true, ..<_>::default() }).await;
    let begin = |channel| {
        let method_bytes =
            method(channel, &BasicPublish { routing_key: queue.clone(), ..<_>::default() });
        [method_bytes, header(channel, 60, 4)].concat()
    };
    raw.send_bytes(&begin(1)).await;
    raw.send_bytes(&begin(2)).await;
    raw.send_bytes(&frame_bytes(BODY, 2, b"seco")).await;
    raw.send_bytes(&frame_bytes(BODY, 1, b"fi")).await;
    raw.send_bytes(&frame_bytes(BODY, 1, b"rs")).await;
    // Channel 1 answers when its message is in; the other was complete before.
    let declare = QueueDeclare { queue, passive: true, ..<_>::default() };
    loop {
        raw.send(1, &declare).await;
        let forebay_wire::Method::QueueDeclareOk(counts) = raw.method().await else {
            panic!("not declared");
        };
        if counts.message_count == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn after_all_that_an_ordinary_client_still_works() {
    for bytes in [frame_bytes(9, 1, &[]), vec![0xff; 64]] {
        code(&bytes).await;
    }
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "after").await;
    confirmed(publish(&channel, "", &queue, "m").await).await;
}
