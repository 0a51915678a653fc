//! The topology after a restart, and records that can't be taken.

use super::{Exchange, Host, Queue, name, object, table, text};
use crate::model::WallClock;
use crate::schedules::{CatchUp, Schedule, ScheduleRequest};
use crate::topology::{
    Pause, Policy, PolicyOwner, PolicyRequest, RecordFlaw, Topology, recorded_queue,
};
use bytes::Bytes;
use forebay_wire::{FieldValue, Properties};

/// A host with one of everything that is stored.
fn furnished() -> Host {
    let mut host = Host::new();
    host.topology.create_vhost(&name("other"));
    let arguments = table(&[("alternate-exchange", text("amq.fanout"))]);
    let exchange = Exchange {
        durable: true,
        auto_delete: true,
        internal: false,
        arguments,
        ..Exchange::default()
    };
    host.exchange_with("x", "topic", &exchange).unwrap();
    let internal = Exchange { durable: true, internal: true, ..Exchange::default() };
    host.exchange_with("i", "headers", &internal).unwrap();
    let arguments = table(&[("x-message-ttl", FieldValue::I16(9)), ("mine", FieldValue::Void)]);
    let queue = Queue { durable: true, auto_delete: true, arguments, ..Queue::default() };
    host.queue_with("q", &queue).unwrap();
    let durable = Queue { durable: true, ..Queue::default() };
    host.queue_with("held", &durable).unwrap();
    let pause = Pause { since: WallClock(1_764_518_400_000), by: name("operator") };
    host.topology.set_pause(&host.vhost, &name("held"), Some(pause)).unwrap();
    host.bind("x", "q", "a.*");
    host.bind_exchange("x", "i", "b.#");
    host.bind_with("i", "q", "k", table(&[("h", FieldValue::I32(1))]));
    host.bind("amq.fanout", "q", "");
    let definition = table(&[("max-length", FieldValue::I64(5))]);
    let request = PolicyRequest {
        name: &name("p"),
        pattern: "^q",
        apply_to: "queues",
        definition: &definition,
        priority: -1,
    };
    let policy = Policy::new(PolicyOwner::User, request).unwrap();
    host.topology.set_policy(&host.vhost, policy).unwrap();
    let request = ScheduleRequest {
        name: &name("s"),
        cron: "0 2 * * *",
        time_zone: "Europe/Berlin",
        exchange: &object("x"),
        routing_key: &name("a.b"),
        properties: &Properties::default(),
        body: Bytes::from_static(b"tick"),
        catch_up: CatchUp::All,
        is_paused: true,
    };
    host.topology.put_schedule(&host.vhost, Schedule::new(request).unwrap()).unwrap();
    host.store();
    host
}

#[test]
fn durable_objects_come_back_as_they_were() {
    let mut host = furnished();
    let back = host.restarted();
    let vhosts: Vec<_> = back.topology.vhosts().map(ToString::to_string).collect();
    assert_eq!(vhosts, ["/", "other"]);
    assert!(back.topology.exchanges(&back.vhost).eq(host.topology.exchanges(&host.vhost)));
    assert!(back.topology.queues().eq(host.topology.queues()));
    assert!(back.topology.bindings(&back.vhost).eq(host.topology.bindings(&host.vhost)));
    assert!(back.topology.schedules(&back.vhost).eq(host.topology.schedules(&host.vhost)));
    assert_eq!(back.topology.schedules(&back.vhost).count(), 1);
    let headers = table(&[("h", FieldValue::I32(1))]);
    assert_eq!(back.route("x", "a.b"), ["q"]);
    assert_eq!(back.route_with("x", &["b.c"], &headers), ["q"]);
    assert_eq!(back.route("x", "c"), ["q"], "through the alternate exchange");
    assert_eq!(back.route("", "q"), ["q"]);
}

#[test]
fn what_is_not_durable_leaves_no_record() {
    let mut host = furnished();
    let records = host.records.clone();
    host.exchange("transient", "direct");
    host.queue("transient");
    host.queue_with("exclusive", &Queue { exclusive: true, durable: true, ..Queue::default() })
        .unwrap();
    host.bind("x", "transient", "k");
    host.bind("transient", "q", "k");
    host.bind_exchange("x", "transient", "k");
    host.bind_exchange("transient", "x", "k");
    host.store();
    assert_eq!(host.records, records);
    host.remove_queue("transient");
    host.topology.delete_exchange(&host.vhost, &object("transient"), false).unwrap();
    host.store();
    assert_eq!(host.records, records);
}

#[test]
fn a_queue_id_is_never_given_twice() {
    let mut host = Host::new();
    let mut last = 0;
    for restart in 0..4 {
        for _ in 0..=restart * 700 {
            let durable = Queue { durable: restart % 2 == 0, ..Queue::default() };
            let id = host.queue_with("q", &durable).unwrap().id.0;
            assert!(id > last, "{id} after {last}");
            last = id;
            host.remove_queue("q");
        }
        host = host.restarted();
    }
}

#[test]
fn bindings_made_after_a_restart_don_t_overwrite_those_before() {
    let mut host = furnished().restarted();
    host.bind("x", "q", "new");
    let back = host.restarted();
    assert_eq!(back.topology.bindings(&back.vhost).count(), 5);
}

#[test]
fn every_record_cut_or_lengthened_is_refused_and_named() {
    let records: Vec<_> = furnished().records.into_iter().collect();
    Topology::recover(&records).unwrap();
    for at in 0..records.len() {
        let (key, value) = &records[at];
        let longer = Bytes::from([value, &b"\0"[..]].concat());
        let cuts = (0..value.len()).map(|length| value.slice(..length));
        for value in cuts.chain([longer]) {
            let mut records = records.clone();
            records[at].1 = value;
            let error = Topology::recover(&records).unwrap_err();
            assert_eq!(error.key, key.escape_ascii().to_string());
            assert!(matches!(error.flaw, RecordFlaw::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let records: Vec<_> = furnished().records.into_iter().collect();
    for at in 0..records.len() {
        for bit in 0..(records[at].0.len() + records[at].1.len()) * 8 {
            let mut records = records.clone();
            let (key, value) = &records[at];
            let mut bytes = [&key[..], &value[..]].concat();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let key_length = key.len();
            let mut bytes = Bytes::from(bytes);
            records[at] = (bytes.split_to(key_length), bytes);
            let _ = Topology::recover(&records);
        }
    }
}

#[test]
fn newer_versions_and_kinds_are_refused() {
    let good: Vec<_> = furnished().records.into_iter().collect();
    for at in 0..good.len() {
        let mut records = good.clone();
        let mut value = records[at].1.to_vec();
        value[0] = 3;
        records[at].1 = value.into();
        let error = Topology::recover(&records).unwrap_err();
        assert_eq!(error.flaw, RecordFlaw::Version { found: 3 });
    }
    for key in [&b""[..], b"zebra"] {
        let mut records = good.clone();
        records.push((Bytes::from_static(key), Bytes::from_static(b"\x01")));
        assert_eq!(Topology::recover(&records).unwrap_err().flaw, RecordFlaw::Kind);
    }
}

#[test]
fn a_missing_record_that_others_need_is_noticed() {
    let good: Vec<_> = furnished().records.into_iter().collect();
    // Everything but bindings, the empty virtual host, and what nothing is bound to is needed.
    for kind in [b'n', b'q', b'x'] {
        let records: Vec<_> = good.iter().filter(|(key, _)| key[0] != kind).cloned().collect();
        let error = Topology::recover(&records).unwrap_err();
        assert!(matches!(error.flaw, RecordFlaw::Refused { .. }), "{error}");
    }
    let records: Vec<_> = good.iter().filter(|(key, _)| key != &b"v/"[..]).cloned().collect();
    let error = Topology::recover(&records).unwrap_err();
    assert_eq!(error.flaw, RecordFlaw::Refused { reason: "no vhost '/'".to_owned() });
}

#[test]
fn a_pause_of_a_queue_that_ends_with_the_process_leaves_no_record() {
    let mut host = furnished();
    let records = host.records.clone();
    host.queue("transient");
    let pause = Pause { since: WallClock(1), by: name("operator") };
    host.topology.set_pause(&host.vhost, &name("transient"), Some(pause)).unwrap();
    host.store();
    assert_eq!(host.records, records);
}

#[test]
fn the_record_of_a_paused_queue_names_it_and_a_resumed_one_is_as_before() {
    let mut host = furnished();
    let held = host.topology.find_queue(&host.vhost, &name("held")).unwrap().id;
    let record = |host: &Host| {
        let mut records = host.records.iter();
        let found = records.find_map(|(key, value)| {
            let (id, vhost, queue) = recorded_queue(key, value)?;
            (id == held).then(|| (value.clone(), vhost, queue))
        });
        found.unwrap()
    };
    let (paused, vhost, queue) = record(&host);
    assert_eq!((paused[0], vhost, queue), (2, name("/"), name("held")));
    host.topology.set_pause(&host.vhost, &name("held"), None).unwrap();
    host.store();
    assert_eq!(record(&host).0[0], 1, "older versions can read it again");
}
