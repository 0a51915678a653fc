//! Every known argument with every kind of wrong value: 406 that names the argument, the value and
//! what is allowed. Runs against RabbitMQ too, which refuses the same except for what is listed.

use crate::harness::broker::{attached, shared};
use crate::harness::raw::{Raw, frame_bytes, method_bytes, short};
use crate::harness::session::unique;
use forebay_wire::method::{BasicConsume, BasicPublish, ExchangeDeclare, QueueDeclare};
use forebay_wire::{EncodeMethod, FieldTable, FieldValue, Properties};

/// What an argument's value may be.
#[derive(Clone, Copy)]
enum Kind {
    /// An integer of so much or more.
    From(i64),
    /// An integer of so much to so much.
    Within(i64, i64),
    /// A truth value.
    Boolean,
    /// One of a few words.
    Word,
    /// The name of an object, or a routing key.
    Name,
    /// Nothing: there is no such thing here.
    Nothing,
}

use Kind::{Boolean, From, Name, Nothing, Within, Word};

const TEN_YEARS_MS: i64 = 315_360_000_000;

const QUEUE_ARGUMENTS: [(&str, Kind); 29] = [
    ("x-message-ttl", Within(0, TEN_YEARS_MS)),
    ("x-expires", Within(1, TEN_YEARS_MS)),
    ("x-max-length", From(0)),
    ("x-max-length-bytes", From(0)),
    ("x-overflow", Word),
    ("x-dead-letter-exchange", Name),
    ("x-dead-letter-routing-key", Name),
    ("x-dead-letter-strategy", Word),
    ("x-max-priority", Within(0, 255)),
    ("x-queue-type", Word),
    ("x-queue-mode", Word),
    ("x-queue-version", Within(1, 2)),
    ("x-queue-leader-locator", Word),
    ("x-queue-master-locator", Word),
    ("x-single-active-consumer", Boolean),
    ("x-delivery-limit", Within(-1, 4_294_967_295)),
    ("x-consumer-timeout", From(1)),
    ("x-max-in-flight", From(1)),
    ("x-rate-limit", Within(1, 1_000_000)),
    ("x-rate-burst", Within(1, 1_000_000)),
    ("x-dedup-window", Within(1, TEN_YEARS_MS)),
    ("x-dedup-size", Within(1, 10_000_000)),
    ("x-quorum-initial-group-size", From(1)),
    ("x-max-in-memory-length", From(0)),
    ("x-max-in-memory-bytes", From(0)),
    ("x-initial-cluster-size", Nothing),
    ("x-max-age", Nothing),
    ("x-stream-filter-size-bytes", Nothing),
    ("x-stream-max-segment-size-bytes", Nothing),
];

/// What RabbitMQ knows nothing of, or takes whatever it is, or answers with 541.
const OURS_ALONE: [&str; 8] = [
    "x-queue-master-locator",
    "x-consumer-timeout",
    "x-max-in-flight",
    "x-rate-limit",
    "x-rate-burst",
    "x-dedup-window",
    "x-dedup-size",
    "x-stream-filter-size-bytes",
];

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.to_owned().into())
}

/// Values of every type, and of every size for integers.
fn values() -> Vec<FieldValue> {
    let one = [(short("a"), FieldValue::I32(1))].into_iter().collect();
    vec![
        FieldValue::I32(-2),
        FieldValue::I64(i64::MIN),
        FieldValue::I32(-1),
        FieldValue::U8(0),
        FieldValue::I16(1),
        FieldValue::I32(3),
        FieldValue::I64(256),
        FieldValue::I64(TEN_YEARS_MS + 1),
        FieldValue::I64(i64::MAX),
        FieldValue::F32(1.5),
        FieldValue::F64(2.0),
        FieldValue::Bool(true),
        FieldValue::Void,
        FieldValue::Array(vec![FieldValue::I32(1)]),
        FieldValue::Table(one),
        FieldValue::Timestamp(1),
        text(""),
        text("nonsense"),
        text("100"),
        text("true"),
    ]
}

impl Kind {
    fn allows(self, value: &FieldValue) -> bool {
        let number = value.as_integer();
        let is_text = matches!(value, FieldValue::LongStr(_));
        match self {
            From(least) => number.is_some_and(|number| number >= i128::from(least)),
            Within(least, most) => number
                .is_some_and(|number| (i128::from(least)..=i128::from(most)).contains(&number)),
            Boolean => matches!(value, FieldValue::Bool(_)),
            Name => is_text,
            Word | Nothing => false,
        }
    }
}

/// Whether the broker is ours: RabbitMQ does not say what is allowed.
fn ours() -> bool {
    attached().is_none()
}

fn with(name: &str, value: &FieldValue) -> FieldTable {
    [(short(name), value.clone())].into_iter().collect()
}

/// The text with which a method is refused.
async fn refusal(raw: &mut Raw, method: &impl EncodeMethod) -> Option<String> {
    let close = raw.channel_close(&method_bytes(method)).await?;
    raw.open_again().await;
    assert_eq!(close.reply_code, 406, "{}", close.reply_text);
    Some(close.reply_text.to_string())
}

fn declare(arguments: FieldTable) -> QueueDeclare {
    QueueDeclare { queue: short("arguments"), exclusive: true, arguments, ..<_>::default() }
}

#[tokio::test]
async fn a_queue_s_arguments_with_wrong_values_are_refused() {
    let mut raw = Raw::open_channel(shared()).await;
    for (name, kind) in QUEUE_ARGUMENTS {
        if OURS_ALONE.contains(&name) && !ours() {
            continue;
        }
        for value in values().iter().filter(|value| !kind.allows(value)) {
            let mut arguments = with(name, value);
            if name == "x-dead-letter-routing-key" {
                arguments.insert(short("x-dead-letter-exchange"), text("amq.direct"));
            }
            for (needs, other) in
                [("x-dedup-size", "x-dedup-window"), ("x-rate-burst", "x-rate-limit")]
            {
                if name == needs {
                    arguments.insert(short(other), FieldValue::I32(1));
                }
            }
            let Some(refusal) = refusal(&mut raw, &declare(arguments)).await else {
                panic!("{name}: {value:?} is accepted")
            };
            assert!(refusal.contains(&format!("arg '{name}'")), "{refusal}");
            let start = format!("PRECONDITION_FAILED - invalid arg '{name}' for queue 'arguments'");
            let says_what = refusal.starts_with(&start) && refusal.contains("; expected ");
            assert!(!ours() || says_what, "{refusal}");
        }
    }
    for name in ["x-dead-letter-exchange", "x-dead-letter-routing-key"] {
        let mut arguments = with(name, &text(&"x".repeat(256)));
        arguments.insert(short("x-dead-letter-exchange"), text(&"x".repeat(256)));
        let refused = refusal(&mut raw, &declare(arguments)).await;
        assert!(!ours() || refused.unwrap().contains("at most 255 bytes"));
        if !ours() {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_allowed_is_accepted() {
    let mut raw = Raw::open_channel(shared()).await;
    let classic: [(&str, FieldValue); 16] = [
        ("x-message-ttl", FieldValue::I8(0)),
        ("x-message-ttl", FieldValue::I64(TEN_YEARS_MS)),
        ("x-expires", FieldValue::U8(1)),
        ("x-max-length", FieldValue::I64(i64::MAX)),
        ("x-max-length-bytes", FieldValue::I16(0)),
        ("x-overflow", text("drop-head")),
        ("x-overflow", text("reject-publish")),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-dead-letter-exchange", text("")),
        ("x-max-priority", FieldValue::U8(255)),
        ("x-queue-type", text("classic")),
        ("x-queue-mode", text("lazy")),
        ("x-queue-version", FieldValue::I32(2)),
        ("x-queue-master-locator", text("min-masters")),
        ("x-single-active-consumer", FieldValue::Bool(false)),
        ("x-of-a-plugin", FieldValue::Void),
    ];
    // RabbitMQ takes these for quorum queues; here there is one kind of queue.
    let quorum: [(&str, FieldValue); 7] = [
        ("x-delivery-limit", FieldValue::I32(5)),
        ("x-quorum-initial-group-size", FieldValue::I32(3)),
        ("x-max-in-memory-length", FieldValue::I32(0)),
        ("x-max-in-memory-bytes", FieldValue::I32(9)),
        ("x-dead-letter-strategy", text("at-most-once")),
        ("x-queue-leader-locator", text("client-local")),
        ("x-consumer-timeout", FieldValue::I32(1000)),
    ];
    for (name, value) in classic {
        let declare = QueueDeclare { queue: short(&unique("good")), ..declare(with(name, &value)) };
        assert_eq!(refusal(&mut raw, &declare).await, None, "{name}: {value:?}");
    }
    for (name, value) in quorum {
        let mut arguments = with(name, &value);
        if !ours() {
            arguments.insert(short("x-queue-type"), text("quorum"));
        }
        let queue = short(&unique("good"));
        let durable = QueueDeclare { queue: queue.clone(), durable: true, ..<_>::default() };
        let declare = QueueDeclare { arguments, ..durable };
        assert_eq!(refusal(&mut raw, &declare).await, None, "{name}: {value:?}");
        let delete = forebay_wire::method::QueueDelete { queue, ..<_>::default() };
        assert_eq!(refusal(&mut raw, &delete).await, None);
    }
}

#[tokio::test]
async fn a_consumer_s_arguments_with_wrong_values_are_refused() {
    let mut raw = Raw::open_channel(shared()).await;
    let queue = raw.declare(QueueDeclare { exclusive: true, ..<_>::default() }).await;
    let arguments = [
        ("x-priority", From(i64::MIN)),
        ("x-lease", Within(1, TEN_YEARS_MS)),
        ("x-cancel-on-ha-failover", Boolean),
        ("x-stream-offset", Nothing),
        ("x-stream-filter", Nothing),
        ("x-stream-match-unfiltered", Nothing),
    ];
    for (name, kind) in arguments {
        let is_ours_alone =
            name == "x-lease" || (name.starts_with("x-stream-") && name != "x-stream-offset");
        if !ours() && is_ours_alone {
            continue;
        }
        for value in values() {
            let arguments = with(name, &value);
            let consume = BasicConsume { queue: queue.clone(), arguments, ..<_>::default() };
            let refused = refusal(&mut raw, &consume).await;
            assert_eq!(refused.is_none(), kind.allows(&value), "{name}: {value:?} {refused:?}");
            let Some(text) = refused else { continue };
            assert!(text.contains(&format!("invalid arg '{name}' for queue '{queue}'")), "{text}");
            assert!(!ours() || text.contains("; expected "), "{text}");
        }
    }
}

#[tokio::test]
async fn an_exchange_s_arguments_with_wrong_values_are_refused() {
    let mut raw = Raw::open_channel(shared()).await;
    for value in values().iter().filter(|value| !Name.allows(value)) {
        let declare = ExchangeDeclare {
            exchange: short("arguments"),
            kind: short("fanout"),
            arguments: with("alternate-exchange", value),
            ..<_>::default()
        };
        let text = refusal(&mut raw, &declare).await.unwrap_or_else(|| panic!("{value:?}"));
        assert!(text.contains("arg 'alternate-exchange'"), "{text}");
        assert!(!ours() || text.contains("; expected "), "{text}");
    }
}

#[tokio::test]
async fn an_expiration_that_is_no_number_of_milliseconds_is_refused() {
    let mut raw = Raw::open_channel(shared()).await;
    for (expiration, is_good) in [
        ("0", true),
        ("01", true),
        ("+1", true),
        ("315360000000", true),
        ("", false),
        ("-1", false),
        ("abc", false),
        ("1.5", false),
        ("1e3", false),
        (" 1", false),
        ("1 ", false),
        ("0x10", false),
        ("315360000001", false),
        ("99999999999999999999", false),
    ] {
        let publish = BasicPublish { routing_key: short("nowhere"), ..<_>::default() };
        let properties = Properties { expiration: Some(short(expiration)), ..<_>::default() };
        let properties = properties.encode();
        let header = [&[0, 60, 0, 0][..], &[0; 8], properties.as_bytes()].concat();
        let content = [method_bytes(&publish), frame_bytes(2, 1, &header)].concat();
        let close = raw.channel_close(&content).await;
        assert_eq!(close.is_none(), is_good, "'{expiration}': {close:?}");
        if let Some(close) = close {
            raw.open_again().await;
            assert_eq!(close.reply_code, 406);
            assert!(close.reply_text.to_string().contains("invalid expiration"), "{close:?}");
        }
    }
}

/// What has no effect yet is refused with 540, which ends the connection.
#[tokio::test]
async fn an_argument_that_has_no_effect_yet_is_named_and_ends_the_connection() {
    if !ours() {
        return;
    }
    let of_queues = ["x-retry-delay", "x-retry-delay-max", "x-retry-multiplier"];
    let declares = of_queues.map(|name| (name, method_bytes(&declare(with(name, &text("a"))))));
    let stream = declare(with("x-queue-type", &text("stream")));
    let stream = ("x-queue-type", method_bytes(&QueueDeclare { durable: true, ..stream }));
    for (name, method) in declares.into_iter().chain([stream]) {
        let mut raw = Raw::open_channel(shared()).await;
        raw.send_bytes(&method).await;
        let close = raw.connection_close().await;
        assert_eq!(close.reply_code, 540, "{}", close.reply_text);
        assert!(
            close.reply_text.to_string().contains(&format!("'{name}'")),
            "{}",
            close.reply_text
        );
    }
    for name in ["x-credit", "x-consumer-timeout"] {
        let mut raw = Raw::open_channel(shared()).await;
        let queue = raw.declare(QueueDeclare { exclusive: true, ..<_>::default() }).await;
        let arguments = with(name, &FieldValue::I32(1));
        raw.send(1, &BasicConsume { queue, arguments, ..<_>::default() }).await;
        let close = raw.connection_close().await;
        assert_eq!(close.reply_code, 540, "{}", close.reply_text);
        assert!(
            close.reply_text.to_string().contains(&format!("'{name}'")),
            "{}",
            close.reply_text
        );
    }
}
