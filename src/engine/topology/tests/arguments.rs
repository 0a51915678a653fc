//! The arguments of a queue.

use super::{Host, Queue, name, table, text};
use crate::model::{Fault, FaultScope};
use crate::topology::{DeliveryLimit, GroupKey, Overflow, QueueKind, QueueSettings, RetryType};
use forebay_wire::{FieldTable, FieldValue, ReplyCode};

fn declared(arguments: FieldTable) -> Result<QueueSettings, Fault> {
    let mut host = Host::new();
    let with = Queue { durable: true, arguments, ..Queue::default() };
    let made = host.queue_with("q", &with)?;
    Ok(host.topology.queue_by_id(made.id).unwrap().settings.clone())
}

#[test]
fn nothing_said_is_nothing_set() {
    assert_eq!(declared(FieldTable::new()).unwrap(), QueueSettings::default());
    let unknown = table(&[("x-some-plugin", FieldValue::Void)]);
    assert_eq!(declared(unknown).unwrap(), QueueSettings::default());
}

#[test]
fn every_argument_is_read() {
    let integer = FieldValue::I64;
    let settings = declared(table(&[
        ("x-queue-type", text("quorum")),
        ("x-message-ttl", FieldValue::I8(0)),
        ("x-expires", integer(1)),
        ("x-max-length", integer(i64::MAX)),
        ("x-max-length-bytes", integer(5)),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("dead")),
        ("x-delivery-limit", integer(7)),
        ("x-consumer-timeout", integer(1000)),
        ("x-max-in-flight", integer(4)),
        ("x-rate-limit", integer(1_000_000)),
        ("x-rate-burst", integer(2)),
        ("x-dedup-window", integer(60_000)),
        ("x-dedup-size", integer(10)),
        ("x-lag-line-percent", integer(300)),
        ("x-max-age-slo", integer(60_000)),
        ("x-queue-role", text("delay")),
        ("x-max-priority", integer(255)),
        ("x-message-group", text("customer")),
        ("x-trace", integer(10_000)),
        ("x-delayed-retry-type", text("all")),
        ("x-delayed-retry-min", integer(100)),
        ("x-delayed-retry-max", integer(200)),
        ("x-delayed-retry-multiplier", integer(3)),
        ("x-single-active-consumer", FieldValue::Bool(true)),
        ("x-queue-mode", text("lazy")),
        ("x-queue-version", integer(2)),
        ("x-queue-leader-locator", text("client-local")),
        ("x-quorum-initial-group-size", integer(3)),
    ]));
    let expected = QueueSettings {
        kind: QueueKind::Quorum,
        message_ttl: Some(0),
        expires: Some(1),
        length_max: Some(i64::MAX as u64),
        length_bytes_max: Some(5),
        overflow: Overflow::RejectPublishDlx,
        dead_letter_exchange: Some(name("")),
        dead_letter_routing_key: Some(name("dead")),
        delivery_limit: Some(DeliveryLimit::Failures(7)),
        consumer_timeout: Some(1000),
        max_in_flight: Some(4),
        rate_limit: Some(1_000_000),
        rate_burst: Some(2),
        dedup_window: Some(60_000),
        dedup_size: Some(10),
        lag_line_percent: Some(300),
        age_max: Some(60_000),
        role: Some(forebay_lag::Role::Delay),
        retry_type: RetryType::All,
        retry_min: Some(100),
        retry_max: Some(200),
        retry_multiplier: Some(3),
        message_group: Some(GroupKey::Header(name("customer"))),
        trace: Some(10_000),
        priority_max: 255,
        single_active_consumer: true,
    };
    assert_eq!(settings.unwrap(), expected);
    let settings = declared(table(&[("x-delivery-limit", integer(-1))])).unwrap();
    assert_eq!(settings.delivery_limit, Some(DeliveryLimit::Unlimited));
}

#[test]
fn a_bad_value_is_refused_with_name_value_and_what_is_allowed() {
    let integer = FieldValue::I64;
    let at_least = |least| format!("an integer of {least} or more");
    let ten_years_from = |least| format!("an integer from {least} to 315360000000");
    let cases = [
        ("x-message-ttl", integer(-1), ten_years_from(0)),
        ("x-message-ttl", text("a"), ten_years_from(0)),
        ("x-message-ttl", FieldValue::F64(1.5), ten_years_from(0)),
        ("x-message-ttl", integer(1 << 62), ten_years_from(0)),
        ("x-expires", integer(0), ten_years_from(1)),
        ("x-max-length", integer(-1), at_least(0)),
        ("x-max-length", text("1"), at_least(0)),
        ("x-max-length-bytes", FieldValue::U64(u64::MAX), at_least(0)),
        (
            "x-overflow",
            text("foo"),
            "'drop-head' or 'reject-publish' or 'reject-publish-dlx'".into(),
        ),
        (
            "x-overflow",
            integer(1),
            "'drop-head' or 'reject-publish' or 'reject-publish-dlx'".into(),
        ),
        ("x-max-priority", integer(256), "an integer from 0 to 255".into()),
        ("x-max-priority", integer(-1), "an integer from 0 to 255".into()),
        ("x-dead-letter-exchange", integer(1), "a string of at most 255 bytes".into()),
        ("x-dead-letter-routing-key", integer(1), "a string of at most 255 bytes".into()),
        (
            "x-dead-letter-routing-key",
            text("k"),
            "it only together with 'x-dead-letter-exchange'".into(),
        ),
        ("x-delivery-limit", integer(-2), "an integer from -1 to 4294967295".into()),
        ("x-consumer-timeout", integer(0), at_least(1)),
        ("x-lag-line-percent", integer(99), "an integer from 100 to 100000".into()),
        ("x-max-age-slo", text("1h"), ten_years_from(1)),
        ("x-queue-role", text("foo"), "'work' or 'delay' or 'dead-letters' or 'reply'".into()),
        ("x-single-active-consumer", text("true"), "a boolean".into()),
        ("x-trace", integer(0), "an integer from 1 to 10000".into()),
        ("x-trace", integer(10_001), "an integer from 1 to 10000".into()),
        ("x-trace", FieldValue::Bool(true), "an integer from 1 to 10000".into()),
        ("x-queue-type", text("foo"), "'classic' or 'quorum'".into()),
        ("x-queue-type", integer(1), "'classic' or 'quorum'".into()),
        ("x-queue-mode", text("foo"), "'default' or 'lazy'".into()),
        ("x-queue-version", integer(3), "an integer from 1 to 2".into()),
        (
            "x-queue-leader-locator",
            text("foo"),
            "'client-local' or 'balanced' or 'random' or 'least-leaders'".into(),
        ),
        ("x-quorum-initial-group-size", integer(0), at_least(1)),
        (
            "x-queue-master-locator",
            text("foo"),
            "'min-masters' or 'client-local' or 'random'".into(),
        ),
        ("x-dead-letter-strategy", text("foo"), "'at-most-once' or 'at-least-once'".into()),
        ("x-max-in-memory-length", integer(-1), at_least(0)),
        ("x-max-in-memory-bytes", text("1"), at_least(0)),
        ("x-max-age", text("1D"), "no such argument, as there are no streams".into()),
    ];
    for (argument, value, allowed) in cases {
        let fault = declared(table(&[(argument, value)])).unwrap_err();
        assert_eq!(fault.code, ReplyCode::PreconditionFailed, "{argument}");
        assert_eq!(fault.scope, FaultScope::Channel);
        let start = format!("invalid arg '{argument}' for queue 'q' in vhost '/': '");
        assert!(fault.text.starts_with(&start), "{}", fault.text);
        assert!(fault.text.ends_with(&format!("; expected {allowed}")), "{}", fault.text);
    }
}

#[test]
fn a_long_value_is_cut_in_the_text() {
    let fault = declared(table(&[("x-overflow", text(&"ä".repeat(1000)))])).unwrap_err();
    assert!(fault.text.contains("ä…'"), "{}", fault.text);
    assert!(fault.text.len() < 300);
}

#[test]
fn there_are_no_streams() {
    let fault = declared(table(&[("x-queue-type", text("stream"))])).unwrap_err();
    assert_eq!((fault.scope, fault.code), (FaultScope::Connection, ReplyCode::NotImplemented));
}

#[test]
fn a_quorum_queue_is_durable_and_shared() {
    let arguments = table(&[("x-queue-type", text("quorum"))]);
    let quorum = Queue { durable: true, arguments, ..Queue::default() };
    for (with, property) in [
        (Queue { durable: false, ..quorum.clone() }, "non-durable"),
        (Queue { auto_delete: true, ..quorum.clone() }, "auto-delete"),
        (Queue { exclusive: true, ..quorum.clone() }, "exclusive-owner"),
    ] {
        let fault = Host::new().queue_with("q", &with).unwrap_err();
        assert_eq!(fault.code, ReplyCode::PreconditionFailed);
        let start = format!("invalid property '{property}' for queue 'q' in vhost '/'");
        assert!(fault.text.starts_with(&start), "{}", fault.text);
    }
    Host::new().queue_with("q", &quorum).unwrap();
}

#[test]
fn an_argument_that_has_no_effect_yet_is_refused_and_named() {
    for argument in ["x-retry-delay", "x-retry-delay-max", "x-retry-multiplier"] {
        let arguments = table(&[(argument, FieldValue::I32(1))]);
        let fault = declared(arguments.clone()).unwrap_err();
        assert_eq!((fault.scope, fault.code), (FaultScope::Connection, ReplyCode::NotImplemented));
        let start = format!("argument '{argument}' for queue 'q' in vhost '/' is not implemented");
        assert!(fault.text.starts_with(&start), "{}", fault.text);
        let error = QueueSettings::check(&arguments).unwrap_err();
        assert_eq!(error.field, argument);
    }
}

/// A durable queue `old` whose record says that it was declared with these arguments.
fn recorded(arguments: &FieldTable) -> Host {
    let mut host = Host::new();
    let durable = Queue { durable: true, ..Queue::default() };
    host.queue_with("old", &durable).unwrap();
    host.store();
    for (key, value) in &mut host.records {
        if key.first() == Some(&b'q') {
            let mut bytes = value[..value.len() - 4].to_vec();
            let mut encoded = bytes::BytesMut::new();
            arguments.encode(&mut encoded);
            bytes.extend_from_slice(&encoded);
            *value = bytes.into();
        }
    }
    host.restarted()
}

#[test]
fn a_queue_that_an_earlier_version_gave_such_an_argument_is_there_and_declared_without_it() {
    let arguments = table(&[("x-retry-delay", text("customer"))]);
    let mut back = recorded(&arguments);
    let record = back.topology.find_queue(&back.vhost, &name("old")).unwrap();
    assert_eq!(record.arguments, arguments);
    let durable = Queue { durable: true, ..Queue::default() };
    assert!(!back.queue_with("old", &durable).unwrap().created);
}

#[test]
fn an_argument_that_an_earlier_version_did_not_check_is_dropped_with_a_value_that_is_not_allowed() {
    let min = ("x-delayed-retry-min", FieldValue::I32(5));
    for (arguments, kept) in [
        (vec![min.clone(), ("x-delayed-retry-type", text("bogus"))], 1),
        (vec![min.clone(), ("x-delayed-retry-max", FieldValue::I32(4))], 1),
        (vec![min, ("x-delayed-retry-type", text("all"))], 2),
        (vec![("x-delayed-retry-max", FieldValue::I32(9))], 0),
    ] {
        let back = recorded(&table(&arguments));
        let record = back.topology.find_queue(&back.vhost, &name("old")).unwrap();
        assert_eq!(record.arguments.len(), kept, "{arguments:?}");
    }
}

#[test]
fn the_waits_of_retries_are_checked_alone_and_together() {
    let int = FieldValue::I32;
    let (kind, min, max, multiplier) = (
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
        "x-delayed-retry-multiplier",
    );
    let settings = |entries: &[(&'static str, FieldValue)]| {
        QueueSettings::effective(&table(entries), None, None)
    };
    let failed = settings(&[(min, int(5))]).unwrap();
    assert_eq!((failed.retry_type, failed.retry_min), (RetryType::Failed, Some(5)));
    let all =
        settings(&[(kind, text("all")), (min, int(5)), (max, int(5)), (multiplier, int(100))]);
    assert_eq!(all.unwrap().retry_type, RetryType::All);
    for (entries, expected) in [
        (vec![(kind, text("some"))], "'disabled' or 'all' or 'failed' or 'returned'"),
        (vec![(min, int(0))], "an integer from 1 to 315360000000"),
        (vec![(min, int(5)), (max, int(4))], "not below 'x-delayed-retry-min', which is 5"),
        (vec![(min, int(5)), (multiplier, int(101))], "an integer from 1 to 100"),
        (vec![(max, int(4))], "only together with 'x-delayed-retry-type'"),
    ] {
        let bad = settings(&entries).unwrap_err();
        assert_eq!(bad.name, entries.last().unwrap().0);
        assert!(bad.reason.contains(expected), "{}", bad.reason);
    }
}
