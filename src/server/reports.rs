//! Reports that somebody waits for, made one after the other. Owned by the shard task, which gives
//! them a moment in each of its turns: what a scrape of many queues asks of it is never in the way of
//! messages for longer than that.

use crate::limits::REPORT_TURN_DURATION;
use crate::mailbox::ReportQuestion;
use forebay_engine::shard::{Report, Shard, ShardStatistics};
use forebay_engine::time::Now;
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::oneshot;

/// The questions, in their order. Each is a request's of an operator or a scraper, whose connections
/// are bounded, or the broker's own; one that nobody waits for any more is passed over in its turn.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: VecDeque<ReportQuestion>,
    begun: Option<(Report, oneshot::Sender<ShardStatistics>)>,
}

impl Reports {
    /// Somebody asks.
    pub(crate) fn ask(&mut self, question: ReportQuestion) {
        self.waiting.push_back(question);
    }

    /// Whether somebody waits.
    pub(crate) fn are_wanted(&self) -> bool {
        self.begun.is_some() || !self.waiting.is_empty()
    }

    /// Goes on for a short time, and by one step at least: dozens of steps when queues are in the
    /// processor's caches, one when they are not.
    pub(crate) fn advance(&mut self, shard: &mut Shard, now: Now) {
        let started = Instant::now();
        while self.are_wanted() {
            self.step(shard, now);
            if started.elapsed() >= REPORT_TURN_DURATION {
                return;
            }
        }
    }

    fn step(&mut self, shard: &mut Shard, now: Now) {
        let Some((mut report, answer)) = self.begun.take().or_else(|| self.begin(shard)) else {
            return;
        };
        match shard.advance_report(now, &mut report) {
            // Who asked may have gone.
            Some(statistics) => drop(answer.send(statistics)),
            None => self.begun = Some((report, answer)),
        }
    }

    /// The next one that somebody still waits for.
    fn begin(&mut self, shard: &Shard) -> Option<(Report, oneshot::Sender<ShardStatistics>)> {
        while let Some(ReportQuestion { queue, answer }) = self.waiting.pop_front() {
            if !answer.is_closed() {
                let report = match queue {
                    Some(queue) => shard.begin_report_of(queue),
                    None => shard.begin_report(),
                };
                return Some((report, answer));
            }
        }
        None
    }
}
