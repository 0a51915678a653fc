//! CPU time of this process per message, with our client and with lapin, against the same broker.
//!
//! `AMQP_URL=amqp://127.0.0.1 cargo bench --bench client_cpu -- [MESSAGES] [ROUNDS]`
//!
//! For each size of a body: a round publishes messages with confirms (1,000 unconfirmed at most),
//! then consumes them with a prefetch of 500, each acknowledged by itself. Both clients get the same
//! runtime, two threads, and take turns. The best round of each counts, because everything that
//! disturbs a round only adds to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that meets an error has failed"
)]

mod ours;
mod theirs;

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a body.
const BODY_SIZES: [usize; 4] = [16, 256, 4_096, 65_536];
/// Bytes of all bodies of a round: fewer messages when they are large.
const ROUND_SIZE_MAX: usize = 256 << 20;
/// Messages published and not confirmed, at most.
const UNCONFIRMED_MAX: usize = 1_000;
const PREFETCH: u16 = 500;
const MESSAGES_DEFAULT: usize = 100_000;
const ROUNDS_DEFAULT: usize = 3;

/// What both clients do.
trait Subject {
    async fn open(url: &str, queue: &str) -> Self;
    async fn publish(&mut self, messages: usize, size: usize);
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

/// One round: publishing, and consuming.
fn round<S: Subject>(url: &str, messages: usize, size: usize) -> [Cost; 2] {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let queue = format!("client-cpu-{}-{number}", std::process::id());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut subject = S::open(url, &queue).await;
        // Connections and buffers warm up outside of the measurement.
        subject.publish(messages / 10, size).await;
        subject.consume(messages / 10).await;
        let published = measured(subject.publish(messages, size)).await;
        let consumed = measured(subject.consume(messages)).await;
        subject.close().await;
        [published, consumed]
    })
}

fn best(rounds: &[[Cost; 2]], of: usize) -> Cost {
    rounds.iter().map(|round| round[of]).reduce(Cost::min).unwrap()
}

fn main() {
    let numbers: Vec<usize> =
        std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let asked = numbers.first().copied().unwrap_or(MESSAGES_DEFAULT);
    let rounds = numbers.get(1).copied().unwrap_or(ROUNDS_DEFAULT);
    let Ok(url) = std::env::var("AMQP_URL") else {
        println!("client_cpu: AMQP_URL names no broker; nothing measured");
        return;
    };
    println!("best of {rounds} rounds; CPU time of the client's process per message");
    println!("                             forebay-client               lapin      lapin / ours");
    for size in BODY_SIZES {
        let messages = asked.min(ROUND_SIZE_MAX / size);
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..rounds)
            .map(|_| {
                let ours = round::<ours::Ours>(&url, messages, size);
                (ours, round::<theirs::Theirs>(&url, messages, size))
            })
            .unzip();
        for (what, of) in [("publish", 0), ("consume", 1)] {
            let (ours, theirs) = (best(&ours, of), best(&theirs, of));
            let micros = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / messages as f64;
            let rate = |cost: Cost| messages as f64 / cost.wall.as_secs_f64();
            println!(
                "{what} {size:>6} bytes  {:>7.2} us {:>8.0}/s  {:>7.2} us {:>8.0}/s   {:.1}",
                micros(ours),
                rate(ours),
                micros(theirs),
                rate(theirs),
                micros(theirs) / micros(ours),
            );
        }
    }
}
