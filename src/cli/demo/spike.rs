//! `forebay demo spike`: a burst, its draining, a death, a poison message, and the proof.

use super::broker::Broker;
use super::consumer::{Consumer, POISON};
use super::crew::Crew;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::queue_report::{QueueReport, age_text};
use crate::cli::target::{self, Answer, FAILED, Fault, Interrupted};
use clap::Args;
use forebay_client::{Connection, Delivery, FieldValue, Message, QueueOptions};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "Examples:
  forebay demo spike
  forebay demo spike --events 20000 --rate 2000
  forebay demo spike --json";

const QUEUE: &str = "orders";
const DEAD_LETTER_QUEUE: &str = "orders.dlq";
/// Consumers at the start.
const CONSUMERS: u64 = 4;
/// Why a message dies whose handling fails again and again.
const POISONED: &str = "delivery_limit";
/// Messages handed to the client at once.
const BATCH: u64 = 1_000;
/// Time between two redraws in a terminal, and between two lines in a pipe.
const REDRAW: Duration = Duration::from_millis(250);
const LINE: Duration = Duration::from_secs(2);
/// The demo gives up when nothing moves for so long: while there is something to do, and when the
/// queue is empty though not everything was handled.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_WHEN_EMPTY: Duration = Duration::from_secs(3);

/// Publish a burst of orders, drain it at a steady rate, kill a consumer half-way, send one poison
/// order, and prove that nothing is lost and the poison lies in the dead-letter queue
///
/// Broker and consumers are processes of their own on free ports and a temporary directory; nothing
/// is left of them.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Spike {
    /// Orders in the burst
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(10..))]
    events: u64,
    /// Orders per second that all consumers together handle
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    #[command(flatten)]
    output: Output,
}

/// What the demo proves.
struct Proof {
    is_drained: bool,
    burst: Duration,
    drain: Duration,
    lost: u64,
    twice: u64,
    /// Bodies of dead letters, and why each died.
    dead: Vec<(String, String)>,
}

impl Spike {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.show())
    }

    async fn show(self) -> Result<ExitCode, Fault> {
        let mut interrupt = Interrupt::listen()?;
        let broker = Broker::start().await?;
        // Whatever happens, also an interrupt: processes and directory go.
        let proof = tokio::select! {
            proof = self.prove(&broker) => proof,
            () = interrupt.next() => {
                Err(Interrupted("the demo's broker and consumers are stopped".to_owned()).into())
            }
        };
        broker.stop().await?;
        let proof = proof?;
        self.answer(&proof).print(&self.output)?;
        Ok(if self.is_proven(&proof) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    async fn prove(&self, broker: &Broker) -> Result<Proof, Fault> {
        self.say(&format!("broker     {} on a temporary directory", broker.url))?;
        let connection = Connection::connect(&broker.url).await?;
        connection.declare_queue(QUEUE, QueueOptions::durable()).await?;
        let begin = Instant::now();
        self.burst(&connection).await?;
        let burst = begin.elapsed();
        self.say(&format!(
            "burst      {} orders confirmed, each on disk, in {:.1} s; order {} is poison",
            self.events,
            burst.as_secs_f64(),
            self.poison()
        ))?;
        let begin = Instant::now();
        let rate = self.rate as f64 / CONSUMERS as f64;
        let consumer = Consumer { url: broker.url.clone(), queue: QUEUE.to_owned(), rate };
        let mut crew = Crew::start(&consumer, CONSUMERS)?;
        let is_drained = self.watch(broker, &mut crew).await?;
        let drain = begin.elapsed();
        let (lost, twice) = (crew.missing(self.events, self.poison()), crew.handled_twice());
        drop(crew);
        let dead = dead_letters(&connection).await?;
        connection.close().await?;
        Ok(Proof { is_drained, burst, drain, lost, twice, dead })
    }

    fn say(&self, line: &str) -> std::io::Result<()> {
        if self.output.is_for_programs() { Ok(()) } else { target::print(line) }
    }

    /// The order whose handling always fails.
    fn poison(&self) -> u64 {
        self.events / 3
    }

    async fn burst(&self, connection: &Connection) -> Result<(), Fault> {
        let publisher = connection.publisher().await?;
        let mut confirms = Vec::new();
        for first in (0..self.events).step_by(BATCH as usize) {
            let orders = (first..self.events.min(first + BATCH)).map(|order| {
                let kind = if order == self.poison() { POISON } else { "order" };
                Message::to_queue(QUEUE, format!("{kind} {order}")).mandatory()
            });
            confirms.push(publisher.publish_all(orders).await?);
        }
        for confirm in confirms {
            confirm.await?;
        }
        Ok(())
    }

    /// Shows how the queue drains until all is done; kills one consumer half-way. False when it
    /// stopped to drain.
    async fn watch(&self, broker: &Broker, crew: &mut Crew) -> Result<bool, Fault> {
        let bar = ProgressBar::new(self.events);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {bar:16} {wide_msg}") {
            bar.set_style(style);
        }
        let interval = if bar.is_hidden() { LINE } else { REDRAW };
        let mut is_killed = false;
        let (mut last, mut moved) = ((Instant::now(), 0), (Instant::now(), 0));
        loop {
            tokio::time::sleep(REDRAW).await;
            let admin = broker.admin.clone();
            let queues =
                tokio::task::spawn_blocking(move || QueueReport::list(&admin, None)).await??;
            let queue = queues.into_iter().find(|queue| queue.name == QUEUE);
            let queue = queue.ok_or("the queue of the demo is gone")?;
            let (now, handled) = (Instant::now(), crew.handled());
            if handled != moved.1 {
                moved = (now, handled);
            }
            let is_drained = handled + 1 >= self.events && queue.lag() == 0;
            let patience = if queue.lag() == 0 { PATIENCE_WHEN_EMPTY } else { PATIENCE };
            if is_drained || moved.0.elapsed() > patience {
                bar.finish_and_clear();
                return Ok(is_drained);
            }
            if now - last.0 >= interval {
                let rate = (handled - last.1) as f64 / (now - last.0).as_secs_f64();
                last = (now, handled);
                bar.set_position(handled);
                let line = progress(&queue, rate);
                if bar.is_hidden() {
                    self.say(&format!("draining   {line}"))?;
                }
                bar.set_message(line);
            }
            if handled >= self.events / 2 && !is_killed {
                is_killed = true;
                crew.kill_one().await?;
                let line = format!(
                    "killed     one of {CONSUMERS} consumers with kill -9, orders in its hands"
                );
                bar.suspend(|| self.say(&line))?;
            }
        }
    }

    fn is_proven(&self, proof: &Proof) -> bool {
        let is_only_the_poison_dead = matches!(
            proof.dead.as_slice(),
            [(body, reason)]
                if *body == format!("{POISON} {}", self.poison()) && reason == POISONED
        );
        proof.is_drained && proof.lost == 0 && is_only_the_poison_dead
    }

    fn answer(&self, proof: &Proof) -> Answer {
        let Proof { lost, twice, dead, .. } = proof;
        let is_proven = self.is_proven(proof);
        let listed: Vec<_> =
            dead.iter().map(|(body, reason)| format!("`{body}` because of {reason}")).collect();
        let listed = if listed.is_empty() { "nothing".to_owned() } else { listed.join(", ") };
        let drained = if proof.is_drained { "drained    " } else { "NOT drained" };
        let text = format!(
            "{drained}{} orders in {:.1} s\n\
             lost       {lost}\n\
             twice      {twice}, in the hands of the consumer that was killed\n\
             dead       {DEAD_LETTER_QUEUE} holds {listed}\n\
             proven     {}",
            self.events,
            proof.drain.as_secs_f64(),
            if is_proven { "nothing lost, and the poison alone put aside" } else { "NO" },
        );
        let json = json!({
            "events": self.events,
            "burst_seconds": proof.burst.as_secs_f64(),
            "drain_seconds": proof.drain.as_secs_f64(),
            "lost": lost,
            "handled_twice": twice,
            "dead_letters": dead.iter().map(|(body, _)| body).collect::<Vec<_>>(),
            "proven": is_proven,
        });
        Answer { text, json }
    }
}

fn progress(queue: &QueueReport, rate: f64) -> String {
    let lag = queue.lag();
    let drain = if rate > 0.0 { lag as f64 / rate } else { f64::INFINITY };
    format!(
        "backlog {}, lag {lag}, oldest {}, {rate:.0}/s, drained in {}",
        queue.ready,
        age_text(queue.oldest_age),
        age_text(Some(drain))
    )
}

/// The dead letters, left where they are.
async fn dead_letters(connection: &Connection) -> Result<Vec<(String, String)>, Fault> {
    let puller = connection.puller(DEAD_LETTER_QUEUE).await?;
    let mut held = Vec::new();
    while let Some(letter) = puller.get().await? {
        held.push(letter);
    }
    let letter = |letter: &Delivery| {
        let body = letter.text().unwrap_or("a body that is no text").to_owned();
        (body, reason(letter).unwrap_or_else(|| "no reason".to_owned()))
    };
    Ok(held.iter().map(letter).collect())
}

/// Why a message died last.
fn reason(letter: &Delivery) -> Option<String> {
    let FieldValue::Array(deaths) = letter.header("x-death")? else { return None };
    let FieldValue::Table(death) = deaths.first()? else { return None };
    let FieldValue::LongStr(reason) = death.get("reason")? else { return None };
    Some(String::from_utf8_lossy(reason).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 30 orders number 10 is poison.
    fn spike() -> Spike {
        Spike { events: 30, rate: 10, output: Output::default() }
    }

    fn proof() -> Proof {
        Proof {
            is_drained: true,
            burst: Duration::from_secs(1),
            drain: Duration::from_secs(2),
            lost: 0,
            twice: 3,
            dead: vec![("poison 10".to_owned(), POISONED.to_owned())],
        }
    }

    #[test]
    fn nothing_lost_and_the_poison_alone_dead_is_proven() {
        let answer = spike().answer(&proof());
        assert!(spike().is_proven(&proof()));
        assert!(answer.text.ends_with("proven     nothing lost, and the poison alone put aside"));
        assert_eq!(answer.json["proven"], true);
    }

    #[test]
    fn anything_else_is_not() {
        let dead = |bodies: &[&str]| {
            bodies.iter().map(|body| ((*body).to_owned(), POISONED.to_owned())).collect()
        };
        for failed in [
            Proof { lost: 1, ..proof() },
            Proof { is_drained: false, ..proof() },
            Proof { dead: dead(&[]), ..proof() },
            Proof { dead: dead(&["order 11"]), ..proof() },
            Proof { dead: vec![("poison 10".to_owned(), "rejected".to_owned())], ..proof() },
            Proof { dead: dead(&["poison 10", "order 11"]), ..proof() },
        ] {
            let answer = spike().answer(&failed);
            assert!(!spike().is_proven(&failed), "{}", answer.text);
            assert!(answer.text.ends_with("proven     NO"), "{}", answer.text);
            assert_eq!(answer.json["proven"], false);
        }
    }
}
