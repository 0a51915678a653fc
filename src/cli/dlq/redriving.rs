//! `forebay dlq progress` and `stop`: a redrive with which the broker goes on by itself (`redrive --detach`).

use super::super::duration::short;
use super::super::output::Output;
use super::super::target::Answer;
use super::answer::{number, text};
use super::dead_letter_queue::DeadLetterQueue;
use clap::Args;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Redriving {
    #[command(flatten)]
    queue: DeadLetterQueue,
    #[command(flatten)]
    output: Output,
}

impl Redriving {
    pub(super) fn progress(self) -> Result<(), Box<dyn Error>> {
        let redrive = self.queue.redrive()?;
        let text = said(&self.queue.queue, &redrive);
        Ok(Answer { text, json: redrive }.print(&self.output)?)
    }

    pub(super) fn stop(self) -> Result<(), Box<dyn Error>> {
        self.queue.stop_redrive()?;
        let text = format!("{}: the redrive ends before its next step", self.queue.queue);
        let json = json!({ "vhost": self.queue.vhost, "name": self.queue.queue, "stopped": true });
        Ok(Answer { text, json }.print(&self.output)?)
    }
}

/// How far a redrive is, for people.
pub(super) fn said(queue: &str, redrive: &Value) -> String {
    let Some(state) = text(redrive, "state") else {
        return format!("{queue}: no redrive at a rate since the broker's start");
    };
    let (examined, messages) = (number(redrive, "examined"), number(redrive, "messages"));
    let (redriven, stayed) = (number(redrive, "redriven"), number(redrive, "stayed"));
    let (rate, by) = (number(redrive, "rate"), text(redrive, "by").unwrap_or_default());
    let left = messages.saturating_sub(examined);
    let rest = match state {
        "running" if rate > 0 => {
            format!(", {} left", short(Duration::from_secs(left.div_ceil(rate))))
        }
        _ => text(redrive, "reason").map_or_else(String::new, |reason| format!(": {reason}")),
    };
    format!(
        "{queue}: {state}, {redriven} messages went back, {stayed} stay, {examined} of {messages} looked at, at {rate} \
         a second, by {by}{rest}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_says_how_far_it_is_and_how_long_it_takes() {
        let mut redrive = json!({
            "state": "running", "by": "ops", "rate": 50, "messages": 6_000, "examined": 3_000,
            "redriven": 2_990, "stayed": 10, "reason": null,
        });
        let text = "q: running, 2990 messages went back, 10 stay, 3000 of 6000 looked at, at 50 a second, by ops, 1m left";
        assert_eq!(said("q", &redrive), text);
        redrive["state"] = "failed".into();
        redrive["reason"] = "no queue 'q' in vhost '/'".into();
        assert!(said("q", &redrive).ends_with("by ops: no queue 'q' in vhost '/'"));
        assert_eq!(said("q", &Value::Null), "q: no redrive at a rate since the broker's start");
    }
}
