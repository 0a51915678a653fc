//! Policies: what they set, for whom, and when.

use super::{Exchange, Host, Queue, name, table, text};
use crate::model::{Fault, QueueId};
use crate::topology::{
    DeliveryLimit, Overflow, Policy, PolicyError, PolicyOwner, PolicyRequest, QueueSettings,
    Topology,
};
use forebay_wire::{FieldTable, FieldValue, ShortStr};

const INTEGER: fn(i64) -> FieldValue = FieldValue::I64;

/// A user's policy for everything, to be varied.
fn request<'a>(policy: &'a ShortStr, definition: &'a FieldTable) -> PolicyRequest<'a> {
    PolicyRequest { name: policy, pattern: ".*", apply_to: "", definition, priority: 0 }
}

impl Topology {
    /// Puts a policy and applies it at once; returns the queues whose settings have changed.
    pub(super) fn set_policy(
        &mut self,
        vhost: &ShortStr,
        policy: Policy,
    ) -> Result<Vec<QueueId>, Fault> {
        self.put_policy(vhost, policy)?;
        Ok(self.apply_policies(vhost))
    }

    /// Removes a policy and applies the others at once; returns the queues whose settings have
    /// changed, or `None` when there was no such policy.
    fn clear_policy(
        &mut self,
        vhost: &ShortStr,
        owner: PolicyOwner,
        name: &ShortStr,
    ) -> Option<Vec<QueueId>> {
        self.remove_policy(vhost, owner, name).then(|| self.apply_policies(vhost))
    }
}

impl Host {
    fn policy(&mut self, policy: &str, pattern: &str, priority: i64, definition: &FieldTable) {
        let policy = name(policy);
        let request = PolicyRequest { pattern, priority, ..request(&policy, definition) };
        let policy = Policy::new(PolicyOwner::User, request).unwrap();
        self.topology.set_policy(&self.vhost, policy).unwrap();
    }

    fn operator_policy(&mut self, policy: &str, definition: &FieldTable) {
        let policy = name(policy);
        let policy = Policy::new(PolicyOwner::Operator, request(&policy, definition)).unwrap();
        self.topology.set_policy(&self.vhost, policy).unwrap();
    }

    fn settings(&self, queue: &str) -> &QueueSettings {
        &self.topology.find_queue(&self.vhost, &name(queue)).unwrap().settings
    }
}

#[test]
fn a_policy_acts_on_queues_that_are_there_and_on_those_to_come() {
    let mut host = Host::new();
    let made = host.queue_with("orders", &Queue::default()).unwrap();
    host.queue("logs");
    let ttl = table(&[("message-ttl", INTEGER(100))]);
    let policy_name = name("p");
    let policy = PolicyRequest { pattern: "^orders", ..request(&policy_name, &ttl) };
    let policy = Policy::new(PolicyOwner::User, policy).unwrap();
    let changed = host.topology.set_policy(&host.vhost, policy.clone()).unwrap();
    assert_eq!(changed, [made.id]);
    assert_eq!(host.topology.set_policy(&host.vhost, policy).unwrap(), []);
    host.queue("orders.late");
    for (queue, ttl) in [("orders", Some(100)), ("orders.late", Some(100)), ("logs", None)] {
        assert_eq!(host.settings(queue).message_ttl, ttl, "{queue}");
        let record = host.topology.find_queue(&host.vhost, &name(queue)).unwrap();
        assert_eq!(record.policy, ttl.map(|_| name("p")));
        assert_eq!(record.operator_policy, None);
    }
    let owner = PolicyOwner::User;
    let changed = host.topology.clear_policy(&host.vhost, owner, &name("p")).unwrap();
    assert_eq!(changed.len(), 2);
    assert_eq!(host.settings("orders"), &QueueSettings::default());
    assert_eq!(host.topology.clear_policy(&host.vhost, owner, &name("p")), None);
}

#[test]
fn of_several_that_match_only_the_one_of_the_highest_priority_holds() {
    let mut host = Host::new();
    host.queue("q");
    host.policy("low", "q", 1, &table(&[("expires", INTEGER(7)), ("message-ttl", INTEGER(1))]));
    host.policy("high", "q", 2, &table(&[("message-ttl", INTEGER(2))]));
    host.policy("other", "z", 3, &table(&[("message-ttl", INTEGER(3))]));
    assert_eq!((host.settings("q").message_ttl, host.settings("q").expires), (Some(2), None));
    host.policy("low", "q", 5, &table(&[("expires", INTEGER(7)), ("message-ttl", INTEGER(1))]));
    assert_eq!((host.settings("q").message_ttl, host.settings("q").expires), (Some(1), Some(7)));
    let names: Vec<_> =
        host.topology.policies(&host.vhost).map(|policy| policy.name().to_string()).collect();
    assert_eq!(names, ["low", "other", "high"]);
}

#[test]
fn of_limits_the_lowest_holds_and_otherwise_the_arguments_go_first() {
    let mut host = Host::new();
    let arguments = table(&[
        ("x-message-ttl", INTEGER(50)),
        ("x-max-length", INTEGER(1000)),
        ("x-delivery-limit", INTEGER(-1)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text("mine")),
    ]);
    host.queue_with("q", &Queue { arguments, ..Queue::default() }).unwrap();
    host.policy(
        "p",
        ".*",
        0,
        &table(&[
            ("message-ttl", INTEGER(100)),
            ("max-length", INTEGER(100)),
            ("delivery-limit", INTEGER(20)),
            ("overflow", text("drop-head")),
            ("dead-letter-exchange", text("theirs")),
            ("dead-letter-routing-key", text("key")),
        ]),
    );
    host.operator_policy(
        "o",
        &table(&[
            ("message-ttl", INTEGER(75)),
            ("max-length", INTEGER(10)),
            ("expires", INTEGER(5)),
        ]),
    );
    let expected = QueueSettings {
        message_ttl: Some(50),
        length_max: Some(10),
        expires: Some(5),
        delivery_limit: Some(DeliveryLimit::Failures(20)),
        overflow: Overflow::RejectPublish,
        dead_letter_exchange: Some(name("mine")),
        dead_letter_routing_key: Some(name("key")),
        ..QueueSettings::default()
    };
    assert_eq!(host.settings("q"), &expected);
    let record = host.topology.find_queue(&host.vhost, &name("q")).unwrap();
    assert_eq!((&record.policy, &record.operator_policy), (&Some(name("p")), &Some(name("o"))));
}

#[test]
fn a_policy_for_queues_leaves_their_dead_letters_alone_unless_its_pattern_says_dlq() {
    for (pattern, applies_to_queue, applies_to_letters) in [
        (".*", true, false),
        ("", true, false),
        ("^orders", true, false),
        ("^orders(.d.q)?$", true, false),
        ("\\.dlq$", false, true),
        ("[.]dlq", false, true),
        ("^orders(\\.dlq)?$", true, true),
        ("^orders.dlq$", false, true),
    ] {
        let mut host = Host::new();
        host.queue("orders");
        host.queue("orders.dlq");
        host.policy("p", pattern, 5, &table(&[("max-length", INTEGER(5))]));
        let limit = |host: &Host, queue| host.settings(queue).length_max;
        assert_eq!(limit(&host, "orders").is_some(), applies_to_queue, "{pattern}");
        assert_eq!(limit(&host, "orders.dlq").is_some(), applies_to_letters, "{pattern}");
        let record = host.topology.find_queue(&host.vhost, &name("orders.dlq")).unwrap();
        assert_eq!(record.policy.is_some(), applies_to_letters, "{pattern}");
        // One for dead letters holds for them, however low it is among the others.
        host.policy("low", "dlq$", 1, &table(&[("max-length", INTEGER(9))]));
        let expected = if applies_to_letters { 5 } else { 9 };
        assert_eq!(limit(&host, "orders.dlq"), Some(expected), "{pattern}");
        // Operators' policies go by the same rule.
        host.operator_policy("o", &table(&[("max-length", INTEGER(3))]));
        assert_eq!(limit(&host, "orders"), Some(3));
        assert_eq!(limit(&host, "orders.dlq"), Some(expected), "{pattern}");
    }
}

#[test]
fn policies_don_t_count_when_a_queue_is_declared_again() {
    let mut host = Host::new();
    host.policy("p", ".*", 0, &table(&[("max-length", INTEGER(5))]));
    host.queue("q");
    assert!(!host.queue_with("q", &Queue::default()).unwrap().created);
    let arguments = table(&[("x-max-length", INTEGER(5))]);
    host.queue_with("q", &Queue { arguments, ..Queue::default() }).unwrap_err();
}

#[test]
fn a_policy_applies_to_what_it_says() {
    let cases = [
        ("all", [true, true, true]),
        ("", [true, true, true]),
        ("queues", [true, true, false]),
        ("classic_queues", [true, false, false]),
        ("quorum_queues", [false, true, false]),
        ("streams", [false, false, false]),
        ("exchanges", [false, false, true]),
    ];
    for (apply_to, expected) in cases {
        let mut host = Host::new();
        host.queue("c");
        let arguments = table(&[("x-queue-type", text("quorum"))]);
        host.queue_with("q", &Queue { durable: true, arguments, ..Queue::default() }).unwrap();
        host.exchange("x", "direct");
        let definition = table(&[("expires", INTEGER(1)), ("alternate-exchange", text("ae"))]);
        let policy = name("p");
        let request = PolicyRequest { apply_to, ..request(&policy, &definition) };
        let policy = Policy::new(PolicyOwner::User, request).unwrap();
        host.topology.set_policy(&host.vhost, policy).unwrap();
        let exchange = host.topology.exchange(&host.vhost, &name("x")).unwrap();
        let applied = [
            host.settings("c").expires.is_some(),
            host.settings("q").expires.is_some(),
            exchange.alternate.is_some(),
        ];
        assert_eq!(applied, expected, "{apply_to}");
    }
}

#[test]
fn an_alternate_exchange_can_come_from_a_policy_and_go_again() {
    let mut host = Host::new();
    host.exchange("x", "direct");
    let arguments = table(&[("alternate-exchange", text("none"))]);
    host.exchange_with("own", "direct", &Exchange { arguments, ..Exchange::default() }).unwrap();
    host.exchange("ae", "fanout");
    host.queue("lost");
    host.bind("ae", "lost", "");
    assert!(host.route("x", "k").is_empty());
    host.policy("p", "^(x|own)$", 0, &table(&[("alternate-exchange", text("ae"))]));
    assert_eq!(host.route("x", "k"), ["lost"]);
    assert!(host.route("own", "k").is_empty(), "its own argument goes first");
    host.topology.clear_policy(&host.vhost, PolicyOwner::User, &name("p")).unwrap();
    assert!(host.route("x", "k").is_empty());
}

#[test]
fn policies_survive_a_restart_and_go_with_their_virtual_host() {
    let mut host = Host::new();
    let durable = Queue { durable: true, ..Queue::default() };
    host.queue_with("q", &durable).unwrap();
    host.policy("p", "^q", -3, &table(&[("max-length", INTEGER(5)), ("ha-mode", text("all"))]));
    host.policy("gone", "^q", 3, &table(&[("max-length", INTEGER(50))]));
    host.topology.clear_policy(&host.vhost, PolicyOwner::User, &name("gone")).unwrap();
    host.operator_policy("p", &table(&[("max-length", INTEGER(4))]));
    let mut back = host.restarted();
    assert_eq!(back.settings("q").length_max, Some(4));
    assert!(back.topology.policies(&back.vhost).eq(host.topology.policies(&host.vhost)));
    assert_eq!(back.topology.policies(&back.vhost).count(), 2);
    back.topology.delete_vhost(&name("/")).unwrap();
    back.store();
    assert_eq!(back.records.len(), 1, "only the ceiling of queue ids");
}

fn refused(owner: PolicyOwner, request: PolicyRequest<'_>) -> PolicyError {
    Policy::new(owner, request).unwrap_err()
}

#[test]
fn a_policy_that_is_wrong_is_refused_with_the_field_named() {
    let good = table(&[("max-length", INTEGER(1))]);
    let policy = name("p");
    let fine = request(&policy, &good);
    let user = PolicyOwner::User;
    let empty = name("");
    assert_eq!(refused(user, PolicyRequest { name: &empty, ..fine }).field, "name");
    assert_eq!(refused(user, PolicyRequest { pattern: "(", ..fine }).field, "pattern");
    let error = refused(user, PolicyRequest { apply_to: "rivers", ..fine });
    assert_eq!(error.field, "apply-to");
    assert!(error.reason.starts_with("'rivers'; expected one of all, queues, "));
    let nothing = FieldTable::new();
    assert_eq!(refused(user, PolicyRequest { definition: &nothing, ..fine }).field, "definition");
}

#[test]
fn a_setting_of_a_policy_that_is_wrong_is_refused_with_value_and_what_is_allowed() {
    let policy = name("p");
    let user = PolicyOwner::User;
    for (owner, setting, value, reason) in [
        (user, "max-length", INTEGER(-1), "'-1' of type 'long'; expected an integer of 0 or more"),
        (user, "overflow", text("no"), "'no' of type 'longstr'; expected 'drop-head' or "),
        (user, "retry-delay-max", INTEGER(1), "is not implemented"),
        (
            user,
            "delayed-retry-type",
            text("x"),
            "'x' of type 'longstr'; expected 'disabled' or 'all' or",
        ),
        (user, "message-group", INTEGER(1), "'1' of type 'long'; expected a string of"),
        (PolicyOwner::Operator, "retry-delay", text("x"), "is not implemented"),
        (user, "queue-mode", text("x"), "'x' of type 'longstr'; expected 'default' or 'lazy'"),
        (user, "queue-version", INTEGER(3), "'3' of type 'long'; expected an integer from 1 to 2"),
        (
            user,
            "dead-letter-strategy",
            INTEGER(1),
            "'1' of type 'long'; expected 'at-most-once' or",
        ),
        (user, "queue-leader-locator", text("x"), "'x' of type 'longstr'; expected 'client-local'"),
        (user, "queue-master-locator", text("x"), "'x' of type 'longstr'; expected 'min-masters'"),
        (
            user,
            "max-in-memory-length",
            INTEGER(-1),
            "'-1' of type 'long'; expected an integer of 0",
        ),
        (user, "max-in-memory-bytes", text("x"), "'x' of type 'longstr'; expected an integer of 0"),
        (user, "ha-mode", text("x"), "'x' of type 'longstr'; expected 'all' or 'exactly' or"),
        (
            user,
            "ha-params",
            text("x"),
            "'x' of type 'longstr'; expected an integer of 1 or more, or",
        ),
        (
            user,
            "ha-sync-mode",
            text("x"),
            "'x' of type 'longstr'; expected 'manual' or 'automatic'",
        ),
        (user, "ha-sync-batch-size", INTEGER(0), "'0' of type 'long'; expected an integer of 1"),
        (user, "ha-promote-on-failure", text("x"), "'x' of type 'longstr'; expected 'always' or"),
        (user, "initial-cluster-size", INTEGER(0), "'0' of type 'long'; expected an integer of 1"),
        (user, "max-age", text("1D"), "expected one of alternate-exchange, "),
        (user, "x-max-length", INTEGER(1), "expected one of alternate-exchange, "),
        (user, "federation-upstream", text("u"), "expected one of "),
        (
            PolicyOwner::Operator,
            "overflow",
            text("drop-head"),
            "expected one of delivery-limit, expires, ",
        ),
    ] {
        let definition = table(&[(setting, value)]);
        let error = refused(owner, request(&policy, &definition));
        assert_eq!(error.field, format!("definition.{setting}"));
        assert!(error.reason.starts_with(reason), "{error}");
    }
}
