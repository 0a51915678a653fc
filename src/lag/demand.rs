//! How long the consumers of a queue need for its work: what an autoscaler follows.

use crate::limits::{
    BLOCK_QUARTERS, DEMAND_AVERAGE_SECONDS, DEMAND_BLOCKS, DEMAND_HORIZON_SECONDS,
    DEMAND_SECONDS_MAX, QUARTER_SECONDS, UNWATCHED_SECONDS_MAX,
};
use crate::sample::Sample;
use std::collections::VecDeque;

/// Consumers that were there for less than this share of the time averaged over say nothing of their speed.
const PRESENCE_MIN: f64 = 0.5;

/// How long the consumers of a queue need for what is there and for what comes in the next minute.
///
/// It is a minute when they just keep up, more when there is lag, less when there are more of them than it takes; with twice
/// the consumers it halves. What a consumer can do is the most that one did in the last six to eight hours, in a
/// minute or two.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    last: Option<u64>,
    /// Weighed sums over the time averaged over: of seconds, messages that came, messages that were settled while there were
    /// consumers, seconds of consumers.
    seconds: f64,
    arrived: f64,
    settled: f64,
    consumed: f64,
    /// By block of two hours, the newest last: messages that one consumer settled a second, at most.
    speeds: VecDeque<(u64, f64)>,
}

/// The block of two hours that a moment lies in.
fn block_of(at: u64) -> u64 {
    at / (QUARTER_SECONDS * BLOCK_QUARTERS as u64)
}

impl Demand {
    /// Takes a sample.
    pub fn observe(&mut self, sample: &Sample) {
        let elapsed = self.last.replace(sample.at).map(|last| sample.at.saturating_sub(last));
        let Some(elapsed @ 1..=UNWATCHED_SECONDS_MAX) = elapsed else {
            if elapsed != Some(0) {
                *self = Self {
                    last: self.last,
                    speeds: std::mem::take(&mut self.speeds),
                    ..Self::default()
                };
            }
            return;
        };
        let elapsed = elapsed as f64;
        let kept = (-elapsed / DEMAND_AVERAGE_SECONDS).exp();
        for sum in [&mut self.seconds, &mut self.arrived, &mut self.settled, &mut self.consumed] {
            *sum *= kept;
        }
        self.seconds += elapsed;
        self.arrived += sample.arrived.unwrap_or(0.0);
        let consumers = sample.consumers.unwrap_or(0.0);
        if consumers > 0.0 {
            self.settled += sample.settled.unwrap_or(0.0);
            self.consumed += elapsed * consumers;
        }
        if self.consumed >= PRESENCE_MIN * DEMAND_AVERAGE_SECONDS * consumers.max(1.0) {
            self.raise_speed(block_of(sample.at), self.settled / self.consumed);
        }
    }

    /// Goes on with what one consumer settled a second, at most, in the block of two hours that a moment lies in.
    pub(crate) fn restore_speed(&mut self, at: u64, speed: f64) {
        self.raise_speed(block_of(at), speed);
    }

    fn raise_speed(&mut self, block: u64, speed: f64) {
        match self.speeds.iter_mut().find(|(of, _)| *of == block) {
            Some((_, highest)) => *highest = highest.max(speed),
            None => self.speeds.push_back((block, speed)),
        }
        self.speeds.retain(|(of, _)| of.abs_diff(block) < DEMAND_BLOCKS);
    }

    /// Messages that one consumer settles a second, at most; `None` until one has settled some.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        let speeds = self.speeds.iter().map(|(_, speed)| *speed);
        speeds.reduce(f64::max).filter(|speed| *speed > 0.0)
    }

    /// Seconds that the consumers of a sample need, at most [`DEMAND_SECONDS_MAX`]; `None` where nothing tells how many there
    /// are, or what comes and goes.
    #[must_use]
    pub fn needed_seconds(&self, sample: &Sample) -> Option<f64> {
        let consumers = sample.consumers.filter(|_| sample.settled.is_some())?;
        let rate = if self.seconds > 0.0 { self.arrived / self.seconds } else { 0.0 };
        let work = sample.lag + DEMAND_HORIZON_SECONDS * rate;
        let needed = match self.speed().map(|speed| speed * consumers) {
            Some(capacity) if capacity > 0.0 => work / capacity,
            // Nobody is there, or nobody has done anything yet.
            _ if sample.lag > 0.0 => DEMAND_SECONDS_MAX,
            _ => 0.0,
        };
        Some(needed.min(DEMAND_SECONDS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, lag: f64, messages: f64, consumers: f64) -> Sample {
        Sample {
            at,
            lag,
            arrived: Some(messages),
            settled: Some(messages),
            consumers: Some(consumers),
            ..Sample::default()
        }
    }

    /// Ten messages a second come and are settled, for ten minutes.
    fn steady(consumers: f64) -> (Demand, u64) {
        let mut demand = Demand::default();
        for at in (0..600).step_by(5) {
            demand.observe(&sample(at, 0.0, 50.0, consumers));
        }
        (demand, 600)
    }

    fn needed(demand: &Demand, sample: &Sample) -> f64 {
        (demand.needed_seconds(sample).unwrap() * 10.0).round() / 10.0
    }

    #[test]
    fn consumers_that_just_keep_up_need_a_minute_and_twice_as_many_half_of_it() {
        let (demand, at) = steady(2.0);
        assert!((demand.speed().unwrap() - 5.0).abs() < 0.01);
        assert_eq!(needed(&demand, &sample(at, 0.0, 50.0, 2.0)), 60.0);
        assert_eq!(needed(&demand, &sample(at, 0.0, 50.0, 4.0)), 30.0);
        assert_eq!(needed(&demand, &sample(at, 1200.0, 50.0, 2.0)), 180.0);
        assert_eq!(needed(&demand, &sample(at, 1e9, 50.0, 2.0)), DEMAND_SECONDS_MAX);
    }

    #[test]
    fn lag_without_anybody_takes_longest_and_nothing_at_all_no_time() {
        let (demand, at) = steady(2.0);
        assert_eq!(needed(&demand, &sample(at, 7.0, 0.0, 0.0)), DEMAND_SECONDS_MAX);
        assert_eq!(needed(&demand, &sample(at, 0.0, 0.0, 0.0)), 0.0);
        let unknown = Sample { at, lag: 7.0, ..Sample::default() };
        assert_eq!(demand.needed_seconds(&unknown), None);
    }

    #[test]
    fn consumers_that_come_and_go_make_none_of_the_others_faster() {
        let (mut demand, begin) = steady(2.0);
        for (step, consumers) in
            [2.0, 8.0, 8.0, 8.0, 1.0, 1.0, 4.0].into_iter().cycle().take(500).enumerate()
        {
            let at = begin + 5 * step as u64;
            demand.observe(&sample(at, 100.0, 25.0 * consumers, consumers));
        }
        assert!((demand.speed().unwrap() - 5.0).abs() < 0.01, "{:?}", demand.speed());
    }

    #[test]
    fn a_speed_counts_for_some_hours_and_quiet_hours_do_not_forget_it() {
        let (mut demand, begin) = steady(1.0);
        for at in (begin..begin + 6 * 3600).step_by(60) {
            demand.observe(&sample(at, 0.0, 1.0, 1.0));
        }
        assert!((demand.speed().unwrap() - 10.0).abs() < 0.1);
        for at in (begin + 6 * 3600..begin + 20 * 3600).step_by(60) {
            demand.observe(&sample(at, 0.0, 1.0, 1.0));
        }
        assert!(demand.speed().unwrap() < 0.1);
    }
}
