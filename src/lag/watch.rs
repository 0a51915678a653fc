//! Watches one queue.

use crate::assessment::{Assessment, Symptom};
use crate::baseline::{Baseline, Confidence};
use crate::day::Block;
use crate::demand::Demand;
use crate::history::{History, day_of};
use crate::hold_times::HoldTimes;
use crate::level::{Coarse, Peak};
use crate::limits::{
    AGE_HOLD_SECONDS, BATCH_QUARTERS_MAX, BLOCK_QUARTERS, DAY_QUARTERS, DEMAND_BLOCKS,
    DRAIN_LAG_SHARE, EXCURSION_SHOULDER, FALL_SECONDS, GROWTH_HOLD_SECONDS, HISTORY_DAYS,
    LINE_MESSAGES_MIN, PAUSE_SECONDS_MIN, QUARTER_SECONDS, SHOULDER_QUARTERS_MAX, TIMES_TEACH_MAX,
};
use crate::pace::Pace;
use crate::role::Role;
use crate::sample::Sample;
use crate::settings::Settings;
use crate::sustained::Sustained;

/// Speeds are kept as messages in so many seconds.
const SPEED_SCALE: f64 = 1000.0;

/// Watches one queue: learns from its samples, and says what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct QueueWatch {
    history: History,
    baseline: Baseline,
    /// The quarter that `baseline` is of.
    quarter: Option<u64>,
    pace: Pace,
    last: Option<Sample>,
    excursion: Excursion,
    drain: Sustained,
    age_over: Held,
    grew_at: Option<u64>,
    counted: Counted,
    service: Service,
    demand: Demand,
}

/// Lag is above the line, or has not yet come down from there.
#[derive(Clone, Copy, Debug, Default)]
struct Excursion {
    is_under_way: bool,
    above_since: Option<u64>,
}

/// Since when something has held without a break.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    since: Option<u64>,
    last: u64,
}

impl Held {
    fn look(&mut self, at: u64, holds: bool, for_seconds: u64) -> bool {
        if !holds {
            self.since = None;
            return false;
        }
        if at.saturating_sub(self.last) > FALL_SECONDS {
            self.since = None;
        }
        self.last = at;
        at.saturating_sub(*self.since.get_or_insert(at)) >= for_seconds
    }
}

/// Messages that came and went in a block of two hours.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    block: u64,
    arrived: f64,
    settled: f64,
}

/// How long deliveries were held that were settled in a block of two hours.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    block: u64,
    settled: HoldTimes,
    /// Settled since the last sample.
    newest: HoldTimes,
}

impl Service {
    /// The time within which 99 of 100 of this block's deliveries were settled, in seconds, when some have been since the
    /// last sample.
    fn turn(&mut self, block: u64) -> Option<f64> {
        if self.block != block {
            *self = Self { block, newest: self.newest, ..Self::default() };
        }
        let newest = std::mem::take(&mut self.newest);
        if newest.deliveries() == 0 {
            return None;
        }
        self.settled.add(&newest);
        self.seconds()
    }

    fn seconds(&self) -> Option<f64> {
        self.settled.p99_milliseconds().map(|milliseconds| milliseconds / 1000.0)
    }
}

impl QueueWatch {
    /// Goes on with a history.
    #[must_use]
    pub fn new(history: History) -> Self {
        Self { history, ..Self::default() }
    }

    /// What it learnt.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What it learnt, to be kept elsewhere.
    pub fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// What is normal in the quarter of the last sample.
    #[must_use]
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// Takes how long those deliveries were held that were settled since the last sample. It goes before [`Self::observe`] of
    /// the sample that ends that time.
    pub fn take_hold_times(&mut self, settled: &HoldTimes) {
        self.service.newest.add(settled);
    }

    /// Takes a sample and says what is wrong with the queue.
    pub fn observe(&mut self, sample: &Sample, role: Role, settings: &Settings) -> Assessment {
        let quarter = sample.at / QUARTER_SECONDS;
        if self.quarter != Some(quarter) {
            self.turn_to(quarter, settings);
        }
        self.baseline.raise_young_service(self.service.seconds());
        self.demand.observe(sample);
        let pause = self.pace.observe(sample);
        let (under_way, pause) = (
            pause.filter(|pause| !pause.is_over).map(|pause| pause.seconds),
            pause.map(|pause| pause.seconds),
        );
        let momentary = self.pace.drain_seconds(sample).filter(|_| !sample.is_paused);
        let counted = momentary.filter(|_| self.is_drain_counted(sample));
        let drain = self.drain.observe(sample.at, counted);
        let mut now = self.assess(sample, role, settings, drain, under_way);
        now.drain_seconds = momentary;
        now.needed_seconds = self.demand.needed_seconds(sample);
        self.follow_excursion(sample, quarter, &mut now);
        if !sample.is_paused {
            // How long messages wait then says nothing of the queue's consumers.
            self.learn(sample, quarter, drain, pause);
        }
        self.last = Some(*sample);
        now
    }

    /// Calls the present level, and the times that go with it, normal.
    pub fn accept_normal(&mut self, sample: &Sample, settings: &Settings) {
        let quarter = sample.at / QUARTER_SECONDS;
        let day = DAY_QUARTERS as u64;
        let level = (quarter.saturating_sub(day - 1)..=quarter)
            .filter_map(|quarter| self.history.peak(quarter).messages())
            .fold(sample.lag, f64::max);
        self.unmark(quarter, u64::from(settings.learn_days).max(1) * day);
        self.history.accept(quarter, level);
        let service = self.service.seconds();
        let drain = self.pace.drain_seconds(sample).filter(|_| self.is_drain_counted(sample));
        self.history.edit_block(quarter, |block| {
            raise(&mut block.drain, drain);
            raise(&mut block.age, sample.oldest_age_seconds);
            raise(&mut block.service, service.map(|seconds| 1000.0 * seconds));
        });
        self.excursion = Excursion::default();
        self.quarter = None;
    }

    /// A new quarter of an hour: what is normal in it?
    fn turn_to(&mut self, quarter: u64, settings: &Settings) {
        if self.quarter.is_none() {
            self.resume_excursion(quarter);
            self.resume_demand(quarter);
        }
        self.quarter = Some(quarter);
        let days = usize::from(settings.history_days).min(HISTORY_DAYS);
        self.history.drop_beyond(days, day_of(quarter));
        let mut timeline = self.history.timeline(quarter, days);
        let learn_quarters = usize::from(settings.learn_days).max(1) * DAY_QUARTERS;
        if timeline.drop_long_excursions() >= learn_quarters {
            // It has held for so long that it is normal.
            if let Some(sample) = self.last {
                self.accept_normal(&sample, settings);
            }
            self.quarter = Some(quarter);
            timeline = self.history.timeline(quarter, days);
            timeline.drop_long_excursions();
        }
        self.baseline = Baseline::of(&timeline, settings);
    }

    /// Goes on with an excursion that was under way when the history was written.
    fn resume_excursion(&mut self, quarter: u64) {
        let earlier =
            (0..quarter).rev().take_while(|quarter| self.history.peak(*quarter).is_excursion());
        if let Some(begin) = earlier.last() {
            self.excursion =
                Excursion { is_under_way: true, above_since: Some(begin * QUARTER_SECONDS) };
        }
    }

    /// Goes on with how fast a consumer was in the last hours.
    fn resume_demand(&mut self, quarter: u64) {
        for ago in (0..DEMAND_BLOCKS).rev() {
            let Some(quarter) = quarter.checked_sub(ago * BLOCK_QUARTERS as u64) else { continue };
            if let Some(speed) = self.history.block(quarter).speed.value() {
                self.demand.restore_speed(quarter * QUARTER_SECONDS, speed / SPEED_SCALE);
            }
        }
    }

    fn unmark(&mut self, quarter: u64, quarters: u64) {
        for quarter in quarter.saturating_sub(quarters)..=quarter {
            self.history.mark_excursion(quarter, false);
        }
    }

    /// Whether there is enough lag for its drain time to say something.
    fn is_drain_counted(&self, sample: &Sample) -> bool {
        // Before the week's peak is known, what is much is not.
        let peak =
            self.baseline.day_peak.filter(|_| self.baseline.confidence == Confidence::Trusted);
        peak.is_some_and(|peak| sample.lag >= (DRAIN_LAG_SHARE * peak).max(LINE_MESSAGES_MIN))
    }

    fn assess(
        &mut self,
        sample: &Sample,
        role: Role,
        settings: &Settings,
        drain: Option<f64>,
        pause: Option<f64>,
    ) -> Assessment {
        let baseline = self.baseline;
        let mut now = Assessment {
            normal_peak: baseline.normal_peak,
            line: baseline.line,
            confidence: baseline.confidence,
            drain_line_seconds: baseline.drain_line(),
            age_line_seconds: settings.age_max_seconds.or(baseline.age_line()),
            pause_seconds: pause,
            pause_line_seconds: baseline
                .pause_line()
                .map(|line| line.max(self.pace.pause_expected())),
            service_seconds: baseline.service,
            stall_line_seconds: baseline.stall_line(self.pace.pause_expected()),
            ..Assessment::default()
        };
        if baseline.is_growing {
            self.grew_at = Some(sample.at);
        }
        let is_slow = exceeds(drain, now.drain_line_seconds);
        let age = sample.oldest_age_seconds;
        let age_over = sample.lag > 0.0 && exceeds(age, baseline.age_line());
        let is_old = self.age_over.look(sample.at, age_over, AGE_HOLD_SECONDS);
        now.set(Symptom::Paused, sample.is_paused);
        if role != Role::Work {
            return now;
        }
        now.set(Symptom::AboveLine, baseline.line.is_some_and(|line| sample.lag > line));
        now.set(Symptom::SlowDrain, is_slow);
        now.set(
            Symptom::TooOld,
            match settings.age_max_seconds {
                Some(_) => exceeds(age, settings.age_max_seconds),
                None => is_old,
            },
        );
        let has_consumers = sample.consumers.map(|consumers| consumers > 0.0);
        now.set(
            Symptom::Stalled,
            has_consumers == Some(true) && exceeds(pause, now.stall_line_seconds),
        );
        // Of a young queue, too: it can be told without knowing what is usual.
        let has_none = has_consumers == Some(false) && sample.lag > 0.0 && !sample.is_paused;
        let away =
            |least| pause.is_some_and(|pause| pause >= now.pause_line_seconds.unwrap_or(least));
        now.is_unattended = has_none && away(0.0);
        now.set(Symptom::NoConsumers, has_none && away(PAUSE_SECONDS_MIN));
        let has_grown =
            self.grew_at.is_some_and(|at| sample.at.saturating_sub(at) < GROWTH_HOLD_SECONDS);
        now.set(Symptom::Growing, has_grown && sample.lag > 0.0);
        now
    }

    /// What is above the line does not teach, and neither does its way up and down.
    fn follow_excursion(&mut self, sample: &Sample, quarter: u64, now: &mut Assessment) {
        let (Some(line), Some(normal)) = (self.baseline.line, self.baseline.normal_peak) else {
            return;
        };
        let is_above = sample.lag > line;
        let since = self.excursion.above_since.filter(|_| is_above);
        self.excursion.above_since = is_above.then(|| since.unwrap_or(sample.at));
        now.above_since = self.excursion.above_since;
        let shoulder = normal + EXCURSION_SHOULDER * (line - normal);
        if is_above && !self.excursion.is_under_way {
            self.excursion.is_under_way = true;
            for earlier in (quarter.saturating_sub(SHOULDER_QUARTERS_MAX)..quarter).rev() {
                if self.history.peak(earlier).messages().is_none_or(|peak| peak <= shoulder) {
                    break;
                }
                self.history.mark_excursion(earlier, true);
            }
        } else if sample.lag <= shoulder && self.excursion.is_under_way {
            self.excursion.is_under_way = false;
            if self.baseline.confidence != Confidence::Trusted {
                self.keep_batch(quarter);
            }
        }
    }

    /// In the first week, what is above the line and short may well be a batch that was not seen before: it teaches.
    fn keep_batch(&mut self, quarter: u64) {
        let marked = |quarter: &u64| self.history.peak(*quarter).is_excursion();
        let span: Vec<u64> = (0..=quarter)
            .rev()
            .skip_while(|at| *at == quarter && !marked(at))
            .take_while(marked)
            .collect();
        if span.len() <= BATCH_QUARTERS_MAX {
            span.into_iter().for_each(|quarter| self.history.mark_excursion(quarter, false));
        }
    }

    fn learn(&mut self, sample: &Sample, quarter: u64, drain: Option<f64>, pause: Option<f64>) {
        self.history.raise_peak(quarter, sample.lag);
        if self.excursion.is_under_way {
            self.history.mark_excursion(quarter, true);
        }
        let block = quarter / BLOCK_QUARTERS as u64;
        if self.counted.block != block {
            self.counted = Counted { block, ..Counted::default() };
        }
        let (arrived, settled) = (sample.arrived, sample.settled);
        self.counted.arrived += arrived.unwrap_or(0.0);
        self.counted.settled += settled.unwrap_or(0.0);
        let counted = self.counted;
        let service = self.service.turn(block);
        // Of all hours that it remembers, since a day that is over keeps none.
        let speed = self.demand.speed();
        let teaches = !self.excursion.is_under_way;
        let baseline = self.baseline;
        self.history.edit_block(quarter, |block: &mut Block| {
            raise(&mut block.arrivals, arrived.map(|_| counted.arrived));
            raise(&mut block.settled, settled.map(|_| counted.settled));
            raise(&mut block.speed, speed.map(|speed| SPEED_SCALE * speed));
            if teaches {
                block.low = block.low.min(Peak::of(sample.lag));
                raise(&mut block.drain, taught(drain, baseline.drain, baseline.drain_line()));
                raise(
                    &mut block.age,
                    taught(sample.oldest_age_seconds, baseline.age, baseline.age_line()),
                );
                raise(&mut block.pause, taught(pause, baseline.pause, baseline.pause_line()));
                if let Some(seconds) = service {
                    let line = baseline.service_line().filter(|_| baseline.is_service_old);
                    let taught = taught(Some(seconds), baseline.service, line);
                    block.service = Coarse::of(1000.0 * taught.unwrap_or(seconds));
                }
            }
        });
    }
}

/// What is beyond the line teaches little more than what is normal: it takes weeks to become normal by itself.
fn taught(value: Option<f64>, normal: Option<f64>, line: Option<f64>) -> Option<f64> {
    match (value, normal, line) {
        (Some(value), Some(normal), Some(line)) if value > line => Some(TIMES_TEACH_MAX * normal),
        _ => value,
    }
}

fn raise(kept: &mut Coarse, value: Option<f64>) {
    if let Some(value) = value {
        *kept = kept.max(Coarse::of(value));
    }
}

fn exceeds(value: Option<f64>, line: Option<f64>) -> bool {
    matches!((value, line), (Some(value), Some(line)) if value > line)
}
