//! `forebay dlq redrive`: a walk over the queue, step by step, at most so fast.
//!
//! Each step is one durable change in the broker. Stopped between two steps, or
//! in one, the command leaves every message in one of its two queues; it is run again for what is left.

use super::super::printable::printable;
use super::answer::{number, rest, text};
use super::dead_letter_queue::DeadLetterQueue;
use super::filter::Filter;
use super::list::cause;
use super::redriving::said;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Messages that one step may move.
const STEP_MESSAGES_MAX: u64 = 1_000;
/// Steps in a second, when a rate is given and high enough.
const STEPS_PER_SECOND: u64 = 10;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Redrive {
    #[command(flatten)]
    queue: DeadLetterQueue,
    #[command(flatten)]
    filter: Filter,
    /// Messages per second at most, as 50 or 50/s
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<u64>,
    /// Let the broker go on by itself, and end: `dlq progress` says how far it is, `dlq stop` ends it
    #[arg(long, requires = "rate", conflicts_with = "dry_run")]
    detach: bool,
    /// Take the headers' word for messages that clients published with an `x-death`
    #[arg(long)]
    trust_headers: bool,
    /// Only say what would be sent where
    #[arg(long)]
    dry_run: bool,
}

fn rate(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number
        .filter(|rate| *rate > 0)
        .ok_or_else(|| "expected messages a second, as 50 or 50/s".into())
}

/// Messages by what became of them.
#[derive(Debug, Default)]
struct Total {
    /// By queue, reason and way back, as a step shows them.
    deaths: BTreeMap<[String; 3], u64>,
    steps: u64,
    examined: u64,
    redriven: u64,
    stayed: u64,
    /// Those among them whose death the broker did not write down.
    skipped: u64,
}

impl Redrive {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        if self.detach {
            return self.leave_to_broker();
        }
        let mut total = Total::default();
        let walked = self.walk(&mut total);
        // Before the first step there are no figures to report, and no rest to run it again for.
        if total.steps > 0 {
            total.print(&self.queue.queue, self.dry_run);
        }
        if let Err(error) = walked {
            let is_begun = total.steps > 0 && !self.dry_run;
            let what = if is_begun { "; run it again for the rest" } else { "" };
            return Err(format!("{error}{what}").into());
        }
        match self.filter.text() {
            Some(filter) if total.redriven + total.stayed == 0 => {
                Err(format!("no message of {} has {filter}", self.queue.queue).into())
            }
            _ => Ok(()),
        }
    }

    fn leave_to_broker(&self) -> Result<(), Box<dyn Error>> {
        let mut body = self.filter.body();
        body.insert("trust_headers".to_owned(), self.trust_headers.into());
        body.insert("rate".to_owned(), self.rate.into());
        let redrive = self.queue.step("redrive", &body)?;
        println!("{}", printable(&said(&self.queue.queue, &redrive)));
        Ok(())
    }

    fn walk(&self, total: &mut Total) -> Result<(), Box<dyn Error>> {
        let mut body = self.filter.body();
        body.insert("dry_run".to_owned(), self.dry_run.into());
        body.insert("trust_headers".to_owned(), self.trust_headers.into());
        let rate = self.rate.filter(|_| !self.dry_run);
        let count = rate.map_or(STEP_MESSAGES_MAX, |rate| {
            (rate / STEPS_PER_SECOND).clamp(1, STEP_MESSAGES_MAX)
        });
        body.insert("count".to_owned(), count.into());
        let start = Instant::now();
        let progress = self.progress();
        loop {
            let step = self.queue.step("redrive", &body)?;
            total.add(&step);
            progress.set_position(total.examined);
            progress.set_message(format!("{} went back, {} stay", total.redriven, total.stayed));
            match rest(&step) {
                Some(rest) => body.insert("runs".to_owned(), rest),
                None => break,
            };
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(total.redriven as f64 / rate as f64);
                sleep(due.saturating_sub(start.elapsed()));
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// A line that moves while the walk goes over what was ready when it began; silent where standard error is no
    /// terminal, and where the broker does not say how much that is.
    fn progress(&self) -> ProgressBar {
        if self.dry_run {
            return ProgressBar::hidden();
        }
        let bar = match self.queue.messages() {
            Some(messages) => ProgressBar::new(messages),
            None => ProgressBar::no_length(),
        };
        let template =
            "{elapsed_precise} {bar:16} {human_pos} of {human_len} looked at, {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }
}

impl Total {
    fn add(&mut self, step: &Value) {
        self.steps += 1;
        self.examined += number(step, "examined");
        self.redriven += number(step, "redriven");
        self.stayed += number(step, "stayed");
        self.skipped += number(step, "skipped");
        let deaths = step.get("deaths").and_then(Value::as_array);
        for death in deaths.into_iter().flatten() {
            let of = |key| text(death, key).unwrap_or_default().to_owned();
            let group = [of("queue"), of("reason"), of("way_back")];
            *self.deaths.entry(group).or_default() += number(death, "messages");
        }
    }

    fn print(&self, queue: &str, is_dry: bool) {
        let verb = if is_dry { "would go back" } else { "went back" };
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(" ({skipped} skipped)"),
        };
        let (queue, redriven, stayed) = (printable(queue), self.redriven, self.stayed);
        println!("{queue}: {redriven} messages {verb}, {stayed} stay{skipped}");
        for ([queue, reason, way_back], messages) in &self.deaths {
            let queue = Some(queue).filter(|queue| !queue.is_empty());
            let death = json!({
                "queue": queue, "reason": reason, "way_back": way_back, "messages": messages,
            });
            println!("    {}", printable(&cause(&death)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_a_number_with_or_without_a_second() {
        assert_eq!((rate("50"), rate("50/s")), (Ok(50), Ok(50)));
        for wrong in ["0", "0/s", "-1", "50/min", "", "/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
