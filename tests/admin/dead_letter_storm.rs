//! `kill -9` while messages die and are sent back, again and again on the same data: whatever is
//! killed, the broker or the tool, each message is in exactly one place. Nothing is ever
//! acknowledged here, so all of them must be there, once each. The seed is printed; set
//! `FOREBAY_TEST_SEED` to run it again with the same decisions, `FOREBAY_TEST_ROUNDS` for more.

use crate::command::forebay;
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{
    Session, consume, declare_named, fill, next, prefetch, ready_count, text,
};
use futures_util::StreamExt;
use lapin::options::{BasicNackOptions, BasicRejectOptions};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::sync::watch;

const QUEUE: &str = "storm";
const DEAD: &str = "storm.dlq";
const MESSAGES: usize = 400;
const ROUNDS_DEFAULT: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_in_one_place_whatever_is_killed() {
    let variable = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let seed = variable("FOREBAY_TEST_SEED").unwrap_or_else(Random::seed);
    let rounds = variable("FOREBAY_TEST_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    eprintln!("FOREBAY_TEST_SEED={seed} FOREBAY_TEST_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    for queue in [QUEUE, DEAD] {
        declare_named(&session.channel, queue, <_>::default()).await;
    }
    // Some with bodies so large that they are stored on their own.
    let bodies: Vec<String> = (0..MESSAGES)
        .map(|number| {
            format!("{number} {}", "x".repeat(if number % 50 == 0 { 90_000 } else { 90 }))
        })
        .collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    fill(&session, QUEUE, &bodies).await;
    broker.kill();
    for round in 0..rounds {
        let broker = Broker::start(data.path());
        storm(broker, &mut random).await;
        let broker = Broker::start(data.path());
        check(&broker, &format!("seed {seed}, round {round}")).await;
        broker.kill();
    }
}

/// Lets messages die and sends them back until enough have died, then kills the broker.
async fn storm(broker: Broker, random: &mut Random) {
    let (deaths, mut deaths_seen) = watch::channel(0u64);
    let worker = tokio::spawn(fail(broker.address, deaths, Random::new(random.next())));
    let operator = Operator::start(broker.admin, Random::new(random.next()));
    let enough = 100 + random.below(1_500);
    let reached = must("deaths", deaths_seen.wait_for(|&count| count >= enough)).await.is_ok();
    assert!(reached, "the worker lost its connection:\n{}", broker.log());
    broker.kill();
    worker.abort();
    operator.stop();
}

/// Rejects and returns what it gets.
async fn fail(address: SocketAddr, deaths: watch::Sender<u64>, mut random: Random) {
    let session = Session::open_at(address).await;
    prefetch(&session.channel, 30).await;
    let mut consumer = consume(&session.channel, QUEUE).await;
    while let Some(Ok(delivery)) = consumer.next().await {
        let is_death = random.below(4) > 0;
        let done = if is_death {
            delivery.reject(BasicRejectOptions { requeue: false }).await
        } else {
            delivery.nack(BasicNackOptions { multiple: false, requeue: true }).await
        };
        if done.is_err() {
            return;
        }
        deaths.send_modify(|count| *count += u64::from(is_death));
    }
}

/// Runs `forebay dlq redrive` again and again, and kills every second one in the middle.
struct Operator {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Operator {
    fn start(admin: SocketAddr, mut random: Random) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let mut tool = redrive(admin);
                if random.below(2) == 0 {
                    tool.kill().unwrap();
                }
                tool.wait().unwrap();
            }
        });
        Self { stopping, thread }
    }

    fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn redrive(admin: SocketAddr) -> Child {
    let mut command = forebay(admin, &["dlq", "redrive", DEAD, "--rate", "5000"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn check(broker: &Broker, when: &str) {
    let session = Session::open_at(broker.address).await;
    let mut found = Vec::new();
    let mut counts = Vec::new();
    for queue in [QUEUE, DEAD] {
        let count = ready_count(&session.channel, queue).await;
        let mut consumer = consume(&session.channel, queue).await;
        for _ in 0..count {
            let body = text(&next(&mut consumer).await);
            found.push(body.split(' ').next().unwrap().parse::<usize>().unwrap());
        }
        counts.push(count);
    }
    eprintln!("{when}: {} in the queue, {} dead", counts[0], counts[1]);
    found.sort_unstable();
    assert_eq!(found, (0..MESSAGES).collect::<Vec<_>>(), "{when}");
}
