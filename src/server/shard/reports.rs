//! Reports that somebody waits for, made one after the other. Owned by the shard task, which gives
//! them a moment in each of its turns: what a scrape of many queues asks of it is never in the way of
//! messages for longer than that.

use crate::limits::REPORT_TURN_DURATION;
use crate::shard::mailbox::ReportQuestion;
use forebay_engine::model::Now;
use forebay_engine::shard::{
    ChannelListing, ChannelReport, ConsumerListing, ConsumerReport, Report, ScheduleListing,
    ScheduleReport, Shard, ShardStatistics,
};
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::oneshot;

/// The questions, in their order. Each is a request's of an operator or a scraper, whose connections
/// are bounded, or the broker's own; one that nobody waits for any more is passed over in its turn.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: VecDeque<ReportQuestion>,
    begun: Option<Begun>,
}

/// A question that is being answered.
#[derive(Debug)]
enum Begun {
    Queues(Report, oneshot::Sender<ShardStatistics>),
    Consumers(ConsumerListing, oneshot::Sender<Vec<ConsumerReport>>),
    Channels(ChannelListing, oneshot::Sender<Vec<ChannelReport>>),
    Schedules(ScheduleListing, oneshot::Sender<Vec<ScheduleReport>>),
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
            let begun = self.begun.take().or_else(|| self.begin(shard));
            self.begun = begun.and_then(|begun| begun.step(shard, now));
            if started.elapsed() >= REPORT_TURN_DURATION {
                return;
            }
        }
    }

    /// The next one that somebody still waits for.
    fn begin(&mut self, shard: &Shard) -> Option<Begun> {
        while let Some(question) = self.waiting.pop_front() {
            if !question.is_given_up() {
                return Some(Begun::new(question, shard));
            }
        }
        None
    }
}

impl Begun {
    fn new(question: ReportQuestion, shard: &Shard) -> Self {
        match question {
            ReportQuestion::Queues(None, answer) => Self::Queues(shard.begin_report(), answer),
            ReportQuestion::Queues(Some(queue), answer) => {
                Self::Queues(shard.begin_report_of(queue), answer)
            }
            ReportQuestion::Consumers(queue, answer) => {
                Self::Consumers(shard.begin_consumers(queue), answer)
            }
            ReportQuestion::Channels(answer) => Self::Channels(ChannelListing::default(), answer),
            ReportQuestion::Schedules(answer) => {
                Self::Schedules(ScheduleListing::default(), answer)
            }
        }
    }

    /// Goes on by a step; itself, unless it was the last one. Who asked may have gone.
    fn step(self, shard: &mut Shard, now: Now) -> Option<Self> {
        match self {
            Self::Queues(mut report, answer) => match shard.advance_report(now, &mut report) {
                None => Some(Self::Queues(report, answer)),
                Some(statistics) => {
                    let _ = answer.send(statistics);
                    None
                }
            },
            Self::Consumers(mut list, answer) => match shard.advance_consumers(&mut list) {
                None => Some(Self::Consumers(list, answer)),
                Some(consumers) => {
                    let _ = answer.send(consumers);
                    None
                }
            },
            Self::Channels(mut list, answer) => match shard.advance_channels(&mut list) {
                None => Some(Self::Channels(list, answer)),
                Some(channels) => {
                    let _ = answer.send(channels);
                    None
                }
            },
            Self::Schedules(mut list, answer) => match shard.advance_schedules(&mut list) {
                None => Some(Self::Schedules(list, answer)),
                Some(schedules) => {
                    let _ = answer.send(schedules);
                    None
                }
            },
        }
    }
}
