//! From the first byte to `connection.open-ok`, and heartbeats.

use crate::harness::broker::shared;
use crate::harness::raw::{FRAME_SIZE_MAX, Raw, plain, short};
use bytes::Bytes;
use forebay_wire::method::{
    ChannelOpen, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk, ConnectionUpdateSecret,
};
use forebay_wire::{FieldTable, FieldValue, Frame, Method, PROTOCOL_HEADER};

#[tokio::test]
async fn another_protocol_is_answered_with_ours() {
    for header in
        [b"GET / HT", b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x00\x09\x02", b"\0\0\0\0\0\0\0\0"]
    {
        let mut raw = Raw::connect(shared()).await;
        raw.send_bytes(header).await;
        assert_eq!(raw.rest().await.as_ref(), PROTOCOL_HEADER, "{header:?}");
    }
}

#[tokio::test]
async fn the_broker_says_who_it_is_and_what_it_can() {
    let mut raw = Raw::connect(shared()).await;
    raw.send_bytes(&PROTOCOL_HEADER).await;
    let Method::ConnectionStart(start) = raw.method().await else { panic!("no start") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    let mechanisms = String::from_utf8(start.mechanisms.to_vec()).unwrap();
    for mechanism in ["PLAIN", "AMQPLAIN"] {
        assert!(mechanisms.split(' ').any(|offered| offered == mechanism), "{mechanisms}");
    }
    let properties = start.server_properties;
    for name in ["product", "version", "platform"] {
        assert!(matches!(properties.get(name), Some(FieldValue::LongStr(_))), "{properties:?}");
    }
    let Some(FieldValue::Table(capabilities)) = properties.get("capabilities") else {
        panic!("no capabilities: {properties:?}");
    };
    let promised = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ];
    for name in promised {
        assert_eq!(capabilities.get(name), Some(&FieldValue::Bool(true)), "{name}");
    }
}

#[tokio::test]
async fn amqplain_is_as_good_as_plain() {
    let mut raw = Raw::greet(shared()).await;
    let mut login = FieldTable::default();
    login.insert(short("LOGIN"), FieldValue::LongStr(Bytes::from_static(b"guest")));
    login.insert(short("PASSWORD"), FieldValue::LongStr(Bytes::from_static(b"guest")));
    let mut bytes = bytes::BytesMut::new();
    login.encode(&mut bytes);
    let response = bytes.freeze().slice(4..);
    let start_ok = ConnectionStartOk { mechanism: short("AMQPLAIN"), response, ..plain("", "") };
    raw.send(0, &start_ok).await;
    assert!(matches!(raw.method().await, Method::ConnectionTune(_)));
}

#[tokio::test]
async fn limits_are_proposed() {
    let (_, tune) = Raw::log_in(shared()).await;
    assert_eq!(tune.frame_max, FRAME_SIZE_MAX);
    assert_eq!(tune.channel_max, 2047);
    assert!(tune.heartbeat > 0);
}

#[tokio::test]
async fn a_failed_login_is_refused_with_403() {
    let attempts = [("guest", "wrong"), ("nobody", "guest"), ("guest", ""), ("", "")];
    for (user, password) in attempts {
        let mut raw = Raw::greet(shared()).await;
        raw.send(0, &plain(user, password)).await;
        let close = raw.connection_close().await;
        assert_eq!(close.reply_code, 403, "{user}:{password}");
    }
}

#[tokio::test]
async fn a_channel_number_can_be_used_again() {
    let mut raw = Raw::open_channel(shared()).await;
    let passive = forebay_wire::method::QueueDeclare {
        queue: short("missing-for-reuse"),
        passive: true,
        ..<_>::default()
    };
    raw.send(1, &passive).await;
    let Method::ChannelClose(close) = raw.method().await else { panic!("no channel.close") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (404, 50, 10));
    // What was on its way is passed over until the close is agreed.
    raw.send(1, &passive).await;
    raw.send(1, &forebay_wire::method::ChannelCloseOk {}).await;
    raw.send(1, &ChannelOpen {}).await;
    assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
}

#[tokio::test]
async fn more_channels_than_agreed_are_refused_with_530() {
    let (mut raw, _) = Raw::log_in(shared()).await;
    let limits = ConnectionTuneOk { channel_max: 3, frame_max: FRAME_SIZE_MAX, heartbeat: 0 };
    raw.send(0, &limits).await;
    raw.send(0, &ConnectionOpen { virtual_host: short("/") }).await;
    assert!(matches!(raw.method().await, Method::ConnectionOpenOk(_)));
    for channel in 1..=3 {
        raw.send(channel, &ChannelOpen {}).await;
        assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
    }
    if crate::harness::broker::attached().is_none() {
        raw.send(4, &ChannelOpen {}).await;
        assert_eq!(raw.connection_close().await.reply_code, 530);
    }
}

#[tokio::test]
async fn heartbeats_come_from_the_broker() {
    let mut raw = Raw::open_with(shared(), 1).await;
    assert!(matches!(raw.frame().await, Some(Frame::Heartbeat)));
}

#[tokio::test]
async fn a_client_without_heartbeats_is_given_up() {
    let mut raw = Raw::open_with(shared(), 1).await;
    // Says nothing; the broker's heartbeats come until it has waited long enough.
    while raw.frame().await.is_some() {}
}

#[tokio::test]
async fn a_secret_can_be_renewed() {
    let mut raw = Raw::open(shared()).await;
    let renewed = ConnectionUpdateSecret {
        new_secret: Bytes::from_static(b"guest"),
        reason: short("rotation"),
    };
    raw.send(0, &renewed).await;
    assert!(matches!(raw.method().await, Method::ConnectionUpdateSecretOk(_)));
}
