//! `kill -9` in a storm of confirmed publishes and acknowledgements, again and again on the same
//! data, against a model of what the broker has promised. The seed is printed; set
//! `FOREBAY_TEST_SEED` to run it again with the same decisions, `FOREBAY_TEST_ROUNDS` for more.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{
    Session, consume, declare_named, next, number, persistent, prefetch, ready_count, table,
};
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::{Channel, Consumer};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::watch;

const QUEUES: [&str; 2] = ["storm-a", "storm-b"];
const MARKERS: &str = "storm-markers";
const ROUNDS_DEFAULT: u64 = 5;
const UNCONFIRMED_MAX: usize = 200;
const PREFETCH: u16 = 100;

/// What the broker owes for one message.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// Its confirm came.
    confirmed: bool,
    /// Its acknowledgement was sent, and may have arrived.
    acked: bool,
    /// Something published after that acknowledgement on the same channel was confirmed.
    ack_synced: bool,
}

/// The messages of a queue by their number.
type Ledger = Arc<Mutex<BTreeMap<u64, Promise>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_kill_9() {
    if !is_ours() {
        return;
    }
    let seed = variable("FOREBAY_TEST_SEED").unwrap_or_else(Random::seed);
    let rounds = variable("FOREBAY_TEST_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    eprintln!("FOREBAY_TEST_SEED={seed} FOREBAY_TEST_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let data = TempDir::new().unwrap();
    let ledgers: [Ledger; 2] = Default::default();
    for round in 0..rounds {
        let broker = Broker::start(data.path());
        if round == 0 {
            prepare(broker.address).await;
        } else {
            for (queue, ledger) in QUEUES.iter().zip(&ledgers) {
                check(broker.address, queue, ledger, &format!("seed {seed}, round {round}")).await;
            }
        }
        storm(broker, &ledgers, &mut random).await;
    }
    let broker = Broker::start(data.path());
    for (queue, ledger) in QUEUES.iter().zip(&ledgers) {
        check(broker.address, queue, ledger, &format!("seed {seed}, the end")).await;
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

async fn prepare(address: SocketAddr) {
    let session = Session::open_at(address).await;
    for queue in QUEUES {
        // The same messages come back round after round, and none may be given up.
        declare_named(&session.channel, queue, table("x-delivery-limit", number(-1))).await;
    }
    declare_named(&session.channel, MARKERS, <_>::default()).await;
    session.close().await;
}

/// Publishes and consumes until enough is confirmed, then kills the broker in the middle of it.
async fn storm(broker: Broker, ledgers: &[Ledger; 2], random: &mut Random) {
    let (confirms, mut confirms_seen) = watch::channel(0);
    let enough = 300 + random.below(2_500);
    let (mut parties, mut tasks) = (Vec::new(), Vec::new());
    for (queue, ledger) in QUEUES.into_iter().zip(ledgers) {
        // All are connected before the first of them can bring on the end.
        let party = Party::join(broker.address).await;
        let publisher = publish_on(party, queue, Arc::clone(ledger), confirms.clone());
        let party = Party::join(broker.address).await;
        prefetch(&party.channel, PREFETCH).await;
        let consumer = consume(&party.channel, queue).await;
        let worker = work_on(party, consumer, Arc::clone(ledger), Random::new(random.next()));
        parties.push((publisher, worker));
    }
    for (publisher, worker) in parties {
        tasks.push(tokio::spawn(publisher));
        tasks.push(tokio::spawn(worker));
    }
    drop(confirms);
    let reached = must("confirms", confirms_seen.wait_for(|&count| count >= enough)).await.is_ok();
    assert!(reached, "the publishers lost their connections:\n{}", broker.log());
    broker.kill();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A connection of its own, and a channel with confirms.
struct Party {
    _session: Session,
    channel: Channel,
}

impl Party {
    async fn join(address: SocketAddr) -> Self {
        let session = Session::open_at(address).await;
        let channel = session.confirm_channel().await;
        Self { _session: session, channel }
    }
}

/// Publishes numbered messages until the connection breaks.
async fn publish_on(party: Party, queue: &str, ledger: Ledger, confirms: watch::Sender<u64>) {
    let channel = &party.channel;
    let mut number = ledger.lock().unwrap().last_key_value().map_or(0, |(last, _)| last + 1);
    let mut waiting = VecDeque::new();
    loop {
        while waiting.len() < UNCONFIRMED_MAX {
            ledger.lock().unwrap().insert(number, Promise::default());
            let body = format!("{number} {}", "x".repeat((number % 700) as usize));
            let Ok(confirm) = try_publish(channel, queue, &body).await else { return };
            waiting.push_back((number, confirm));
            number += 1;
        }
        let Some((number, confirm)) = waiting.pop_front() else { return };
        match confirm.await {
            Ok(confirmation) if confirmation.is_ack() => {
                ledger.lock().unwrap().get_mut(&number).unwrap().confirmed = true;
                confirms.send_modify(|count| *count += 1);
            }
            Ok(other) => panic!("message {number}: {other:?}"),
            Err(_) => return,
        }
    }
}

async fn try_publish(
    channel: &Channel,
    queue: &str,
    body: &str,
) -> lapin::Result<lapin::PublisherConfirm> {
    let properties = persistent();
    channel
        .basic_publish("".into(), queue.into(), <_>::default(), body.as_bytes(), properties)
        .await
}

/// Acknowledges some of what it gets, now and then several at once, until the connection breaks.
/// A marker published and confirmed on the same channel shows which acknowledgements are durable.
async fn work_on(party: Party, mut consumer: Consumer, ledger: Ledger, mut random: Random) {
    let channel = &party.channel;
    let mut held: VecDeque<(u64, u64)> = VecDeque::new();
    let mut acked: Vec<u64> = Vec::new();
    while let Some(Ok(delivery)) = consumer.next().await {
        held.push_back((delivery.delivery_tag, number_of(&delivery.data)));
        if random.below(3) == 0 && held.len() < usize::from(PREFETCH) {
            continue;
        }
        let multiple = random.below(10) == 0 || held.len() >= usize::from(PREFETCH);
        let settled: Vec<_> =
            if multiple { held.drain(..).collect() } else { held.pop_back().into_iter().collect() };
        let Some((tag, _)) = settled.last().copied() else { continue };
        for (_, number) in &settled {
            ledger.lock().unwrap().get_mut(number).unwrap().acked = true;
            acked.push(*number);
        }
        if channel.basic_ack(tag, BasicAckOptions { multiple }).await.is_err() {
            return;
        }
        if acked.len() >= 50 {
            let Ok(marker) = try_publish(channel, MARKERS, "marker").await else { return };
            if marker.await.is_err() {
                return;
            }
            let mut ledger = ledger.lock().unwrap();
            for number in acked.drain(..) {
                ledger.get_mut(&number).unwrap().ack_synced = true;
            }
        }
    }
}

/// Compares what is in the queue with what was promised; leaves it there.
async fn check(address: SocketAddr, queue: &str, ledger: &Ledger, when: &str) {
    let session = Session::open_at(address).await;
    let count = ready_count(&session.channel, queue).await;
    let mut consumer = consume(&session.channel, queue).await;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(number_of(&next(&mut consumer).await.data));
    }
    session.close().await;
    compare(&mut ledger.lock().unwrap(), &found, &format!("{queue}, {when}"));
}

fn compare(ledger: &mut BTreeMap<u64, Promise>, found: &[u64], place: &str) {
    assert!(found.is_sorted_by(|earlier, later| earlier < later), "out of order: {place}");
    let mut lost = Vec::new();
    for (number, promise) in ledger.iter() {
        let is_there = found.binary_search(number).is_ok();
        if promise.confirmed && !promise.acked && !is_there {
            lost.push(*number);
        }
        assert!(!(promise.ack_synced && is_there), "{number} came back: {place}");
    }
    let (first, last) = (lost.first(), lost.last());
    assert!(lost.is_empty(), "{} lost, from {first:?} to {last:?}: {place}", lost.len());
    assert!(found.iter().all(|number| ledger.contains_key(number)), "invented: {place}");
    eprintln!("{place}: {} published, {} there", ledger.len(), found.len());
    // What is there now is durable, and must stay; what is not must never come back.
    for (number, promise) in ledger {
        let is_there = found.binary_search(number).is_ok();
        *promise = Promise { confirmed: is_there, acked: !is_there, ack_synced: !is_there };
    }
}

fn number_of(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
