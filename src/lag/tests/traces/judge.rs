//! When there was an alert, and whether that was right.

use super::library::{Expected, Trace};
use super::queue::{DAY, HOUR, MINUTE};
use forebay_lag::{HoldTimes, QueueWatch, Settings, Symptom};

/// An alert is told for so long after its cause is over.
const KEEP_SECONDS: u64 = 5 * MINUTE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) symptom: Symptom,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

pub(crate) fn alerts(trace: &Trace) -> Vec<Alert> {
    let mut watch = QueueWatch::default();
    let mut alerts: Vec<Alert> = Vec::new();
    let mut holds = trace.holds.iter().peekable();
    for sample in &trace.samples {
        let mut settled = HoldTimes::default();
        while let Some((_, held)) = holds.next_if(|(at, _)| *at <= sample.at) {
            settled.observe(*held);
        }
        watch.take_hold_times(&settled);
        let now = watch.observe(sample, trace.role, &Settings::default());
        for symptom in Symptom::ALL.into_iter().filter(|symptom| now.has(*symptom)) {
            let end = sample.at + KEEP_SECONDS;
            match alerts.iter_mut().rev().find(|alert| alert.symptom == symptom) {
                Some(alert) if alert.to >= sample.at => alert.to = end,
                _ => alerts.push(Alert { symptom, from: sample.at, to: end }),
            }
        }
    }
    alerts
}

fn time(at: u64) -> String {
    format!("day {} {:02}:{:02}", at / DAY, at % DAY / HOUR, at % HOUR / MINUTE)
}

impl Alert {
    fn text(&self) -> String {
        format!("{} from {} to {}", self.symptom.name(), time(self.from), time(self.to))
    }

    fn is_for(&self, expected: &Expected) -> bool {
        // An incident may show in other ways than the one that is asked for.
        self.from >= expected.from
            && self.to <= expected.over.max(expected.until + 30 * MINUTE) + KEEP_SECONDS
    }
}

/// What is wrong with the alerts; nothing when they are as expected.
pub(crate) fn faults(trace: &Trace) -> Vec<String> {
    let alerts = alerts(trace);
    let mut faults = Vec::new();
    for alert in alerts.iter().filter(|alert| alert.from >= trace.judged_from) {
        if !trace.expected.iter().any(|expected| alert.is_for(expected)) {
            faults.push(format!("false: {}", alert.text()));
        }
    }
    for expected in &trace.expected {
        let fits = |alert: &&Alert| expected.symptom.is_none_or(|symptom| alert.symptom == symptom);
        let mut covered = expected.by;
        let mut relevant: Vec<&Alert> =
            alerts.iter().filter(fits).filter(|alert| alert.to > expected.from).collect();
        relevant.sort_by_key(|alert| alert.from);
        for alert in relevant {
            if alert.from <= covered {
                covered = covered.max(alert.to);
            }
        }
        if covered < expected.until || covered == expected.by {
            faults.push(format!(
                "missing: expected from {} until {}, there from then until {}",
                time(expected.by),
                time(expected.until),
                time(covered)
            ));
            let near = alerts
                .iter()
                .filter(|alert| alert.to + DAY > expected.from && alert.from < expected.over + DAY);
            faults.extend(near.map(|alert| format!("    there was {}", alert.text())));
        }
    }
    faults
}
