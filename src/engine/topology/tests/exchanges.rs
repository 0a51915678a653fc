//! How each exchange type and their combinations route.

use super::{Exchange, Host, name, object, refused, table, text};
use forebay_wire::{FieldTable, ReplyCode};

#[test]
fn the_default_exchange_leads_to_the_queue_of_that_name() {
    let mut host = Host::new();
    host.queue("q");
    assert_eq!(host.route("", "q"), ["q"]);
    assert!(host.route("", "other").is_empty());
    assert_eq!(host.route_with("", &["q", "q", "other"], &FieldTable::new()), ["q"]);
    host.remove_queue("q");
    assert!(host.route("", "q").is_empty());
}

#[test]
fn a_direct_exchange_compares_the_whole_key() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    for (queue, key) in [("a", "k"), ("b", "k"), ("c", "l")] {
        host.queue(queue);
        host.bind("x", queue, key);
    }
    assert_eq!(host.route("x", "k"), ["a", "b"]);
    assert_eq!(host.route("x", "l"), ["c"]);
    assert!(host.route("x", "K").is_empty());
    assert_eq!(host.route_with("x", &["k", "l"], &FieldTable::new()), ["a", "b", "c"]);
}

#[test]
fn a_fanout_exchange_ignores_the_key_until_the_last_binding_of_a_queue_goes() {
    let mut host = Host::new();
    host.exchange("x", "fanout");
    host.queue("q");
    host.bind("x", "q", "one");
    host.bind("x", "q", "two");
    assert_eq!(host.route("x", "three"), ["q"]);
    host.unbind("x", "q", "one");
    assert_eq!(host.route("x", "three"), ["q"]);
    host.unbind("x", "q", "two");
    assert!(host.route("x", "three").is_empty());
}

#[test]
fn bindings_that_differ_only_in_arguments_are_two() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.queue("q");
    host.bind("x", "q", "k");
    host.bind_with("x", "q", "k", table(&[("note", text("again"))]));
    assert_eq!(host.topology.bindings(&host.vhost).count(), 2);
    host.unbind("x", "q", "k");
    assert_eq!(host.route("x", "k"), ["q"]);
}

#[test]
fn the_order_of_a_binding_s_arguments_does_not_matter() {
    let mut host = Host::new();
    host.exchange("x", "headers");
    host.queue("q");
    host.bind_with("x", "q", "", table(&[("a", text("1")), ("b", text("2"))]));
    host.bind_with("x", "q", "", table(&[("b", text("2")), ("a", text("1"))]));
    assert_eq!(host.topology.bindings(&host.vhost).count(), 1);
}

#[test]
fn exchanges_bound_in_a_circle_are_each_asked_once() {
    let mut host = Host::new();
    for exchange in ["a", "b", "c"] {
        host.exchange(exchange, "direct");
        host.queue(exchange);
        host.bind(exchange, exchange, "k");
        host.bind_exchange(exchange, exchange, "k");
    }
    host.bind_exchange("a", "b", "k");
    host.bind_exchange("b", "c", "k");
    host.bind_exchange("c", "a", "k");
    for exchange in ["a", "b", "c"] {
        assert_eq!(host.route(exchange, "k"), ["a", "b", "c"]);
        assert!(host.route(exchange, "l").is_empty());
    }
}

#[test]
fn an_internal_exchange_takes_messages_only_from_exchanges() {
    let mut host = Host::new();
    host.exchange("x", "fanout");
    let internal = Exchange { internal: true, ..Exchange::default() };
    host.exchange_with("i", "fanout", &internal).unwrap();
    host.queue("q");
    host.bind("i", "q", "");
    host.bind_exchange("x", "i", "");
    assert_eq!(host.route("x", "k"), ["q"]);
    let routes = host.topology.routes();
    refused(
        routes.route(&host.vhost, &object("i"), &[name("k")], &|| None),
        ReplyCode::AccessRefused,
        "cannot publish to internal exchange 'i' in vhost '/'",
    );
}

#[test]
fn the_alternate_exchange_takes_what_no_binding_matches() {
    let mut host = Host::new();
    let with = |exchange| Exchange {
        arguments: table(&[("alternate-exchange", text(exchange))]),
        ..Exchange::default()
    };
    host.exchange_with("x", "direct", &with("y")).unwrap();
    host.exchange_with("y", "direct", &with("z")).unwrap();
    // Circles end here too, and what is not there is passed over.
    host.exchange_with("z", "direct", &with("x")).unwrap();
    host.exchange_with("lost", "direct", &with("nowhere")).unwrap();
    host.exchange("empty", "direct");
    for queue in ["x", "y", "z"] {
        host.queue(queue);
        host.bind(queue, queue, queue);
    }
    host.bind_exchange("x", "empty", "dead-end");
    assert_eq!(host.route("x", "x"), ["x"]);
    assert_eq!(host.route("x", "y"), ["y"]);
    assert_eq!(host.route("x", "z"), ["z"]);
    assert!(host.route("x", "none").is_empty());
    assert!(host.route("lost", "none").is_empty());
    // A binding matched, though nothing came of it.
    assert!(host.route("x", "dead-end").is_empty());
}

#[test]
fn only_what_reaches_a_headers_exchange_depends_on_headers() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.exchange("y", "fanout");
    host.exchange("h", "headers");
    host.bind_exchange("x", "y", "k");
    host.bind_exchange("y", "x", "k");
    let cacheable =
        |host: &Host, exchange| host.topology.routes().is_cacheable(&host.vhost, &name(exchange));
    assert!(cacheable(&host, ""));
    assert!(cacheable(&host, "x"));
    assert!(!cacheable(&host, "h"));
    host.bind_exchange("y", "h", "k");
    assert!(!cacheable(&host, "x"));
    host.topology.delete_exchange(&host.vhost, &object("h"), false).unwrap();
    assert!(cacheable(&host, "x"));
    let arguments = table(&[("alternate-exchange", text("amq.headers"))]);
    let with = Exchange { arguments, ..Exchange::default() };
    host.exchange_with("a", "direct", &with).unwrap();
    assert!(!cacheable(&host, "a"));
}

#[test]
fn every_virtual_host_has_its_own_predeclared_exchanges() {
    let mut host = Host::new();
    host.topology.create_vhost(&name("other"));
    host.queue("q");
    host.bind("amq.direct", "q", "k");
    for (vhost, expected) in [("/", 1), ("other", 0)] {
        let routes = host.topology.routes();
        let route = |exchange, key| {
            routes.route(&name(vhost), &object(exchange), &[name(key)], &|| None).unwrap().len()
        };
        assert_eq!((route("amq.direct", "k"), route("", "q")), (expected, expected));
        for exchange in ["amq.fanout", "amq.topic", "amq.headers", "amq.match"] {
            assert_eq!(route(exchange, "k"), 0);
        }
    }
}
