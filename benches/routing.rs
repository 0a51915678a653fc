//! What routing one message costs, by exchange type and number of bindings, and what a change of
//! the topology costs when there are many.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::expect_used, reason = "a bench that can't be set up has nothing to measure")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use forebay_engine::model::{
    Binding, ConnectionId, Destination, ExchangeDeclaration, ObjectName, QueueDeclaration,
};
use forebay_engine::topology::{Routes, Topology};
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::hint::black_box;

const CONNECTION: ConnectionId = ConnectionId(1);
const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).expect("short")
}

fn object(text: &str) -> ObjectName {
    ObjectName::try_from(text).expect("short")
}

fn declare_queue(topology: &mut Topology, queue: &str) {
    let request =
        QueueDeclaration { name: object(queue), durable: true, ..QueueDeclaration::default() };
    topology.declare_queue(&name("/"), CONNECTION, &request).expect("declared");
}

fn bind(topology: &mut Topology, queue: &str, key: &str, arguments: FieldTable) {
    let binding = Binding {
        source: object("x"),
        destination: Destination::Queue(object(queue)),
        routing_key: name(key),
        arguments,
    };
    topology.bind(&name("/"), CONNECTION, &binding).expect("bound");
}

/// An exchange `x` with so many queues, each bound as `key` and `arguments` say.
fn furnished(
    kind: &str,
    queues: usize,
    key: impl Fn(usize) -> String,
    arguments: impl Fn(usize) -> FieldTable,
) -> Topology {
    let mut topology = Topology::new();
    topology.create_vhost(&name("/"));
    let request = ExchangeDeclaration {
        name: object("x"),
        kind: name(kind),
        durable: true,
        ..ExchangeDeclaration::default()
    };
    topology.declare_exchange(&name("/"), &request).expect("declared");
    for at in 0..queues {
        let queue = format!("queue-{at}");
        declare_queue(&mut topology, &queue);
        bind(&mut topology, &queue, &key(at), arguments(at));
    }
    topology.take_operations();
    topology
}

/// A pattern such as users write: literal for most, with wildcards for some.
fn topic_pattern(at: usize) -> String {
    match at % 10 {
        0 => format!("region-{}.*.created", at / 10),
        1 => format!("region-{}.#", at / 10),
        _ => format!("region-{}.order-{at}.created", at / 10),
    }
}

fn header(at: usize) -> FieldTable {
    [(name("customer"), FieldValue::I32(at as i32))].into_iter().collect()
}

fn route(routes: &Routes, exchange: &ObjectName, keys: &[ShortStr], headers: &FieldTable) -> usize {
    let targets =
        routes.route(&ShortStr::from_static("/"), exchange, keys, &|| Some(headers.clone()));
    targets.expect("routed").len()
}

fn one_message(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route_one_message");
    let none = |_| FieldTable::new();
    let plain = FieldTable::new();
    for queues in SIZES {
        let last = queues - 1;
        let direct = furnished("direct", queues, |at| format!("key-{at}"), none);
        let topic = furnished("topic", queues, topic_pattern, none);
        let fanout = furnished("fanout", queues, |_| String::new(), none);
        let headers = furnished("headers", queues, |_| String::new(), header);
        let topic_key = format!("region-{}.order-{last}.created", last / 10);
        let wanted = header(last);
        let cases = [
            ("default", &direct, "", format!("queue-{last}"), &plain),
            ("direct", &direct, "x", format!("key-{last}"), &plain),
            ("topic", &topic, "x", topic_key, &plain),
            ("fanout", &fanout, "x", String::new(), &plain),
            ("headers", &headers, "x", String::new(), &wanted),
        ];
        for (kind, topology, exchange, key, headers) in cases {
            let (exchange, keys) = (object(exchange), [name(&key)]);
            assert!(route(topology.routes(), &exchange, &keys, headers) > 0, "{kind}");
            group.bench_function(BenchmarkId::new(kind, queues), |bencher| {
                bencher.iter(|| route(black_box(topology.routes()), &exchange, &keys, headers));
            });
        }
    }
    group.finish();
}

/// One more queue and binding while a connection holds the routes, as it always does.
fn one_change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("declare_and_bind_one");
    for queues in SIZES {
        let topology = furnished("topic", queues, topic_pattern, |_| FieldTable::new());
        group.bench_function(BenchmarkId::new("topic", queues), |bencher| {
            bencher.iter_batched(
                || (topology.clone(), topology.routes().clone()),
                |(mut topology, held)| {
                    declare_queue(&mut topology, "newcomer");
                    bind(&mut topology, "newcomer", "region-7.*.deleted", FieldTable::new());
                    (topology, held)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Ten thousand declares and binds one by one, each followed by a new snapshot.
fn ten_thousand_changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("declare_and_bind_10000");
    group.sample_size(10);
    for kind in ["direct", "topic", "fanout", "headers"] {
        group.bench_function(kind, |bencher| {
            bencher.iter(|| furnished(kind, 10_000, topic_pattern, |_| FieldTable::new()));
        });
    }
    group.finish();
}

criterion_group!(routing, one_message, one_change, ten_thousand_changes);
criterion_main!(routing);
