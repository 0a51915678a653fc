//! Message groups: strict order and one message in flight within a group, over many consumers.

use crate::harness::broker::{self, Broker, is_ours};
use crate::harness::must;
use crate::harness::python::{interpreter, project, run};
use crate::harness::random::Random;
use crate::harness::session::{
    Session, confirmed, consume, declare_named, declare_with, get, next, number, persistent,
    prefetch, publish_with, string, table,
};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const NACK: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

fn grouped() -> FieldTable {
    let mut arguments = table("x-message-group", string("product"));
    arguments.insert("x-delivery-limit".into(), number(-1));
    arguments
}

/// Publishes `count` messages to each of `groups` groups, in turn.
async fn fill_groups(channel: &Channel, queue: &str, groups: u32, count: u32) {
    let mut confirms = Vec::new();
    for place in 0..count {
        for group in 0..groups {
            let headers = table("product", number(group as i32));
            let body = format!("{group} {place}");
            let properties = persistent().with_headers(headers);
            confirms.push(publish_with(channel, "", queue, body.as_bytes(), properties).await);
        }
    }
    for confirm in confirms {
        confirmed(confirm).await;
    }
}

/// Group and place of a message.
fn address(body: &[u8]) -> (u32, u32) {
    let text = std::str::from_utf8(body).unwrap();
    let (group, place) = text.split_once(' ').unwrap();
    (group.parse().unwrap(), place.parse().unwrap())
}

/// What the consumers together have seen.
#[derive(Default)]
struct Ledger {
    /// Of each group, what is in the hands of a consumer.
    in_hand: BTreeMap<u32, u32>,
    /// Of each group, how many are done.
    done: BTreeMap<u32, u32>,
}

impl Ledger {
    fn take(&mut self, (group, place): (u32, u32)) {
        let before = self.in_hand.insert(group, place);
        assert_eq!(before, None, "{place} of {group} came while another one was in hand");
        assert_eq!(self.done.get(&group).copied().unwrap_or(0), place, "group {group}");
    }

    fn give_back(&mut self, (group, _): (u32, u32), is_done: bool) {
        self.in_hand.remove(&group);
        *self.done.entry(group).or_default() += u32::from(is_done);
    }

    fn count_done(&self) -> u32 {
        self.done.values().sum()
    }
}

#[tokio::test]
async fn each_group_goes_in_order_over_many_consumers_that_fail_and_die() {
    if !is_ours() {
        return;
    }
    const GROUPS: u32 = 12;
    const COUNT: u32 = 25;
    let session = Session::open().await;
    let publisher = session.confirm_channel().await;
    let queue = declare_with(&publisher, "groups", grouped()).await;
    fill_groups(&publisher, &queue, GROUPS, COUNT).await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut random = Random::new(7);
    let workers = (0..4).map(|_| {
        let (queue, ledger, seed) = (queue.clone(), Arc::clone(&ledger), random.below(1 << 30));
        tokio::spawn(async move { work(&queue, &ledger, seed, GROUPS * COUNT).await })
    });
    for worker in workers.collect::<Vec<_>>() {
        must("a worker", worker).await.unwrap();
    }
    assert_eq!(ledger.lock().unwrap().count_done(), GROUPS * COUNT);
    session.close().await;
}

/// Handles messages until all are done; some fail, and now and then the channel ends with what it holds.
async fn work(queue: &str, ledger: &Mutex<Ledger>, seed: u64, all: u32) {
    let mut random = Random::new(seed);
    let session = Session::open().await;
    while ledger.lock().unwrap().count_done() < all {
        let channel = session.confirm_channel().await;
        prefetch(&channel, 5).await;
        let mut consumer = consume(&channel, queue).await;
        let mut held = None;
        for _ in 0..20 {
            let Some(delivery) = next_or_done(&mut consumer, ledger, all).await else { break };
            let address = address(&delivery.data);
            ledger.lock().unwrap().take(address);
            match random.below(10) {
                0 | 1 => {
                    ledger.lock().unwrap().give_back(address, false);
                    must("basic.nack", delivery.acker.nack(NACK)).await.unwrap();
                }
                2 => {
                    // Whoever held it and waited for more would wait for ever, once all other groups are done.
                    held = Some(address);
                    break;
                }
                _ => {
                    ledger.lock().unwrap().give_back(address, true);
                    let ack = delivery.acker.ack(BasicAckOptions::default());
                    must("basic.ack", ack).await.unwrap();
                }
            }
        }
        // What is held, and what was prefetched, goes back with the channel.
        if let Some(address) = held {
            ledger.lock().unwrap().give_back(address, false);
        }
        must("channel.close", channel.close(200, "".into())).await.unwrap();
    }
    session.close().await;
}

/// The next message, unless the others have done all of them meanwhile.
async fn next_or_done(
    consumer: &mut Consumer,
    ledger: &Mutex<Ledger>,
    all: u32,
) -> Option<Delivery> {
    let finished = async {
        while ledger.lock().unwrap().count_done() < all {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        delivery = next(consumer) => Some(delivery),
        () = finished => None,
    }
}

#[tokio::test]
async fn after_kill_9_each_group_goes_on_where_it_stood() {
    if !is_ours() {
        return;
    }
    const GROUPS: u32 = 6;
    const COUNT: u32 = 40;
    let data = TempDir::new().unwrap();
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    for round in 0..4 {
        let broker = Broker::start(data.path());
        let session = Session::open_at(broker.address).await;
        let channel = session.confirm_channel().await;
        declare_named(&channel, "stock", grouped()).await;
        if round == 0 {
            fill_groups(&channel, "stock", GROUPS, COUNT).await;
        }
        // After a crash a group may go back to any place that was delivered, and goes on from there.
        let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
        for _ in 0..45 {
            let Some(message) = get(&session.channel, "stock").await else { break };
            let (group, place) = address(&message.data);
            match seen.get(&group) {
                Some(before) => assert_eq!(place, before + 1, "group {group}"),
                None => {
                    let before = last.get(&group).map_or(0, |before| before + 1);
                    assert!(place <= before, "group {group} went from {before} to {place}");
                }
            }
            seen.insert(group, place);
            must("basic.ack", message.acker.ack(BasicAckOptions::default())).await.unwrap();
        }
        last.extend(seen);
        broker.kill();
    }
}

#[tokio::test]
async fn pika_consumers_share_the_groups() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/groups.py"))
        .arg(broker::shared().to_string()));
}
