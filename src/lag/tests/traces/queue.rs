//! A queue of a shop, minute by minute, and what happens to it.

use super::random::Random;
use forebay_lag::Sample;

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;

/// What happens to the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Lag is this many normal peaks, give or take a share.
    Level { from: u64, to: u64, peaks: f64, noise: f64 },
    /// No consumer does anything; afterwards the backlog goes within so many seconds.
    NoConsumers { from: u64, to: u64, recovery: u64 },
    /// The whole shop is busier or quieter by a factor.
    Traffic { from: u64, to: u64, factor: f64 },
    /// The batches drain slower by a factor.
    SlowBatch { from: u64, to: u64, factor: f64 },
    /// Nobody looks.
    Gap { from: u64, to: u64 },
    /// Everything happens later by this.
    Later { from: u64, seconds: i64 },
    /// No batch comes.
    NoBatch { from: u64, to: u64 },
    /// Consumers hang: messages come slowly, and none is settled.
    Hang { from: u64, to: u64 },
}

/// When a batch comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) messages: f64,
    /// Second of the day.
    pub(crate) start: u64,
    /// Until it is worked off.
    pub(crate) seconds: u64,
    pub(crate) days: fn(u64) -> bool,
    /// Share by which the sizes differ.
    pub(crate) spread: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) days: u64,
    pub(crate) step: u64,
    /// The normal peak of what is not batches.
    pub(crate) peak: f64,
    /// Share of the peak that there is at the quietest time of day.
    pub(crate) night: f64,
    /// The second of the day of the peak.
    pub(crate) noon: u64,
    /// Share of the weekdays' traffic at weekends.
    pub(crate) weekend: f64,
    /// Deviation of the noise, as a share.
    pub(crate) noise: f64,
    /// Deviation of one day from another, as a share.
    pub(crate) day_noise: f64,
    /// Growth a day.
    pub(crate) growth: f64,
    /// Jobs that take so many seconds, done by one consumer one after the other.
    pub(crate) job: Option<u64>,
    pub(crate) batch: Option<Batch>,
    pub(crate) has_rates: bool,
    pub(crate) events: Vec<Event>,
}

impl Queue {
    pub(crate) fn new(random: &mut Random, peak: f64) -> Self {
        Self {
            days: 35,
            step: random.of(&[30, 60, 60]),
            peak,
            night: 0.2,
            noon: 13 * HOUR,
            weekend: 1.0,
            noise: 0.05,
            day_noise: 0.05,
            growth: 0.0,
            job: None,
            batch: None,
            has_rates: random.share() < 0.5,
            events: Vec::new(),
        }
    }

    fn shape(&self, at: u64) -> f64 {
        let angle = ((at % DAY) as f64 - self.noon as f64) / DAY as f64 * std::f64::consts::TAU;
        let weekend = if (at / DAY) % 7 >= 5 { self.weekend } else { 1.0 };
        weekend * (self.night + (1.0 - self.night) * (0.5 + 0.5 * angle.cos()).powi(2))
    }

    /// The samples from day 0 on.
    #[allow(clippy::too_many_lines, reason = "what happens in a minute, one thing after the other")]
    pub(crate) fn samples(&self, random: &mut Random) -> Vec<Sample> {
        let of_day: Vec<f64> = (0..=self.days + 1)
            .map(|_| (1.0 + self.day_noise * random.normal()).clamp(0.6, 1.4))
            .collect();
        let sizes: Vec<f64> = (0..=self.days + 1)
            .map(|_| self.batch.map_or(0.0, |b| 1.0 + b.spread * random.between(-1.0, 1.0)))
            .collect();
        let mut samples = Vec::new();
        let (mut backlog, mut batch_left) = (0.0_f64, 0.0_f64);
        let mut recovery = 0.0;
        let mut job_done = 0;
        let mut slow_noise = 0.0;
        let step = self.step as f64;
        for at in (0..self.days * DAY).step_by(self.step as usize) {
            let shift = self.events.iter().map(|event| match event {
                Event::Later { from, seconds } if at >= *from => *seconds,
                _ => 0,
            });
            let local = at.saturating_add_signed(-shift.sum::<i64>());
            let day = (local / DAY) as usize;
            slow_noise = 0.95 * slow_noise + 0.3 * random.normal();
            let noise = (1.0 + self.noise * (0.6 * random.normal() + 0.6 * slow_noise)).max(0.0);
            let mut traffic =
                self.shape(local) * of_day[day] * (1.0 + self.growth).powf(at as f64 / DAY as f64);
            let (mut working, mut slow, mut is_gap, mut has_batch, mut hangs) =
                (true, 1.0, false, true, false);
            let mut level: Option<f64> = None;
            for event in &self.events {
                match *event {
                    Event::Traffic { from, to, factor } if (from..to).contains(&at) => {
                        traffic *= factor
                    }
                    Event::NoConsumers { from, to, recovery: seconds }
                        if (from..to).contains(&at) =>
                    {
                        working = false;
                        recovery = seconds as f64;
                    }
                    Event::SlowBatch { from, to, factor } if (from..to).contains(&at) => {
                        slow = factor
                    }
                    Event::Gap { from, to } if (from..to).contains(&at) => is_gap = true,
                    Event::NoBatch { from, to } if (from..to).contains(&at) => has_batch = false,
                    Event::Hang { from, to } if (from..to).contains(&at) => hangs = true,
                    Event::Level { from, to, peaks, noise } if (from..to).contains(&at) => {
                        level = Some(self.peak * peaks * (1.0 + noise * random.between(-1.0, 1.0)));
                    }
                    _ => {}
                }
            }
            // A peak of so many messages comes with about as many in ten minutes.
            let arrivals = self.peak * traffic * noise / 600.0 * step;
            let mut settled = arrivals;
            if !working {
                backlog += arrivals;
                settled = 0.0;
            } else if backlog > 0.0 {
                let done = (self.peak * step / 600.0)
                    .max(backlog * step / recovery.max(step))
                    .min(backlog);
                backlog -= done;
                settled += done;
            }
            if let Some(batch) = self.batch {
                let since = (local % DAY) as i64 - batch.start as i64;
                if (0..self.step as i64).contains(&since) && (batch.days)(local / DAY) && has_batch
                {
                    batch_left += batch.messages * sizes[day];
                }
                let done = (batch.messages / batch.seconds as f64 * step * slow).min(batch_left);
                batch_left -= done;
                settled += done;
            }
            let mut lag = self.peak * traffic * noise;
            if let Some(seconds) = self.job {
                // One message at a time; a few more wait.
                settled = 0.0;
                if at - job_done >= seconds && !hangs {
                    job_done = at;
                    settled = 1.0;
                }
                lag = lag.max(1.0);
            }
            lag = (lag + backlog + batch_left).round();
            if let Some(level) = level {
                lag = lag.max(level.round());
            }
            if hangs {
                settled = 0.0;
                lag = lag.max(self.peak * 0.3);
            }
            if !is_gap {
                samples.push(Sample {
                    at,
                    lag,
                    arrived: self.has_rates.then_some((arrivals + random.share()).floor()),
                    settled: self.has_rates.then_some(if self.job.is_some() {
                        settled
                    } else {
                        (settled + random.share()).floor()
                    }),
                    consumers: self.has_rates.then_some(if working { 2.0 } else { 0.0 }),
                    oldest_age_seconds: None,
                    ..Sample::default()
                });
            }
        }
        samples
    }
}
