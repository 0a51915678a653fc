//! Names: reserved ones, missing objects, the default exchange.

use super::{CONNECTION, Exchange, Host, Queue, binding, object, refused, table};
use crate::model::{Destination, FaultScope};
use forebay_wire::{FieldTable, FieldValue, ReplyCode};

const DEFAULT: &str = "operation not permitted on the default exchange";

#[test]
fn only_the_broker_gives_names_that_begin_with_amq() {
    let mut host = Host::new();
    refused(
        host.queue_with("amq.foo", &Queue::default()),
        ReplyCode::AccessRefused,
        "queue name 'amq.foo' contains reserved prefix 'amq.*'",
    );
    refused(
        host.exchange_with("amq.foo", "direct", &Exchange::default()),
        ReplyCode::AccessRefused,
        "exchange name 'amq.foo' contains reserved prefix 'amq.*'",
    );
    refused(
        host.topology.delete_exchange(&host.vhost, &object("amq.direct"), false),
        ReplyCode::AccessRefused,
        "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
    );
    let durable = Exchange { durable: true, ..Exchange::default() };
    host.exchange_with("amq.direct", "direct", &durable).unwrap();
    refused(
        host.exchange_with("amq.direct", "direct", &Exchange::default()),
        ReplyCode::PreconditionFailed,
        "inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but \
         current is 'true'",
    );
}

#[test]
fn a_queue_with_a_generated_name_works_but_can_only_be_asked_for() {
    let mut host = Host::new();
    let generated = Queue { is_generated: true, ..Queue::default() };
    let made = host.queue_with("amq.gen-1", &generated).unwrap();
    assert_eq!((made.name.as_bytes(), made.created), (&b"amq.gen-1"[..], true));
    assert_eq!(host.route("", "amq.gen-1"), ["amq.gen-1"]);
    let passive = Queue { passive: true, ..Queue::default() };
    assert_eq!(host.queue_with("amq.gen-1", &passive).unwrap().id, made.id);
    refused(
        host.queue_with("amq.gen-1", &Queue::default()),
        ReplyCode::AccessRefused,
        "queue name 'amq.gen-1' contains reserved prefix 'amq.*'",
    );
}

#[test]
fn the_default_exchange_is_only_published_to() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.queue("q");
    refused(
        host.exchange_with("", "direct", &Exchange::default()),
        ReplyCode::AccessRefused,
        DEFAULT,
    );
    let passive = Exchange { passive: true, ..Exchange::default() };
    refused(host.exchange_with("", "direct", &passive), ReplyCode::AccessRefused, DEFAULT);
    refused(
        host.topology.delete_exchange(&host.vhost, &object(""), false),
        ReplyCode::AccessRefused,
        DEFAULT,
    );
    let queue = Destination::Queue(object("q"));
    let from = binding("", queue, "k", FieldTable::new());
    let to = binding("x", Destination::Exchange(object("")), "k", FieldTable::new());
    for binding in [from, to] {
        let outcome = host.topology.bind(&host.vhost, CONNECTION, &binding);
        refused(outcome, ReplyCode::AccessRefused, DEFAULT);
        let outcome = host.topology.unbind(&host.vhost, CONNECTION, &binding);
        refused(outcome, ReplyCode::AccessRefused, DEFAULT);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.queue("q");
    let no_queue = "no queue 'nope' in vhost '/'";
    let no_exchange = "no exchange 'nope' in vhost '/'";
    let passive = Queue { passive: true, ..Queue::default() };
    refused(host.queue_with("nope", &passive), ReplyCode::NotFound, no_queue);
    let passive = Exchange { passive: true, ..Exchange::default() };
    refused(host.exchange_with("nope", "direct", &passive), ReplyCode::NotFound, no_exchange);
    host.exchange_with("x", "no matter", &passive).unwrap();
    let outcome = host.topology.routes().route(&host.vhost, &object("nope"), &[], &|| None);
    refused(outcome, ReplyCode::NotFound, no_exchange);
    let queue = |queue| Destination::Queue(object(queue));
    let exchange = |exchange| Destination::Exchange(object(exchange));
    for (source, destination, text) in [
        ("nope", queue("q"), no_exchange),
        ("x", queue("nope"), no_queue),
        ("nope", queue("nope2"), no_exchange),
        ("x", exchange("nope"), no_exchange),
        ("nope", exchange("x"), no_exchange),
    ] {
        let binding = binding(source, destination, "k", FieldTable::new());
        let outcome = host.topology.bind(&host.vhost, CONNECTION, &binding);
        refused(outcome, ReplyCode::NotFound, text);
        host.topology.unbind(&host.vhost, CONNECTION, &binding).unwrap();
    }
}

#[test]
fn an_unknown_exchange_type_ends_the_connection() {
    let mut host = Host::new();
    let fault = host.exchange_with("x", "foo", &Exchange::default()).unwrap_err();
    assert_eq!((fault.scope, fault.code), (FaultScope::Connection, ReplyCode::CommandInvalid));
    assert_eq!(fault.text, "unknown exchange type 'foo'");
}

#[test]
fn a_delayed_exchange_says_by_which_type_it_routes() {
    let mut host = Host::new();
    let delayed = |arguments| Exchange { arguments, ..Exchange::default() };
    let text = "invalid arg 'x-delayed-type' for exchange 'x' in vhost '/': ";
    for (arguments, reason) in [
        (table(&[]), "none; an exchange of type 'x-delayed-message' needs it"),
        (
            table(&[("x-delayed-type", text_value("foo"))]),
            "'foo' of type 'longstr'; expected 'direct'",
        ),
        (
            table(&[("x-delayed-type", text_value("x-delayed-message"))]),
            "'x-delayed-message' of type 'longstr'; expected 'direct'",
        ),
        (table(&[("x-delayed-type", FieldValue::I32(1))]), "'1' of type 'signedint'; expected"),
    ] {
        let fault = host.exchange_with("x", "x-delayed-message", &delayed(arguments)).unwrap_err();
        assert_eq!((fault.scope, fault.code), (FaultScope::Channel, ReplyCode::PreconditionFailed));
        assert!(fault.text.starts_with(&format!("{text}{reason}")), "{}", fault.text);
    }
    let topic = || delayed(table(&[("x-delayed-type", text_value("topic"))]));
    host.exchange_with("x", "x-delayed-message", &topic()).unwrap();
    host.exchange_with("x", "x-delayed-message", &topic()).unwrap();
    let direct = delayed(table(&[("x-delayed-type", text_value("direct"))]));
    refused(
        host.exchange_with("x", "x-delayed-message", &direct),
        ReplyCode::PreconditionFailed,
        "inequivalent arg 'x-delayed-type' for exchange 'x' in vhost '/': received 'direct' but current \
         is 'topic'",
    );
    refused(
        host.exchange_with("x", "topic", &topic()),
        ReplyCode::PreconditionFailed,
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is \
         'x-delayed-message'",
    );
}

fn text_value(text: &str) -> FieldValue {
    FieldValue::LongStr(text.to_owned().into())
}

#[test]
fn an_alternate_exchange_is_a_name() {
    let mut host = Host::new();
    let arguments = table(&[("alternate-exchange", FieldValue::I32(1))]);
    refused(
        host.exchange_with("x", "direct", &Exchange { arguments, ..Exchange::default() }),
        ReplyCode::PreconditionFailed,
        "invalid arg 'alternate-exchange' for exchange 'x' in vhost '/': '1' of type 'signedint'; \
         expected a string of at most 255 bytes",
    );
}

#[test]
fn line_breaks_are_left_out_of_names() {
    let mut host = Host::new();
    let made = host.queue_with("q\r\n", &Queue::default()).unwrap();
    assert_eq!(made.name, "q");
    host.exchange("x\n", "direct");
    host.bind("x\r\n", "q\n", "k\n");
    assert_eq!(host.route("x", "k\n"), ["q"]);
}
