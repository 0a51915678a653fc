//! Publishers and consumers that lose their connections at random, and in the first half of the time
//! a broker that is killed now and then; in the second half it must stay as large as it is.

use crate::broker::Broker;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::wire::{CHANNEL, Wire, short};
use bytes::Bytes;
use forebay_wire::method::{BasicAck, BasicConsume, BasicPublish, BasicQos, QueueDeclare};
use forebay_wire::{FieldTable, FieldValue, Frame, Method, Properties, SendBuffer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const QUEUES: [&str; 4] = ["soak-0", "soak-1", "soak-2", "soak-3"];
const CLIENTS_OF_EACH: u64 = 2;
const UNCONFIRMED_MAX: usize = 300;
const PREFETCH: u16 = 200;
/// Messages after which a client may lose its connection: one in so many.
const LOSES_CONNECTION: u64 = 20_000;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
const KILL_INTERVAL_S_MAX: u64 = 90;
/// Messages of a queue that may be owed before its publishers wait.
const OWED_MAX: usize = 200_000;
/// How long the consumers may take for what is left.
const DRAIN_DURATION_MAX: Duration = Duration::from_secs(600);

/// Shared by all clients of a run.
struct Run {
    address: SocketAddr,
    ledgers: [Ledger; QUEUES.len()],
    is_publishing: AtomicBool,
    is_consuming: AtomicBool,
}

pub(crate) fn run(duration: Duration) {
    let mut broker = Broker::start();
    let run = Arc::new(Run {
        address: broker.address,
        ledgers: Default::default(),
        is_publishing: AtomicBool::new(true),
        is_consuming: AtomicBool::new(true),
    });
    let mut wire = Wire::open(broker.address).unwrap();
    for queue in QUEUES {
        // Connections end with unacknowledged messages all the time: none may be given up.
        let mut arguments = FieldTable::new();
        arguments.insert(short("x-delivery-limit"), FieldValue::I32(-1));
        let queue = short(queue);
        let declare = QueueDeclare { queue, durable: true, arguments, ..<_>::default() };
        wire.call(&declare).unwrap();
    }
    wire.close();
    let seed = Random::seed();
    println!("storm for {duration:?}, seed {seed}");
    let mut publishers = Vec::new();
    let mut consumers = Vec::new();
    for client in 0..QUEUES.len() as u64 * CLIENTS_OF_EACH {
        let place = client as usize % QUEUES.len();
        let (one, other) = (Arc::clone(&run), Arc::clone(&run));
        let mut random = Random::new(seed ^ client);
        // Numbers of one publisher are its own.
        let first = client << 48;
        publishers
            .push(std::thread::spawn(move || publish_until_told(&one, place, first, &mut random)));
        let mut random = Random::new(seed ^ client ^ 1 << 32);
        consumers.push(std::thread::spawn(move || consume_until_told(&other, place, &mut random)));
    }
    watch(&mut broker, &run, duration, &mut Random::new(seed));
    run.is_publishing.store(false, Ordering::Relaxed);
    publishers.into_iter().for_each(|thread| thread.join().unwrap());
    let start = Instant::now();
    while run.owed() > 0 && start.elapsed() < DRAIN_DURATION_MAX {
        std::thread::sleep(Duration::from_millis(100));
    }
    run.is_consuming.store(false, Ordering::Relaxed);
    // Whoever waits for a delivery hears of its end by the broker's.
    broker.stop_and_restart();
    consumers.into_iter().for_each(|thread| thread.join().unwrap());
    let (confirmed, seen) = run.totals();
    println!("{confirmed} confirmed, {seen} delivered, {} lost", run.owed());
    assert_eq!(run.owed(), 0, "confirmed messages are lost");
}

/// Samples the broker, and kills it in the first half of the time.
fn watch(broker: &mut Broker, run: &Run, duration: Duration, random: &mut Random) {
    println!("| minute | resident | descriptors | confirmed | owed | kills |");
    println!("|---|---|---|---|---|---|");
    let start = Instant::now();
    let (mut kills, mut minute) = (0, 0);
    let mut kill_at = Duration::from_secs(5 + random.below(KILL_INTERVAL_S_MAX));
    let mut largest: (u64, usize) = (0, 0);
    while start.elapsed() < duration {
        std::thread::sleep(SAMPLE_INTERVAL);
        let usage = broker.usage();
        largest = (largest.0.max(usage.resident_kib), largest.1.max(usage.descriptors));
        if start.elapsed() > kill_at && start.elapsed() < duration / 2 {
            kills += 1;
            broker.kill_and_restart();
            kill_at = start.elapsed() + Duration::from_secs(5 + random.below(KILL_INTERVAL_S_MAX));
        }
        if start.elapsed().as_secs() / 60 > minute || start.elapsed() >= duration {
            minute = start.elapsed().as_secs() / 60;
            let ((confirmed, _), owed) = (run.totals(), run.owed());
            let (resident, descriptors) = (largest.0 / 1024, largest.1);
            println!(
                "| {minute} | {resident} MiB | {descriptors} | {confirmed} | {owed} | {kills} |"
            );
            largest = (0, 0);
        }
    }
}

impl Run {
    fn totals(&self) -> (u64, u64) {
        let counts = self.ledgers.iter().map(Ledger::counts);
        counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }

    fn owed(&self) -> usize {
        self.ledgers.iter().map(|ledger| ledger.counts().2).sum()
    }
}

fn publish_until_told(run: &Run, place: usize, first: u64, random: &mut Random) {
    let mut number = first;
    while run.is_publishing.load(Ordering::Relaxed) {
        // An error is the end of the connection: the broker was killed.
        if publish(run, place, &mut number, random).is_err() {
            std::thread::sleep(Duration::from_millis(random.below(200)));
        }
    }
}

/// One connection's publishes.
fn publish(run: &Run, place: usize, number: &mut u64, random: &mut Random) -> std::io::Result<()> {
    let mut wire = Wire::open(run.address)?;
    wire.select_confirms();
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.encode();
    let publish = BasicPublish { routing_key: short(QUEUES[place]), ..<_>::default() };
    let mut unconfirmed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut sequence = 0;
    loop {
        let is_last = !run.is_publishing.load(Ordering::Relaxed);
        if is_last && unconfirmed.is_empty() {
            return Ok(());
        }
        let is_full = || run.ledgers[place].counts().2 > OWED_MAX;
        while is_full() && unconfirmed.is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let may_publish = !is_last && (unconfirmed.is_empty() || !is_full());
        let mut buffer = SendBuffer::new();
        while may_publish && unconfirmed.len() < UNCONFIRMED_MAX {
            (*number, sequence) = (*number + 1, sequence + 1);
            let mut body = number.to_be_bytes().to_vec();
            body.resize(8 + random.below(1024) as usize, b'x');
            buffer.put_content(CHANNEL, &publish, &properties, &Bytes::from(body), 131_072);
            unconfirmed.insert(sequence, *number);
            if random.below(LOSES_CONNECTION) == 0 {
                wire.write(&mut buffer)?;
                return Ok(());
            }
        }
        wire.write(&mut buffer)?;
        if let Frame::Method { method: Method::BasicAck(ack), .. } = wire.frame()? {
            let later = unconfirmed.split_off(&(ack.delivery_tag + 1));
            let kept = if ack.multiple {
                BTreeMap::new()
            } else {
                take_below(&mut unconfirmed, ack.delivery_tag)
            };
            unconfirmed.values().for_each(|number| run.ledgers[place].confirm(*number));
            unconfirmed = later;
            unconfirmed.extend(kept);
        }
    }
}

fn take_below(unconfirmed: &mut BTreeMap<u64, u64>, sequence: u64) -> BTreeMap<u64, u64> {
    let this = unconfirmed.split_off(&sequence);
    std::mem::replace(unconfirmed, this)
}

fn consume_until_told(run: &Run, place: usize, random: &mut Random) {
    while run.is_consuming.load(Ordering::Relaxed) {
        if consume(run, place, random).is_err() {
            std::thread::sleep(Duration::from_millis(random.below(200)));
        }
    }
}

/// One connection's deliveries.
fn consume(run: &Run, place: usize, random: &mut Random) -> std::io::Result<()> {
    let mut wire = Wire::open(run.address)?;
    wire.call(&BasicQos { prefetch_count: PREFETCH, ..<_>::default() })?;
    wire.call(&BasicConsume { queue: short(QUEUES[place]), ..<_>::default() })?;
    let mut delivery_tag = 0;
    loop {
        match wire.frame()? {
            Frame::Method { method: Method::BasicDeliver(deliver), .. } => {
                delivery_tag = deliver.delivery_tag;
            }
            Frame::Body { body, .. } => {
                let number = u64::from_be_bytes(body[..8].try_into().unwrap());
                run.ledgers[place].see(number);
                if delivery_tag % 50 == 0 || random.below(100) == 0 {
                    wire.send(CHANNEL, &BasicAck { delivery_tag, multiple: true })?;
                }
                if random.below(LOSES_CONNECTION) == 0 {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}
