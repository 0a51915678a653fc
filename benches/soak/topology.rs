//! Many queues: how long they take to declare, what they cost in memory, how long a restart takes.

use crate::broker::Broker;
use crate::wire::{Wire, short};
use forebay_wire::method::{QueueBind, QueueDeclare};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Clients that declare at a time: each waits for its sync, one sync serves all.
const CLIENTS: usize = 100;
const REST: Duration = Duration::from_secs(3);

pub(crate) fn run(count: usize) {
    let mut broker = Broker::start();
    let before = broker.usage();
    let start = Instant::now();
    let address = broker.address;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || declare(address, (client..count).step_by(CLIENTS)));
        }
    });
    let declared = start.elapsed();
    std::thread::sleep(REST);
    let after = broker.usage();
    let restarted = broker.stop_and_restart();
    std::thread::sleep(REST);
    let again = broker.usage();
    let killed = broker.kill_and_restart();
    check(address, count);
    let each = (after.resident_kib - before.resident_kib) as f64 / count as f64;
    println!("{count} durable queues, each bound to a topic exchange");
    println!("declared and bound in {declared:.1?}");
    println!("resident {} MiB, {each:.2} KiB a queue", after.resident_kib / 1024);
    println!("served again {restarted:.1?} after a stop, with {} MiB", again.resident_kib / 1024);
    println!("served again {killed:.1?} after kill -9");
}

fn name(number: usize) -> String {
    format!("orders.region-{}.shop-{number}", number % 100)
}

fn declare(address: SocketAddr, numbers: impl Iterator<Item = usize>) {
    let mut wire = Wire::open(address).unwrap();
    for number in numbers {
        let queue = short(&name(number));
        let declare = QueueDeclare { queue: queue.clone(), durable: true, ..<_>::default() };
        wire.call(&declare).unwrap();
        let exchange = short("amq.topic");
        let bind = QueueBind { routing_key: queue.clone(), queue, exchange, ..<_>::default() };
        wire.call(&bind).unwrap();
    }
    wire.close();
}

/// Some of them are looked at: a passive declare is refused when a queue is not there.
fn check(address: SocketAddr, count: usize) {
    let mut wire = Wire::open(address).unwrap();
    for number in (0..count).step_by(97) {
        let queue = short(&name(number));
        let passive = QueueDeclare { queue, passive: true, ..<_>::default() };
        let answer = wire.call(&passive).unwrap();
        assert!(matches!(answer, forebay_wire::Method::QueueDeclareOk(_)), "{answer:?}");
    }
    wire.close();
}
