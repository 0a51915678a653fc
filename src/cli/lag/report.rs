//! What a replay says.

use super::alerts::{Alert, Replayed};
use crate::cli::duration::short;
use crate::cli::recording::{Recording, moment};
use crate::cli::table;
use forebay_lag::{Assessment, Symptom};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

fn span(seconds: f64) -> String {
    short(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{}", (value * 10.0).round() / 10.0) } else { format!("{value:.0}") }
}

/// Why an alert fired, in a sentence.
fn why(alert: &Alert) -> String {
    let Assessment {
        normal_peak, line, drain_seconds, drain_line_seconds, age_line_seconds, ..
    } = alert.assessment;
    let (pause, stall_line) = (alert.assessment.pause_seconds, alert.assessment.stall_line_seconds);
    let messages = |value: Option<f64>| value.map_or("?".to_owned(), number);
    let time = |seconds: Option<f64>| seconds.map_or("?".to_owned(), span);
    match alert.symptom {
        Symptom::AboveLine => format!(
            "lag {}, up to {}; the line was {}, the normal peak {}",
            number(alert.sample.lag),
            number(alert.highest_lag),
            messages(line),
            messages(normal_peak)
        ),
        Symptom::SlowDrain => format!(
            "lag {} would take {} until it is done; more than {} is not usual",
            number(alert.sample.lag),
            time(drain_seconds),
            time(drain_line_seconds)
        ),
        Symptom::TooOld => format!(
            "the oldest message was {} old; the line was {}",
            time(alert.sample.oldest_age_seconds),
            time(age_line_seconds)
        ),
        Symptom::Stalled => {
            format!("none was settled for {}; the line was {}", time(pause), time(stall_line))
        }
        Symptom::NoConsumers => format!(
            "lag {} and no consumers, none was settled for {}",
            number(alert.sample.lag),
            time(pause)
        ),
        Symptom::Growing => {
            format!(
                "never empty, and the lowest lag of each day has risen for two weeks; lag {}",
                number(alert.sample.lag)
            )
        }
        Symptom::Paused => format!("paused by an operator; lag {}", number(alert.sample.lag)),
    }
}

/// For people.
pub(super) fn text(replayed: &[Replayed], width: Option<u16>) -> String {
    let mut text = String::new();
    for queue in replayed {
        let length = span((queue.to - queue.from) as f64);
        let _ = writeln!(
            text,
            "{}: {} samples from {} to {} ({length})",
            queue.queue,
            queue.samples,
            moment::text(queue.from),
            moment::text(queue.to)
        );
        let rows = queue.alerts.iter().map(|alert| {
            let until = alert.until.map_or("still firing".to_owned(), |_| moment::text(alert.to));
            let length = span((alert.to - alert.from) as f64);
            [alert.symptom.name().to_owned(), moment::text(alert.from), until, length, why(alert)]
        });
        if !queue.alerts.is_empty() {
            text += &table::list(["SYMPTOM", "FROM", "TO", "FOR", "WHY"], rows, width);
            text.push('\n');
        }
        let fired: u64 = queue.alerts.iter().map(|alert| alert.to - alert.from).sum();
        let young = match queue.trusted_from {
            Some(from) => format!("the alert line is exact from {} on", moment::text(from)),
            None => {
                "the recording is too short for an exact alert line, which takes a week".to_owned()
            }
        };
        let _ = match queue.alerts.len() {
            0 => writeln!(text, "No alert would have fired; {young}.\n"),
            1 => {
                writeln!(text, "One alert would have fired, for {}; {young}.\n", span(fired as f64))
            }
            count => writeln!(
                text,
                "{count} alerts would have fired, for {} together; {young}.\n",
                span(fired as f64)
            ),
        };
    }
    text
}

pub(super) fn json(replayed: &[Replayed]) -> Value {
    let queues = replayed.iter().map(|queue| {
        let alerts = queue.alerts.iter().map(|alert| {
            json!({
                "symptom": alert.symptom.name(),
                "from": alert.from,
                "to": alert.to,
                "from_time": moment::text(alert.from),
                "to_time": moment::text(alert.to),
                "cause_seen_until": alert.until,
                "is_firing_at_end": alert.until.is_none(),
                "lag": alert.sample.lag,
                "highest_lag": alert.highest_lag,
                "normal_peak": alert.assessment.normal_peak,
                "line": alert.assessment.line,
                "why": why(alert),
            })
        });
        json!({
            "queue": queue.queue,
            "from": queue.from,
            "to": queue.to,
            "samples": queue.samples,
            "trusted_from": queue.trusted_from,
            "alerts": alerts.collect::<Vec<_>>(),
        })
    });
    json!({ "queues": queues.collect::<Vec<_>>() })
}

/// A row for each sample.
pub(super) fn samples(recordings: &[Recording], replayed: &[Replayed]) -> String {
    let mut text = "queue,time,lag,normal_peak,line,symptoms\n".to_owned();
    for (recording, queue) in recordings.iter().zip(replayed) {
        for (sample, now) in recording.samples.iter().zip(&queue.assessments) {
            let symptoms: Vec<&str> = Symptom::ALL
                .into_iter()
                .filter(|symptom| now.has(*symptom))
                .map(Symptom::name)
                .collect();
            let optional =
                |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
            let _ = writeln!(
                text,
                "{},{},{},{},{},{}",
                queue.queue,
                sample.at,
                sample.lag,
                optional(now.normal_peak),
                optional(now.line),
                symptoms.join(" ")
            );
        }
    }
    text
}
