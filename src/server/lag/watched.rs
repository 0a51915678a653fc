//! One queue that is watched: what it counted by the last look, and what holds for it.

use super::roles::Roles;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_lag::{Assessment, History, HoldTimes, QueueWatch, Role, Sample, Settings};

/// What the last look said of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueLag {
    pub(crate) role: Role,
    pub(crate) assessment: Assessment,
    /// When it was.
    pub(crate) at: u64,
    /// Days of history that it rests on.
    pub(crate) days: usize,
}

/// One queue that is watched.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) watch: QueueWatch,
    /// What the queue had counted by the last look.
    counted: Option<Counted>,
    last: Sample,
    settings: Settings,
    pub(super) is_durable: bool,
}

/// What a queue has counted since the process began.
#[derive(Clone, Copy)]
struct Counted {
    arrived: u64,
    settled: u64,
    hold_times: HoldTimes,
}

impl Counted {
    fn by(queue: &QueueStatistics) -> Self {
        Self {
            arrived: queue.published,
            settled: queue.acked + queue.delivered_no_ack,
            hold_times: queue.hold_times,
        }
    }
}

impl Watched {
    /// Takes a look at it, in seconds since 1970.
    pub(super) fn look(
        &mut self,
        at: u64,
        queue: &QueueReport,
        roles: &Roles,
        defaults: &Settings,
    ) -> QueueLag {
        let statistics = &queue.statistics;
        let now = Counted::by(statistics);
        let since = |count: fn(&Counted) -> u64| {
            self.counted.as_ref().map(|last| count(&now).saturating_sub(count(last)) as f64)
        };
        let lag = statistics.ready + statistics.unacked;
        let sample = Sample {
            at,
            lag: lag as f64,
            oldest_age_seconds: if lag == 0 {
                Some(0.0)
            } else {
                statistics.oldest_age.map(|age| age as f64 / 1000.0)
            },
            arrived: since(|counted| counted.arrived),
            settled: since(|counted| counted.settled),
            consumers: Some(statistics.consumers as f64),
            is_paused: queue.record.pause.is_some(),
        };
        let said = &queue.record.settings;
        self.settings = Settings {
            line_factor: said
                .lag_line_percent
                .map_or(defaults.line_factor, |percent| percent as f64 / 100.0),
            learn_days: defaults.learn_days,
            history_days: defaults.history_days,
            age_max_seconds: said
                .age_max
                .map(|age| age as f64 / 1000.0)
                .or(defaults.age_max_seconds),
        };
        self.is_durable = queue.record.durable;
        let was_worked_on = self.watch.baseline().is_worked_on;
        let role = said.role.unwrap_or_else(|| roles.of_queue(queue, was_worked_on));
        // Counts begin with the process.
        let before = self.counted.as_ref().map(|last| last.hold_times).unwrap_or_default();
        self.watch.take_hold_times(&now.hold_times.since(&before));
        let assessment = self.watch.observe(&sample, role, &self.settings);
        self.counted = Some(now);
        self.last = sample;
        QueueLag { role, assessment, at, days: self.watch.baseline().days }
    }

    /// What it learnt, and by what it is judged.
    pub(super) fn learnt(&self) -> (History, Settings) {
        (self.watch.history().clone(), self.settings)
    }

    /// Calls the present lag normal; `None` when nobody has looked at it yet.
    pub(super) fn accept_normal(&mut self) -> Option<()> {
        self.counted?;
        self.watch.accept_normal(&self.last, &self.settings);
        Some(())
    }
}
