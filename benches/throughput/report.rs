//! What came out, for people and for programs.

use crate::load::Load;
use serde_json::json;
use std::fmt;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) messages_per_second: f64,
    pub(crate) processor_micros_per_message: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0} messages/s, {:.1} µs of processor time a message",
            self.messages_per_second, self.processor_micros_per_message
        )
    }
}

/// All runs of all brokers.
pub(crate) struct Report {
    load: Load,
    runs: u64,
    brokers: Vec<(String, Vec<Figures>)>,
}

impl Report {
    pub(crate) fn new(load: &Load, runs: u64) -> Self {
        Self { load: load.clone(), runs, brokers: Vec::new() }
    }

    pub(crate) fn add(&mut self, broker: &str, figures: Figures) {
        match self.brokers.iter_mut().find(|(name, _)| name == broker) {
            Some((_, runs)) => runs.push(figures),
            None => self.brokers.push((broker.to_owned(), vec![figures])),
        }
    }

    /// Medians as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let Load { messages, body_size, unconfirmed_max, ack_every } = &self.load;
        let runs = self.runs;
        let mut text = format!(
            "{messages} persistent messages of {body_size} B, {unconfirmed_max} unconfirmed, one \
             producer, one consumer, ack every {ack_every}; median of {runs}\n\n\
             | broker | messages/s | broker CPU µs/message |\n|---|---|---|\n"
        );
        for (name, runs) in &self.brokers {
            let (rate, processor) = medians(runs);
            text += &format!("| {name} | {rate:.0} | {processor:.1} |\n");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let brokers: Vec<_> = self
            .brokers
            .iter()
            .map(|(name, runs)| {
                let (rate, processor) = medians(runs);
                let runs: Vec<_> = runs
                    .iter()
                    .map(|run| {
                        json!({
                            "messages_per_second": run.messages_per_second,
                            "processor_micros_per_message": run.processor_micros_per_message,
                        })
                    })
                    .collect();
                json!({
                    "broker": name,
                    "messages_per_second": rate,
                    "processor_micros_per_message": processor,
                    "runs": runs,
                })
            })
            .collect();
        let report = json!({
            "messages": self.load.messages,
            "body_size": self.load.body_size,
            "unconfirmed_max": self.load.unconfirmed_max,
            "ack_every": self.load.ack_every,
            "brokers": brokers,
        });
        format!("{report:#}\n")
    }
}

fn medians(runs: &[Figures]) -> (f64, f64) {
    let median = |value: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(|run| run.messages_per_second), median(|run| run.processor_micros_per_message))
}
