//! Snapshots: what connections hold while the topology goes on.

use super::{Host, Queue, name, object};
use std::sync::Arc;

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut host = Host::new();
    host.exchange("x", "topic");
    host.queue("q");
    host.bind("x", "q", "a.#");
    let before = host.topology.routes().clone();
    host.queue("r");
    host.bind("x", "r", "a.#");
    host.remove_queue("q");
    host.topology.delete_exchange(&host.vhost, &object("x"), false).unwrap();
    let targets = before.route(&host.vhost, &object("x"), &[name("a.b")], &|| None).unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(before.route(&host.vhost, &object(""), &[name("r")], &|| None).unwrap().len(), 0);
}

#[test]
fn the_version_grows_with_every_change_and_only_then() {
    let mut host = Host::new();
    let mut last = host.topology.routes().version();
    let mut changed = |host: &Host, expected: bool| {
        let version = host.topology.routes().version();
        assert_eq!(version > last, expected);
        assert!(version >= last);
        last = version;
    };
    host.exchange("x", "direct");
    changed(&host, true);
    host.exchange("x", "direct");
    changed(&host, false);
    host.queue("q");
    changed(&host, true);
    host.queue("q");
    changed(&host, false);
    host.bind("x", "q", "k");
    changed(&host, true);
    host.bind("x", "q", "k");
    changed(&host, false);
    host.unbind("x", "q", "other");
    changed(&host, false);
    host.queue_with("nope", &Queue { passive: true, ..Queue::default() }).unwrap_err();
    changed(&host, false);
    host.unbind("x", "q", "k");
    changed(&host, true);
    host.remove_queue("q");
    changed(&host, true);
    host.topology.create_vhost(&name("v"));
    changed(&host, true);
}

#[test]
fn a_route_to_one_place_is_prepared_once() {
    let mut host = Host::new();
    for (exchange, kind) in [("d", "direct"), ("f", "fanout"), ("t", "topic")] {
        host.exchange(exchange, kind);
    }
    for queue in ["q", "r"] {
        host.queue(queue);
        for exchange in ["d", "f", "t"] {
            host.bind(exchange, queue, "k");
        }
    }
    let route = |host: &Host, exchange, key| {
        host.topology
            .routes()
            .route(&host.vhost, &object(exchange), &[name(key)], &|| None)
            .unwrap()
    };
    for (exchange, key) in [("", "q"), ("d", "k"), ("f", "k"), ("t", "k")] {
        let first = route(&host, exchange, key);
        host.queue("another");
        assert!(Arc::ptr_eq(&first, &route(&host, exchange, key)), "{exchange}");
        host.remove_queue("another");
    }
}
