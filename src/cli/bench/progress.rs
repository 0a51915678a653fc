//! The line that moves while a run lasts.

use super::run::Run;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Time between two updates of the line.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Invisible when standard error is no terminal.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    last: (Instant, u64, u64),
    /// When a message was last received.
    pub(super) last_change: Instant,
    pub(super) received: u64,
}

impl Progress {
    /// Its length is the messages to come, or else the milliseconds.
    pub(super) fn new(run: &Run) -> Self {
        let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let bar = match (run.bench.count, run.bench.limit().map(millis)) {
            (Some(length), _) | (None, Some(length)) => ProgressBar::new(length),
            (None, None) => ProgressBar::no_length(),
        };
        // The message is cut where the terminal ends; a line that wraps would be drawn over and over.
        let template = "{elapsed_precise} {bar:16} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let begin = run.clock.begin();
        Self { bar, last: (begin, 0, 0), last_change: begin, received: 0 }
    }

    pub(super) fn update(&mut self, run: &Run) {
        let now = Instant::now();
        let sent = run.counters.sent.load(Ordering::Relaxed);
        let confirmed = run.counters.confirmed.load(Ordering::Relaxed);
        let received = run.counters.received.load(Ordering::Relaxed);
        if received != self.received {
            (self.received, self.last_change) = (received, now);
        }
        let (since, sent_then, received_then) = self.last;
        let seconds = (now - since).as_secs_f64();
        if seconds >= PROGRESS_INTERVAL.as_secs_f64() {
            let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
            self.bar.set_position(match run.bench.count {
                Some(_) if run.bench.consumers > 0 => received,
                Some(_) => sent,
                None => {
                    let elapsed = run.clock.begin().elapsed().as_millis();
                    u64::try_from(elapsed).unwrap_or(u64::MAX)
                }
            });
            let text = format!(
                "sent {sent} ({:.0}/s), confirmed {confirmed}, received {received} ({:.0}/s)",
                rate(sent, sent_then),
                rate(received, received_then),
            );
            self.bar.set_message(text);
            self.last = (now, sent, received);
        }
    }
}
