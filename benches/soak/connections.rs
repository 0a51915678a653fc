//! What idle connections cost, without and with a channel and a consumer; then all of them publish.

use crate::broker::Broker;
use crate::wire::{CHANNEL, Wire, short};
use forebay_wire::method::{BasicConsume, BasicPublish, ChannelOpen, ConfirmSelect, QueueDeclare};
use forebay_wire::{Frame, Method, Properties, SendBuffer};
use std::time::{Duration, Instant};

const QUEUE: &str = "crowd";
/// After which the broker has given back what it held for the handshakes.
const REST: Duration = Duration::from_secs(3);

pub(crate) fn run(count: usize) {
    println!("| connections | each with | resident | an idle connection costs | descriptors |");
    println!("|---|---|---|---|---|");
    for count in [count / 10, count] {
        idle(count, "nothing else", |_| {});
    }
    for count in [count / 10, count] {
        idle(count, "a channel and a consumer", |wire| {
            wire.call(&ChannelOpen {}).unwrap();
            wire.call(&BasicConsume { queue: short(QUEUE), ..<_>::default() }).unwrap();
        });
    }
    let (taken, delivered) = publish_at_once(count);
    println!(
        "\nall {count} publish one message at once: confirmed after {taken:.1?}, {delivered} delivered"
    );
}

fn idle(count: usize, with: &str, prepare: impl Fn(&mut Wire)) {
    let broker = Broker::start();
    declare(&broker);
    std::thread::sleep(REST);
    let before = broker.usage();
    let wires = connect(&broker, count, prepare);
    std::thread::sleep(REST);
    let after = broker.usage();
    let each = (after.resident_kib - before.resident_kib) as f64 / count as f64;
    let (resident, descriptors) = (after.resident_kib / 1024, after.descriptors);
    println!("| {count} | {with} | {resident} MiB | {each:.1} KiB | {descriptors} |");
    drop(wires);
}

fn connect(broker: &Broker, count: usize, prepare: impl Fn(&mut Wire)) -> Vec<Wire> {
    let connect = |_| {
        let mut wire = Wire::connect(broker.address).unwrap();
        prepare(&mut wire);
        wire
    };
    (0..count).map(connect).collect()
}

fn declare(broker: &Broker) {
    let mut wire = Wire::open(broker.address).unwrap();
    let declare = QueueDeclare { queue: short(QUEUE), durable: true, ..<_>::default() };
    wire.call(&declare).unwrap();
}

fn publish_at_once(count: usize) -> (Duration, usize) {
    let broker = Broker::start();
    declare(&broker);
    let mut wires = connect(&broker, count, |wire| {
        wire.call(&ChannelOpen {}).unwrap();
        wire.call(&ConfirmSelect { no_wait: false }).unwrap();
    });
    let start = Instant::now();
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.encode();
    for wire in &mut wires {
        let mut buffer = SendBuffer::new();
        let publish = BasicPublish { routing_key: short(QUEUE), ..<_>::default() };
        let body = bytes::Bytes::from_static(&[b'x'; 1024]);
        buffer.put_content(CHANNEL, &publish, &properties, &body, 131_072);
        wire.write(&mut buffer).unwrap();
    }
    for wire in &mut wires {
        let frame = wire.frame().unwrap();
        assert!(matches!(frame, Frame::Method { method: Method::BasicAck(_), .. }), "{frame:?}");
    }
    let taken = start.elapsed();
    let mut reader = Wire::open(broker.address).unwrap();
    reader.consume(QUEUE);
    let mut delivered = 0;
    while delivered < count {
        delivered += usize::from(matches!(reader.frame().unwrap(), Frame::Body { .. }));
    }
    (taken, delivered)
}
