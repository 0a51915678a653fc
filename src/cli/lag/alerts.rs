//! When alerts would have fired over a recording.

use crate::cli::recording::Recording;
use forebay_lag::{Assessment, Confidence, HoldTimes, QueueWatch, Role, Sample, Settings, Symptom};

/// An alert that was firing goes on over a gap of the recording that is no longer.
const GAP_SECONDS_MAX: u64 = 3600;

/// An alert that would have fired.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) symptom: Symptom,
    pub(super) from: u64,
    /// When its cause was seen last; `None` when it was to be seen at the end of the recording.
    pub(super) until: Option<u64>,
    /// When it is over.
    pub(super) to: u64,
    pub(super) highest_lag: f64,
    /// As it began.
    pub(super) sample: Sample,
    pub(super) assessment: Assessment,
}

/// What came of a recording.
pub(super) struct Replayed {
    pub(super) queue: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) samples: usize,
    pub(super) alerts: Vec<Alert>,
    /// Since when the alert line has been exact.
    pub(super) trusted_from: Option<u64>,
    pub(super) assessments: Vec<Assessment>,
}

/// Runs the broker's own statistics over a recording. An alert is kept for `keep_seconds` after its cause was seen last.
pub(super) fn replay(
    recording: &Recording,
    role: Role,
    settings: &Settings,
    keep_seconds: u64,
) -> Replayed {
    let mut watch = QueueWatch::default();
    let mut alerts: Vec<Alert> = Vec::new();
    let mut open: [Option<usize>; Symptom::ALL.len()] = [None; Symptom::ALL.len()];
    let mut before: Option<(u64, Assessment)> = None;
    let mut trusted_from = None;
    let mut assessments = Vec::with_capacity(recording.samples.len());
    let mut hold_times = recording.hold_times.iter().peekable();
    for sample in &recording.samples {
        let mut held = HoldTimes::default();
        while let Some((_, milliseconds)) = hold_times.next_if(|(at, _)| *at <= sample.at) {
            held.observe(*milliseconds);
        }
        if held.deliveries() > 0 {
            watch.take_hold_times(&held);
        }
        let now = watch.observe(sample, role, settings);
        if trusted_from.is_none() && now.confidence == Confidence::Trusted {
            trusted_from = Some(sample.at);
        }
        for (slot, symptom) in open.iter_mut().zip(Symptom::ALL) {
            if !now.has(symptom) {
                continue;
            }
            let went_on = before
                .is_some_and(|(at, last)| last.has(symptom) && sample.at - at <= GAP_SECONDS_MAX);
            let last = slot.and_then(|index| alerts.get_mut(index));
            match last.filter(|alert| went_on || sample.at <= alert.to) {
                Some(alert) => {
                    alert.to = sample.at + keep_seconds;
                    alert.highest_lag = alert.highest_lag.max(sample.lag);
                    alert.until = Some(sample.at);
                }
                None => {
                    *slot = Some(alerts.len());
                    alerts.push(Alert {
                        symptom,
                        from: sample.at,
                        until: Some(sample.at),
                        to: sample.at + keep_seconds,
                        highest_lag: sample.lag,
                        sample: *sample,
                        assessment: now,
                    });
                }
            }
        }
        before = Some((sample.at, now));
        assessments.push(now);
    }
    let end = recording.samples.last().map_or(0, |sample| sample.at);
    for alert in alerts.iter_mut().filter(|alert| alert.until == Some(end)) {
        alert.until = None;
        alert.to = end;
    }
    alerts.iter_mut().for_each(|alert| alert.to = alert.to.min(end));
    Replayed {
        queue: recording.queue.clone(),
        from: recording.samples.first().map_or(0, |sample| sample.at),
        to: end,
        samples: recording.samples.len(),
        alerts,
        trusted_from,
        assessments,
    }
}
