//! CPU time of this process per message, with our client and with lapin, against the same broker.
//!
//! `AMQP_URL=amqp://127.0.0.1 cargo bench --bench client_cpu -- [MESSAGES] [ROUNDS]`
//!
//! Each round publishes messages of 256 octets with confirms (1,000 unconfirmed at most), then
//! consumes them with a prefetch of 500, each acknowledged by itself. Both clients get the same
//! runtime: two threads. The best round of each counts, because everything that disturbs a
//! round only adds to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that meets an error has failed"
)]

mod ours;
mod theirs;

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Octets of a body.
const BODY_SIZE: usize = 256;
/// Messages published and not confirmed, at most.
const UNCONFIRMED_MAX: usize = 1_000;
const PREFETCH: u16 = 500;
const MESSAGES_DEFAULT: usize = 100_000;
const ROUNDS_DEFAULT: usize = 3;

/// What both clients do.
trait Subject {
    async fn open(url: &str, queue: &str) -> Self;
    async fn publish(&mut self, messages: usize);
    async fn consume(&mut self, messages: usize);
    async fn close(self);
}

/// CPU and wall time.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn min(self, other: Self) -> Self {
        if other.cpu < self.cpu { other } else { self }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

async fn measured(work: impl Future<Output = ()>) -> Cost {
    let (cpu, wall) = (cpu_time(), Instant::now());
    work.await;
    Cost { cpu: cpu_time() - cpu, wall: wall.elapsed() }
}

/// The best of all rounds: publishing, and consuming.
fn cost<S: Subject>(url: &str, messages: usize, rounds: usize) -> (Cost, Cost) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let round = |number: usize| {
        let queue = format!("client-cpu-{}-{number}", std::process::id());
        runtime.block_on(async {
            let mut subject = S::open(url, &queue).await;
            // Connections and buffers warm up outside of the measurement.
            subject.publish(messages / 10).await;
            subject.consume(messages / 10).await;
            let published = measured(subject.publish(messages)).await;
            let consumed = measured(subject.consume(messages)).await;
            subject.close().await;
            (published, consumed)
        })
    };
    let costs = (0..rounds).map(round);
    costs.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1))).unwrap()
}

fn main() {
    let numbers: Vec<usize> =
        std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let messages = numbers.first().copied().unwrap_or(MESSAGES_DEFAULT);
    let rounds = numbers.get(1).copied().unwrap_or(ROUNDS_DEFAULT);
    let Ok(url) = std::env::var("AMQP_URL") else {
        println!("client_cpu: AMQP_URL names no broker; nothing measured");
        return;
    };
    let ours = cost::<ours::Ours>(&url, messages, rounds);
    let theirs = cost::<theirs::Theirs>(&url, messages, rounds);
    println!("{messages} messages of {BODY_SIZE} octets, best of {rounds} rounds");
    println!("                 forebay-client               lapin        lapin / ours");
    for (what, ours, theirs) in [("publish", ours.0, theirs.0), ("consume", ours.1, theirs.1)] {
        let micros = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / messages as f64;
        let rate = |cost: Cost| messages as f64 / cost.wall.as_secs_f64();
        println!(
            "{what}  {:>7.2} us CPU {:>8.0}/s  {:>7.2} us CPU {:>8.0}/s   {:.1}",
            micros(ours),
            rate(ours),
            micros(theirs),
            rate(theirs),
            micros(theirs) / micros(ours),
        );
    }
}
