//! Declaring again what is there.

use super::{Exchange, Host, Queue, refused, table, text};
use forebay_wire::{FieldTable, FieldValue, ReplyCode};

const TTL: &str = "x-message-ttl";

fn with(arguments: &[(&str, FieldValue)]) -> Queue {
    Queue { arguments: table(arguments), ..Queue::default() }
}

/// First declare, second declare, and what RabbitMQ says to it (nothing: it agrees).
type Case = (Queue, Queue, Option<&'static str>);

fn property_cases() -> Vec<Case> {
    vec![
        (
            Queue::default(),
            Queue { durable: true, ..Queue::default() },
            Some(
                "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
            ),
        ),
        (
            Queue::default(),
            Queue { auto_delete: true, ..Queue::default() },
            Some(
                "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
            ),
        ),
        (
            Queue { exclusive: true, durable: true, ..Queue::default() },
            Queue { exclusive: true, durable: false, ..Queue::default() },
            None,
        ),
    ]
}

fn ttl_cases() -> Vec<Case> {
    let integer = FieldValue::I32;
    vec![
        (
            with(&[(TTL, integer(100))]),
            with(&[]),
            Some(
                "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '100' of type 'signedint'",
            ),
        ),
        (
            with(&[]),
            with(&[(TTL, integer(100))]),
            Some(
                "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '100' of type 'signedint' but current is none",
            ),
        ),
        (
            with(&[(TTL, integer(100))]),
            with(&[(TTL, integer(200))]),
            Some(
                "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '200' but current is '100'",
            ),
        ),
        (
            with(&[(TTL, integer(100))]),
            with(&[(TTL, text("a"))]),
            Some(
                "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received 'a' but current is '100'",
            ),
        ),
        (with(&[(TTL, integer(100))]), with(&[(TTL, FieldValue::I64(100))]), None),
        (with(&[(TTL, FieldValue::U8(100))]), with(&[(TTL, FieldValue::U32(100))]), None),
    ]
}

fn argument_cases() -> Vec<Case> {
    let integer = FieldValue::I32;
    vec![
        (
            with(&[("x-dead-letter-exchange", text("a"))]),
            with(&[("x-dead-letter-exchange", text("b"))]),
            Some(
                "inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received 'b' but current is 'a'",
            ),
        ),
        (
            with(&[("x-single-active-consumer", FieldValue::Bool(false))]),
            with(&[]),
            Some(
                "inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': received none but current is the value 'false' of type 'bool'",
            ),
        ),
        (
            with(&[("x-queue-mode", text("lazy"))]),
            with(&[]),
            Some(
                "inequivalent arg 'x-queue-mode' for queue 'q' in vhost '/': received none but current is the value 'lazy' of type 'longstr'",
            ),
        ),
        (with(&[]), with(&[("x-queue-type", text("classic"))]), None),
        (with(&[("x-queue-type", text("classic"))]), with(&[]), None),
        (with(&[("x-foo", integer(1))]), with(&[("x-foo", integer(2))]), None),
        (
            with(&[("x-max-length", integer(1)), (TTL, integer(2))]),
            with(&[(TTL, integer(2)), ("x-max-length", integer(1))]),
            None,
        ),
    ]
}

#[test]
fn queues_are_compared_as_rabbitmq_does() {
    let cases = [property_cases(), ttl_cases(), argument_cases()].concat();
    for (first, second, refusal) in cases {
        let mut host = Host::new();
        let made = host.queue_with("q", &first).unwrap();
        let again = host.queue_with("q", &second);
        match refusal {
            Some(text) => refused(again, ReplyCode::PreconditionFailed, text),
            None => {
                assert_eq!((again.clone().unwrap().id, again.unwrap().created), (made.id, false))
            }
        }
        let record = host.topology.queue_by_id(made.id).unwrap();
        assert_eq!(record.arguments, first.arguments, "what was declared first stays");
    }
}

#[test]
fn a_type_of_queue_is_for_ever() {
    let mut host = Host::new();
    let durable = |arguments| Queue { durable: true, arguments, ..Queue::default() };
    let quorum = table(&[("x-queue-type", text("quorum"))]);
    host.queue_with("q", &durable(quorum)).unwrap();
    refused(
        host.queue_with("q", &durable(FieldTable::new())),
        ReplyCode::PreconditionFailed,
        "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'classic' but \
         current is 'quorum'",
    );
}

#[test]
fn exchanges_are_compared_as_rabbitmq_does() {
    let plain = Exchange::default();
    let alternate = |to| Exchange {
        arguments: table(&[("alternate-exchange", text(to))]),
        ..Exchange::default()
    };
    let unknown = |value| Exchange {
        arguments: table(&[("foo", FieldValue::I32(value))]),
        ..Exchange::default()
    };
    let cases = [
        (plain.clone(), "fanout", plain.clone(), Some(("'type'", "'fanout'", "'direct'"))),
        (
            plain.clone(),
            "direct",
            Exchange { durable: true, ..plain.clone() },
            Some(("'durable'", "'true'", "'false'")),
        ),
        (
            plain.clone(),
            "direct",
            Exchange { auto_delete: true, ..plain.clone() },
            Some(("'auto_delete'", "'true'", "'false'")),
        ),
        (
            Exchange { internal: true, ..plain.clone() },
            "direct",
            plain.clone(),
            Some(("'internal'", "'false'", "'true'")),
        ),
        (
            alternate("a"),
            "direct",
            plain.clone(),
            Some(("'alternate-exchange'", "none", "the value 'a' of type 'longstr'")),
        ),
        (alternate("a"), "direct", alternate("b"), Some(("'alternate-exchange'", "'b'", "'a'"))),
        (alternate("a"), "direct", alternate("a"), None),
        (unknown(1), "direct", unknown(2), None),
    ];
    for (first, kind, second, refusal) in cases {
        let mut host = Host::new();
        host.exchange_with("x", "direct", &first).unwrap();
        let again = host.exchange_with("x", kind, &second);
        match refusal {
            None => again.unwrap(),
            Some((field, received, current)) => refused(
                again,
                ReplyCode::PreconditionFailed,
                &format!(
                    "inequivalent arg {field} for exchange 'x' in vhost '/': received {received} but current is {current}"
                ),
            ),
        }
    }
}
