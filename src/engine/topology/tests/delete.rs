//! What goes, and what goes with it.

use super::{CONNECTION, Exchange, Host, Queue, STRANGER, binding, name, object, refused};
use crate::model::Destination;
use crate::topology::removal::Leaving;
use forebay_wire::{FieldTable, ReplyCode};

fn auto_delete() -> Exchange {
    Exchange { auto_delete: true, ..Exchange::default() }
}

#[test]
fn a_deleted_exchange_takes_its_bindings_along() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.exchange("y", "fanout");
    host.queue("q");
    host.bind("x", "q", "k");
    host.bind_exchange("y", "x", "");
    host.topology.delete_exchange(&host.vhost, &object("x"), false).unwrap();
    assert_eq!(host.topology.bindings(&host.vhost).count(), 0);
    host.exchange("x", "direct");
    assert!(host.route("x", "k").is_empty());
    assert!(host.route("y", "k").is_empty());
    host.topology.delete_exchange(&host.vhost, &object("never-there"), true).unwrap();
}

#[test]
fn if_unused_asks_for_bindings_from_the_exchange_not_to_it() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    host.exchange("y", "direct");
    host.bind_exchange("x", "y", "k");
    refused(
        host.topology.delete_exchange(&host.vhost, &object("x"), true),
        ReplyCode::PreconditionFailed,
        "exchange 'x' in vhost '/' in use",
    );
    host.topology.delete_exchange(&host.vhost, &object("y"), true).unwrap();
    host.topology.delete_exchange(&host.vhost, &object("x"), true).unwrap();
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_not_before_its_first() {
    let mut host = Host::new();
    host.exchange_with("x", "direct", &auto_delete()).unwrap();
    host.queue("q");
    host.unbind("x", "q", "k");
    assert!(host.has_exchange("x"));
    host.bind("x", "q", "k");
    host.bind("x", "q", "l");
    host.unbind("x", "q", "k");
    assert!(host.has_exchange("x"));
    host.unbind("x", "q", "l");
    assert!(!host.has_exchange("x"));
}

#[test]
fn a_removed_queue_pulls_down_a_chain_of_auto_delete_exchanges() {
    let mut host = Host::new();
    for exchange in ["x", "y", "z"] {
        host.exchange_with(exchange, "direct", &auto_delete()).unwrap();
    }
    host.queue("q");
    host.queue("other");
    host.bind_exchange("x", "y", "k");
    host.bind_exchange("y", "z", "k");
    host.bind("z", "q", "k");
    host.bind_exchange("z", "x", "k");
    host.bind("z", "other", "l");
    host.remove_queue("q");
    assert!(host.has_exchange("z"));
    host.unbind("z", "other", "l");
    // z still leads to x: a circle keeps itself.
    assert!(host.has_exchange("z"));
    host.topology.delete_exchange(&host.vhost, &object("x"), false).unwrap();
    assert!(!host.has_exchange("z"));
    assert!(!host.has_exchange("y"));
    assert_eq!(host.topology.bindings(&host.vhost).count(), 0);
}

#[test]
fn a_queue_of_the_same_name_starts_afresh() {
    let mut host = Host::new();
    host.exchange("x", "fanout");
    host.queue("q");
    host.bind("x", "q", "");
    let first = host.topology.find_queue(&host.vhost, &name("q")).unwrap().id;
    host.remove_queue("q");
    assert_eq!(host.topology.queue_by_id(first), None);
    assert_eq!(host.topology.remove_queue(first), None);
    host.queue("q");
    let second = host.topology.find_queue(&host.vhost, &name("q")).unwrap().id;
    assert!(second > first);
    assert!(host.route("x", "").is_empty());
    assert_eq!(host.route("", "q"), ["q"]);
}

#[test]
fn an_exclusive_queue_is_locked_for_everybody_else() {
    let text = "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
                originally declared on another connection or the exclusive property value does \
                not match that of the original declaration.";
    let mut host = Host::new();
    host.exchange("x", "direct");
    let exclusive = Queue { exclusive: true, durable: true, ..Queue::default() };
    let declared = host.queue_with("q", &exclusive).unwrap();
    host.bind("x", "q", "k");
    for with in [Queue::default(), exclusive.clone(), Queue { passive: true, ..Queue::default() }] {
        let outcome = host.queue_as(STRANGER, "q", &with);
        refused(outcome, ReplyCode::ResourceLocked, text);
    }
    let to = |key| binding("x", Destination::Queue(object("q")), key, FieldTable::new());
    let outcome = host.topology.bind(&host.vhost, STRANGER, &to("l"));
    refused(outcome, ReplyCode::ResourceLocked, text);
    let outcome = host.topology.unbind(&host.vhost, STRANGER, &to("k"));
    refused(outcome, ReplyCode::ResourceLocked, text);
    host.topology.unbind(&host.vhost, STRANGER, &to("never-bound")).unwrap();
    refused(
        host.topology.queue(&host.vhost, &name("q"), STRANGER),
        ReplyCode::ResourceLocked,
        text,
    );
    // The owner too must say `exclusive` again; asking only is free.
    refused(host.queue_with("q", &Queue::default()), ReplyCode::ResourceLocked, text);
    host.queue_with("q", &Queue { passive: true, ..Queue::default() }).unwrap();
    assert!(!host.queue_with("q", &exclusive).unwrap().created);
    assert!(host.topology.exclusive_queues(CONNECTION).eq([declared.id]));
    assert!(host.topology.exclusive_queues(STRANGER).next().is_none());
    assert!(!host.topology.queue_by_id(declared.id).unwrap().durable);
    host.remove_queue("q");
    assert!(host.topology.exclusive_queues(CONNECTION).next().is_none());
}

#[test]
fn a_deleted_virtual_host_takes_everything_along() {
    let mut host = Host::new();
    let durable = Exchange { durable: true, ..Exchange::default() };
    host.exchange_with("x", "direct", &durable).unwrap();
    host.queue_with("q", &Queue { durable: true, ..Queue::default() }).unwrap();
    host.queue_with("e", &Queue { exclusive: true, ..Queue::default() }).unwrap();
    host.bind("x", "q", "k");
    host.store();
    let queues = host.topology.delete_vhost(&name("/")).unwrap();
    assert_eq!(queues.len(), 2);
    assert!(!host.topology.routes().has_vhost(b"/"));
    assert!(host.topology.exclusive_queues(CONNECTION).next().is_none());
    let outcome = host.queue_with("q", &Queue::default());
    refused(outcome, ReplyCode::NotAllowed, "vhost / not found");
    let routes = host.topology.routes();
    let outcome = routes.route(&host.vhost, &object("x"), &[name("k")], &|| None);
    refused(outcome, ReplyCode::NotAllowed, "vhost / not found");
    assert_eq!(host.topology.delete_vhost(&name("/")), None);
    host.store();
    // Only the ceiling of queue ids stays.
    assert_eq!(host.records.len(), 1);
}

/// How many bindings with the keys `0` to `count - 1` what leaves first still has in its routes.
fn leaving_routes(host: &mut Host, count: usize) -> usize {
    let leaving = host.topology.removals.leaving.front_mut();
    let exchange = match leaving {
        Some(Leaving::Object(gone)) => gone.routes.as_mut(),
        Some(Leaving::Vhost(_, gone)) => {
            gone.routes.as_mut().and_then(|routes| routes.exchange_mut(&name("x")))
        }
        None => None,
    };
    let Some(exchange) = exchange else { return 0 };
    let is_there = |key: &usize| {
        let mut found = 0;
        let keys = [name(&key.to_string())];
        exchange.matcher.visit(&keys, &|| None, |destinations| {
            found += usize::from(!destinations.is_empty());
        });
        found > 0
    };
    (0..count).filter(is_there).count()
}

#[test]
fn the_routes_of_what_is_gone_are_freed_with_its_bindings_not_at_once() {
    for (kind, is_vhost) in [("direct", false), ("topic", false), ("direct", true), ("topic", true)]
    {
        let mut host = Host::new();
        host.topology.set_removals_at_once(4);
        host.exchange("x", kind);
        host.queue("q");
        for key in 0..50 {
            host.bind("x", "q", &key.to_string());
        }
        if is_vhost {
            let queues = host.topology.begin_vhost_removal(&host.vhost).unwrap();
            queues.into_iter().for_each(|queue| drop(host.topology.remove_queue(queue)));
        } else {
            host.topology.delete_exchange(&host.vhost, &object("x"), false).unwrap();
        }
        let mut left = leaving_routes(&mut host, 50);
        assert_eq!(left, 50, "{kind} {is_vhost}");
        while left > 0 {
            host.topology.take_away(4);
            let before = left;
            left = leaving_routes(&mut host, 50);
            assert!((1..=4).contains(&(before - left)), "{kind} {is_vhost}: {before} to {left}");
        }
    }
}
