//! `x-consistent-hash` exchanges.

use super::{CONNECTION, Exchange, Host, binding, name, object, refused, table, text};
use crate::model::Destination;
use forebay_wire::{FieldTable, FieldValue, ReplyCode};
use std::collections::BTreeMap;

const KEYS: usize = 10_000;

/// Where each key goes.
fn routes(host: &Host) -> Vec<String> {
    (0..KEYS)
        .map(|key| {
            let mut queues = host.route("x", &format!("key-{key}"));
            assert_eq!(queues.len(), 1);
            queues.remove(0)
        })
        .collect()
}

fn with_queues(weights: &[(&str, &str)]) -> Host {
    let mut host = Host::new();
    host.exchange("x", "x-consistent-hash");
    for (queue, weight) in weights {
        host.queue(queue);
        host.bind("x", queue, weight);
    }
    host
}

#[test]
fn messages_spread_in_proportion_to_the_weights() {
    let host = with_queues(&[("a", "1"), ("b", "2"), ("c", "5")]);
    let mut counts = BTreeMap::new();
    for queue in routes(&host) {
        *counts.entry(queue).or_insert(0) += 1;
    }
    for (queue, weight) in [("a", 1), ("b", 2), ("c", 5)] {
        let expected = KEYS * weight / 8;
        let found: usize = counts[queue];
        assert!(found.abs_diff(expected) < KEYS / 50, "{queue}: {found}, expected {expected}");
    }
}

#[test]
fn only_what_a_newcomer_takes_moves_and_returns_when_it_goes() {
    let mut host = with_queues(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let before = routes(&host);
    host.queue("d");
    host.bind("x", "d", "1");
    let between = routes(&host);
    let moved = before.iter().zip(&between).filter(|(before, after)| before != after);
    let moved: Vec<_> = moved.map(|(_, after)| after).collect();
    assert!(moved.iter().all(|queue| *queue == "d"));
    assert!(moved.len().abs_diff(KEYS / 4) < KEYS / 50, "{}", moved.len());
    host.unbind("x", "d", "1");
    assert_eq!(routes(&host), before);
}

#[test]
fn keys_stay_where_they_are_over_a_restart() {
    let mut host = Host::new();
    let durable = Exchange { durable: true, ..Exchange::default() };
    host.exchange_with("x", "x-consistent-hash", &durable).unwrap();
    for queue in ["a", "b", "c"] {
        let durable = super::Queue { durable: true, ..super::Queue::default() };
        host.queue_with(queue, &durable).unwrap();
        host.bind("x", queue, "1");
    }
    let before = routes(&host);
    assert_eq!(routes(&host.restarted()), before);
}

#[test]
fn a_header_can_be_hashed_instead() {
    let mut host = Host::new();
    let arguments = table(&[("hash-header", text("customer"))]);
    let with = Exchange { arguments, ..Exchange::default() };
    host.exchange_with("x", "x-consistent-hash", &with).unwrap();
    for queue in ["a", "b", "c", "d"] {
        host.queue(queue);
        host.bind("x", queue, "1");
    }
    assert!(!host.topology.routes().is_cacheable(&host.vhost, &name("x")));
    let route = |key: &str, headers| host.route_with("x", &[key], &headers);
    let customer = |value| table(&[("customer", value)]);
    for id in 0..50 {
        let first = route("k", customer(FieldValue::I32(id)));
        assert_eq!(first.len(), 1);
        assert_eq!(route("l", customer(FieldValue::I64(id.into()))), first);
    }
    assert_eq!(route("k", FieldTable::new()), route("l", customer(text(""))));
    let different: std::collections::BTreeSet<_> =
        (0..50).map(|id| route("k", customer(text(&id.to_string())))).collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn weights_and_arguments_are_checked() {
    let mut host = with_queues(&[("a", "1")]);
    for key in ["", "0", "-1", "many", "65536"] {
        let to = Destination::Queue(object("a"));
        let binding = binding("x", to, key, FieldTable::new());
        refused(
            host.topology.bind(&host.vhost, CONNECTION, &binding),
            ReplyCode::PreconditionFailed,
            &format!(
                "invalid binding key '{key}' for an exchange of type 'x-consistent-hash': \
                 expected a weight, an integer from 1 to 65535"
            ),
        );
    }
    for argument in ["hash-header", "hash-property"] {
        let arguments = table(&[(argument, FieldValue::I32(1))]);
        let with = Exchange { arguments, ..Exchange::default() };
        let fault = host.exchange_with("y", "x-consistent-hash", &with).unwrap_err();
        assert_eq!(fault.code, ReplyCode::PreconditionFailed);
        assert!(fault.text.starts_with(&format!("invalid arg '{argument}' for exchange 'y'")));
        assert!(!host.has_exchange("y"));
    }
}
