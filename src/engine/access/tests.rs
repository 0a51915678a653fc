//! What a user may and may not do, as RabbitMQ has it.

use super::*;
use crate::model::{
    Binding, Destination, ExchangeDeclaration, FaultScope, NamePatternError, ObjectName,
    QueueDeclaration, TopologyRequest,
};
use forebay_wire::{FieldTable, FieldValue};
use std::collections::BTreeMap;

fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

fn object(text: &str) -> ObjectName {
    ObjectName::try_from(text).unwrap()
}

/// The user `bob` with these patterns in `/`.
fn bob(configure: &str, write: &str, read: &str) -> AccessControl {
    let mut access = AccessControl::new();
    access.grant(&name("bob"), &name("/"), Permission::new(configure, write, read).unwrap());
    access
}

fn check(access: &AccessControl, wanted: Access, object: Object<'_>) -> Result<(), Fault> {
    access.snapshot().permissions().check(&name("bob"), &name("/"), wanted, object)
}

#[test]
fn each_access_has_a_pattern_of_its_own() {
    let access = bob("^c-", "^w-", "^r-");
    let queues = [object("c-1"), object("w-1"), object("r-1")];
    for (at, wanted) in [Access::Configure, Access::Write, Access::Read].into_iter().enumerate() {
        for (queue, object) in queues.iter().enumerate() {
            let outcome = check(&access, wanted, Object::Queue(object));
            assert_eq!(outcome.is_ok(), at == queue);
        }
    }
}

#[test]
fn a_refusal_names_user_access_and_object() {
    let access = bob("", "^orders$", ".*");
    let fault = check(&access, Access::Write, Object::Exchange(&object("logs"))).unwrap_err();
    assert_eq!((fault.scope, fault.code), (FaultScope::Channel, ReplyCode::AccessRefused));
    assert_eq!(fault.text, "write access to exchange 'logs' in vhost '/' refused for user 'bob'");
    let fault = check(&access, Access::Configure, Object::Queue(&object("q"))).unwrap_err();
    assert_eq!(fault.text, "configure access to queue 'q' in vhost '/' refused for user 'bob'");
    check(&access, Access::Read, Object::Queue(&object("q"))).unwrap();
}

#[test]
fn an_empty_pattern_allows_nothing_and_the_default_exchange_has_a_name() {
    let access = bob("", "^amq\\.default$", "");
    check(&access, Access::Write, Object::Exchange(&object(""))).unwrap();
    check(&access, Access::Write, Object::Exchange(&object("x"))).unwrap_err();
    let fault = check(&access, Access::Read, Object::Exchange(&object(""))).unwrap_err();
    assert!(fault.text.starts_with("read access to exchange 'amq.default' in vhost '/'"));
}

#[test]
fn a_virtual_host_is_entered_only_with_a_permission() {
    let access = bob("", "", "");
    let permissions = access.snapshot().permissions();
    permissions.check_vhost(&name("bob"), &name("/")).unwrap();
    let fault = permissions.check_vhost(&name("bob"), &name("other")).unwrap_err();
    assert_eq!((fault.scope, fault.code), (FaultScope::Connection, ReplyCode::NotAllowed));
    assert_eq!(fault.text, "access to vhost 'other' refused for user 'bob'");
    permissions.check_vhost(&name("eve"), &name("/")).unwrap_err();
}

fn declare_queue(queue: &str, passive: bool, arguments: FieldTable) -> TopologyRequest {
    TopologyRequest::DeclareQueue(QueueDeclaration {
        name: object(queue),
        passive,
        durable: true,
        arguments,
        ..QueueDeclaration::default()
    })
}

fn declare_exchange(exchange: &str, passive: bool, arguments: FieldTable) -> TopologyRequest {
    TopologyRequest::DeclareExchange(ExchangeDeclaration {
        name: object(exchange),
        kind: name("direct"),
        passive,
        durable: true,
        arguments,
        ..ExchangeDeclaration::default()
    })
}

fn bind(source: &str, destination: Destination) -> TopologyRequest {
    TopologyRequest::Bind(Binding {
        source: object(source),
        destination,
        routing_key: name("k"),
        arguments: FieldTable::new(),
    })
}

#[test]
fn requests_need_what_they_need_in_rabbitmq() {
    let argument = |key: &str, exchange: &str| -> FieldTable {
        [(name(key), FieldValue::from(exchange))].into_iter().collect()
    };
    let dead = || argument("x-dead-letter-exchange", "x");
    let alternate = || argument("alternate-exchange", "y");
    let none = FieldTable::new;
    let queue = || Destination::Queue(object("q"));
    let exchange = || Destination::Exchange(object("y"));
    let purge = TopologyRequest::PurgeQueue { name: object("q") };
    let delete =
        TopologyRequest::DeleteQueue { name: object("q"), if_unused: false, if_empty: false };
    let delete_exchange = TopologyRequest::DeleteExchange { name: object("x"), if_unused: false };
    // The request, and the least patterns that allow it.
    let cases = [
        (declare_queue("q", false, none()), ["^q$", "", ""]),
        (declare_queue("amq.gen-1", false, none()), ["^amq\\.gen-1$", "", ""]),
        (declare_queue("q", true, none()), ["", "", ""]),
        (declare_queue("q", false, dead()), ["^q$", "^x$", "^q$"]),
        (declare_exchange("x", false, none()), ["^x$", "", ""]),
        (declare_exchange("x", true, alternate()), ["", "", ""]),
        (declare_exchange("x", false, alternate()), ["^x$", "^y$", "^x$"]),
        (delete_exchange, ["^x$", "", ""]),
        (delete, ["^q$", "", ""]),
        (purge, ["", "", "^q$"]),
        (bind("x", queue()), ["", "^q$", "^x$"]),
        (bind("x", exchange()), ["", "^y$", "^x$"]),
    ];
    for (request, patterns) in cases {
        let allowed = |[configure, write, read]: [&str; 3]| {
            let access = bob(configure, write, read);
            access
                .snapshot()
                .permissions()
                .check_request(&name("bob"), &name("/"), &request)
                .is_ok()
        };
        assert!(allowed(patterns), "{request:?}");
        for at in (0..3).filter(|at| !patterns[*at].is_empty()) {
            let mut less = patterns;
            less[at] = "^other$";
            assert!(!allowed(less), "{request:?} without {}", patterns[at]);
        }
    }
}

/// The records that the store holds after what happened.
fn stored(access: &mut AccessControl, records: &mut BTreeMap<Bytes, Bytes>) {
    for operation in access.take_operations() {
        match operation {
            Operation::PutRecord { key, value } => drop(records.insert(key, value)),
            Operation::RemoveRecord { key } => assert!(records.remove(&key).is_some()),
            other => panic!("no record: {other:?}"),
        }
    }
}

#[test]
fn permissions_survive_a_restart() {
    let mut access = bob("^a", "b", "");
    let permission = || Permission::new(".*", ".*", ".*").unwrap();
    for (user, vhost) in [("ann", "/"), ("ann", "v"), ("eve", "v"), ("eve", "/")] {
        access.grant(&name(user), &name(vhost), permission());
    }
    assert!(access.revoke(&name("eve"), &name("v")));
    assert!(!access.revoke(&name("eve"), &name("v")));
    let before = access.snapshot().permissions().clone();
    let mut records = BTreeMap::new();
    stored(&mut access, &mut records);
    let list: Vec<_> = records.clone().into_iter().collect();
    let mut back = AccessControl::recover(&list).unwrap();
    assert!(back.snapshot().permissions().iter().eq(access.snapshot().permissions().iter()));
    assert_eq!(back.snapshot().permissions().iter().count(), 4);
    back.remove_user(&name("ann"));
    back.remove_vhost(&name("/"));
    assert_eq!(back.snapshot().permissions().iter().count(), 0);
    stored(&mut back, &mut records);
    assert!(records.is_empty());
    assert_eq!(before.iter().count(), 4, "a copy stays as it was");
}

#[test]
fn the_version_grows_with_every_change_and_only_then() {
    let mut access = bob("a", "b", "c");
    let version = access.snapshot().version();
    access.grant(&name("bob"), &name("/"), Permission::new("a", "b", "c").unwrap());
    assert_eq!(access.snapshot().version(), version);
    access.grant(&name("bob"), &name("/"), Permission::new("a", "b", "d").unwrap());
    assert!(access.snapshot().version() > version);
}

#[test]
fn damaged_and_newer_records_are_refused_and_named() {
    let mut access = bob("^a", "b", "c");
    let mut records = BTreeMap::new();
    stored(&mut access, &mut records);
    let (key, value) = records.pop_first().unwrap();
    let refused = |key: &Bytes, value: Bytes| {
        AccessControl::recover(&[(key.clone(), value)]).unwrap_err().to_string()
    };
    for length in 0..value.len() {
        let text = refused(&key, value.slice(..length));
        assert_eq!(text, "access record a\\x03bob\\x01/: damaged");
    }
    refused(&key, Bytes::from([&value[..], b"\0"].concat()));
    refused(&key.slice(..3), value.clone());
    let newer = Bytes::from([b"\x02", &value[1..]].concat());
    assert!(refused(&key, newer).contains("has version 2, expected 1"));
    // Others' records are no concern of ours, nor ours of the topology's.
    let others = [(Bytes::from_static(b"v/"), Bytes::from_static(b"\x01")), (key, value)];
    assert_eq!(AccessControl::recover(&others).unwrap().snapshot().permissions().iter().count(), 1);
    crate::topology::Topology::recover(&others).unwrap();
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let error = Permission::new(".*", "(", ".*").unwrap_err();
    assert!(matches!(error, NamePatternError::Syntax { .. }));
}

fn user(password: PasswordHash, tags: &[&str]) -> User {
    User { password, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }
}

#[test]
fn users_survive_a_restart_and_go_with_their_permissions() {
    let mut access = bob(".*", ".*", ".*");
    let users = [
        ("bob", user(PasswordHash::Argon2id("$argon2id$x".to_owned()), &["administrator", "x"])),
        ("eve", user(PasswordHash::Disabled, &[])),
        ("old", user(PasswordHash::RabbitmqSha256("aGFzaA==".to_owned()), &["monitoring"])),
        ("new", user(PasswordHash::RabbitmqSha512("aGFzaA==".to_owned()), &[])),
    ];
    for (user, there) in &users {
        access.put_user(&name(user), there.clone());
    }
    let mut records = BTreeMap::new();
    stored(&mut access, &mut records);
    let list: Vec<_> = records.clone().into_iter().collect();
    let mut back = AccessControl::recover(&list).unwrap();
    for (user, there) in &users {
        assert_eq!(back.snapshot().users().get(&name(user)).map(|user| &**user), Some(there));
    }
    for (user, _) in &users {
        assert!(back.remove_user(&name(user)));
        assert!(!back.remove_user(&name(user)));
    }
    stored(&mut back, &mut records);
    assert!(records.is_empty());
    for (key, value) in list.iter().filter(|(key, _)| key.starts_with(b"u")) {
        for length in 0..value.len() {
            AccessControl::recover(&[(key.clone(), value.slice(..length))]).unwrap_err();
        }
    }
}

#[test]
fn users_of_the_configuration_may_do_everything_unless_it_says_less() {
    let mut access = AccessControl::new();
    let less = vec![(name("/"), Permission::new("", "", "^r").unwrap())];
    access.configure(&[
        ConfiguredUser { name: name("root"), permissions: None },
        ConfiguredUser { name: name("bob"), permissions: Some(less) },
    ]);
    let allowed = |access: &AccessControl, user, vhost, wanted| {
        let queue = object("r");
        access
            .snapshot()
            .permissions()
            .check(&name(user), &name(vhost), wanted, Object::Queue(&queue))
            .is_ok()
    };
    assert!(allowed(&access, "root", "anywhere", Access::Configure));
    assert!(allowed(&access, "bob", "/", Access::Read));
    assert!(!allowed(&access, "bob", "/", Access::Write));
    access.snapshot().permissions().check_vhost(&name("bob"), &name("other")).unwrap_err();
    // What an operator sets at run time goes before.
    access.grant(&name("root"), &name("/"), Permission::new("", "", "").unwrap());
    assert!(!allowed(&access, "root", "/", Access::Read));
    assert!(allowed(&access, "root", "other", Access::Read));
    assert_eq!(access.take_operations().len(), 1);
}

#[test]
fn the_first_user_is_decided_once_also_after_a_restart() {
    let mut access = AccessControl::new();
    assert!(!access.first_user_decided());
    access.decide_first_user();
    let mut records = BTreeMap::new();
    stored(&mut access, &mut records);
    access.decide_first_user();
    assert!(access.take_operations().is_empty());
    let list: Vec<_> = records.into_iter().collect();
    assert!(AccessControl::recover(&list).unwrap().first_user_decided());
    let (key, value) = &list[0];
    for (key, value) in [
        (key.clone(), Bytes::new()),
        (key.clone(), Bytes::from_static(b"\x02")),
        (key.clone(), Bytes::from([&value[..], b"\0"].concat())),
        (Bytes::from_static(b"fx"), value.clone()),
    ] {
        AccessControl::recover(&[(key, value)]).unwrap_err();
    }
}
