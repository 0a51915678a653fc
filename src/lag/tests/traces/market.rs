//! Traces of another make than those of the library: queues whose lag comes from arrivals, workers and what they can do, minute
//! by minute, and whose alerts are due where lag is far above what it is on the same days without the incident. The statistics
//! were not made with them, and their parameters are not to be tuned to.

use super::library::{Expected, Trace};
use super::queue::{DAY, HOUR, MINUTE};
use super::random::Random;
use forebay_lag::{Role, Sample, Symptom};

/// Lag so many times the day's peak without the incident must be told.
const DUE: f64 = 2.4;
/// Below this it must not, any more.
const OVER: f64 = 1.4;
const DAYS: u64 = 35;

/// What is different for a while.
#[derive(Clone, Copy, Debug, Default)]
enum Event {
    /// Workers do this share of what they can.
    Capacity(f64),
    /// So many times as many messages come.
    Traffic(f64),
    /// Lag is so many peaks, give or take a share.
    Plateau(f64, f64),
    /// The clock is later by so many seconds.
    Later(i64),
    /// No import comes.
    NoImport,
    /// The broker is away: nobody counts, and counters begin anew.
    #[default]
    Away,
}

/// Messages that come at once, at a second of the day, on some days.
#[derive(Clone, Copy, Debug)]
struct Import {
    messages: f64,
    second: u64,
    days: fn(u64) -> bool,
}

#[derive(Clone, Debug)]
struct Market {
    /// Messages a minute at the busiest hour.
    rate: f64,
    /// What workers can do, in busiest rates.
    capacity: f64,
    /// Seconds that a message takes while there is no backlog.
    latency: f64,
    /// When the two busiest hours are, and how high the second one is.
    humps: [f64; 2],
    evening: f64,
    night: f64,
    weekdays: [f64; 7],
    noise: f64,
    growth: f64,
    import: Option<Import>,
    has_counters: bool,
    events: Vec<(u64, u64, Event)>,
}

impl Market {
    fn new(random: &mut Random) -> Self {
        let mut weekdays = [1.0; 7];
        for factor in &mut weekdays {
            *factor = random.between(0.85, 1.1);
        }
        weekdays[6] = random.between(0.5, 0.9);
        Self {
            rate: random.scale(40.0, 6000.0),
            capacity: random.between(1.5, 3.0),
            latency: random.scale(20.0, 240.0),
            humps: [random.between(9.0, 12.0), random.between(17.5, 20.5)],
            evening: random.between(0.6, 1.0),
            night: random.between(0.08, 0.35),
            weekdays,
            noise: random.between(0.03, 0.09),
            growth: 0.0,
            import: None,
            has_counters: random.share() < 0.6,
            events: Vec::new(),
        }
    }

    /// Lag at the busiest hour, without backlog.
    fn peak(&self) -> f64 {
        self.rate / 60.0 * self.latency
    }

    fn shape(&self, local: u64) -> f64 {
        let hour = (local % DAY) as f64 / 3600.0;
        let hump = |at: f64, width: f64| {
            let away = (hour - at).abs();
            (-(away.min(24.0 - away) / width).powi(2)).exp()
        };
        let busy = hump(self.humps[0], 3.2).max(self.evening * hump(self.humps[1], 2.2));
        self.weekdays[(local / DAY % 7) as usize] * (self.night + (1.0 - self.night) * busy)
    }

    fn samples(&self, random: &mut Random, has_events: bool) -> Vec<Sample> {
        let (mut backlog, mut drift, mut counted) = (0.0_f64, 0.0_f64, false);
        let mut samples = Vec::new();
        for at in (0..DAYS * DAY).step_by(60) {
            drift = 0.98 * drift + 0.2 * random.normal();
            let jitter = random.normal();
            let mut noise = (self.noise * (drift + 0.5 * jitter)).exp();
            let shake = random.between(-1.0, 1.0);
            let (mut able, mut level, mut shift, mut imports, mut away) =
                (1.0, None, 0, true, false);
            for (from, to, event) in self.events.iter().filter(|_| has_events) {
                if !(*from..*to).contains(&at) {
                    continue;
                }
                match *event {
                    Event::Capacity(share) => able = share,
                    Event::Traffic(factor) => noise *= factor,
                    Event::Plateau(peaks, share) => {
                        level = Some(self.peak() * peaks * (1.0 + share * shake));
                    }
                    Event::Later(seconds) => shift = seconds,
                    Event::NoImport => imports = false,
                    Event::Away => away = true,
                }
            }
            let local = at.saturating_add_signed(-shift);
            let growth = (1.0 + self.growth).powf(at as f64 / DAY as f64);
            let arrived = self.rate * self.shape(local) * noise * growth;
            let pipeline = arrived / 60.0 * self.latency;
            if let Some(import) = self.import.filter(|_| imports) {
                let is_now = local % DAY / 60 == import.second / 60;
                if is_now && (import.days)(local / DAY) {
                    backlog += import.messages;
                }
            }
            let can = self.rate * self.capacity * able * growth;
            let settled = (arrived + backlog).min(can);
            backlog = (backlog + arrived - settled).max(0.0);
            if away {
                counted = false;
                continue;
            }
            let lag = level.map_or(0.0, |level: f64| level.max(0.0)).max(pipeline + backlog);
            let flow = |messages: f64| (self.has_counters && counted).then(|| messages.round());
            samples.push(Sample {
                at,
                lag: lag.round(),
                arrived: flow(arrived),
                settled: flow(settled),
                consumers: self.has_counters.then_some(if able > 0.0 { 4.0 } else { 0.0 }),
                oldest_age_seconds: None,
                ..Sample::default()
            });
            counted = true;
        }
        samples
    }

    /// When alerts are due: where lag is far above the peak that the same day has without the events.
    fn due(&self, with: &[Sample], without: &[Sample]) -> Vec<Expected> {
        let mut peaks = vec![0.0_f64; DAYS as usize + 1];
        for sample in without {
            let day = &mut peaks[(sample.at / DAY) as usize];
            *day = day.max(sample.lag);
        }
        let line = |at: u64, times: f64| {
            let peak = peaks[(at / DAY) as usize];
            (times * peak).max(peak + 1.2 * (3.0 * peak.sqrt() + 5.0)).max(11.0)
        };
        let mut due: Vec<Expected> = Vec::new();
        for (from, to, event) in &self.events {
            if matches!(event, Event::Later(_) | Event::NoImport | Event::Away) {
                continue;
            }
            let after = || with.iter().filter(|sample| sample.at >= *from);
            let Some(begin) =
                after().find(|sample| sample.at < to + DAY && sample.lag > line(sample.at, DUE))
            else {
                continue;
            };
            let over =
                after().find(|sample| sample.at >= *to && sample.lag < line(sample.at, OVER));
            let over = over.map_or(DAYS * DAY, |sample| sample.at);
            let is_due = |sample: &&Sample| sample.at < over && sample.lag > line(sample.at, DUE);
            let until = after().rfind(is_due).map_or(begin.at, |sample| sample.at);
            due.push(Expected {
                from: *from,
                by: begin.at + 3 * MINUTE,
                until,
                // A drain time, an age and a pause may stand out for longer.
                over: over + HOUR,
                symptom: None,
            });
        }
        due
    }
}

fn nightly(random: &mut Random, days: fn(u64) -> bool) -> Market {
    let mut market = Market::new(random);
    market.rate = random.scale(20.0, 400.0);
    let hours = random.between(0.6, 5.0);
    market.import = Some(Import {
        messages: market.rate * (market.capacity - 0.3) * 60.0 * hours,
        second: random.between(0.0, 23.5 * 3600.0) as u64,
        days,
    });
    market
}

fn payments(random: &mut Random) -> Market {
    let mut market = Market::new(random);
    market.latency = 60.0;
    market.rate = random.scale(5.0, 35.0);
    market
}

fn moment(random: &mut Random, first: u64, last: u64) -> u64 {
    random.between((first * DAY) as f64, (last * DAY) as f64) as u64 / 60 * 60
}

/// So many minutes of a share of what workers can do.
fn slow(market: &mut Market, from: u64, minutes: u64, share: f64) {
    market.events.push((from, from + minutes * MINUTE, Event::Capacity(share)));
}

fn plateau(market: &mut Market, from: u64, seconds: u64, peaks: f64, noise: f64) {
    market.events.push((from, from + seconds / 60 * 60, Event::Plateau(peaks, noise)));
}

type Make = fn(&mut Random) -> Market;

const KINDS: &[(&str, Make)] = &[
    ("an incident of days, and another after it", |random| {
        let mut market = Market::new(random);
        let (from, seconds) = (moment(random, 13, 20), random.between(2.2, 8.5) * DAY as f64);
        plateau(&mut market, from, seconds as u64, random.between(2.8, 6.0), 0.06);
        let again = from + seconds as u64 + random.between(8.0, 40.0) as u64 * HOUR;
        plateau(&mut market, again, 100 * MINUTE, 3.2, 0.03);
        market
    }),
    ("four outages in a week", |random| {
        let mut market = Market::new(random);
        let hour = random.between(8.0, 19.0);
        for day in [15, 16, 18, 20, 23] {
            let from = day * DAY + ((hour + random.between(-1.0, 1.0)) * 3600.0) as u64 / 60 * 60;
            slow(&mut market, from, random.between(30.0, 150.0) as u64, 0.0);
        }
        market
    }),
    ("outages across midnight", |random| {
        let mut market = Market::new(random);
        for day in [15, 17, random.of(&[18, 19, 21])] {
            let from = day * DAY - random.between(40.0, 200.0) as u64 * MINUTE;
            slow(&mut market, from, random.between(200.0, 500.0) as u64, 0.0);
        }
        market
    }),
    ("an import every second night", |random| nightly(random, |day| day % 2 == 1)),
    ("an import Monday, Wednesday, Friday", |random| {
        nightly(random, |day| [1, 3, 5].contains(&(day % 7)))
    }),
    ("an import at the end of the month", |random| nightly(random, |day| [1, 31].contains(&day))),
    ("a clock change under nightly imports", |random| {
        let mut market = nightly(random, |_| true);
        let second = market.import.unwrap().second;
        let from = 21 * DAY + (second + 12 * HOUR) % DAY;
        market.events.push((from, 99 * DAY, Event::Later(random.of(&[3600, -3600]))));
        market
    }),
    ("a clock change of a busy queue", |random| {
        let mut market = Market::new(random);
        market.events.push((
            22 * DAY + 2 * HOUR,
            99 * DAY,
            Event::Later(random.of(&[3600, -3600])),
        ));
        market
    }),
    ("quiet holidays", |random| {
        let mut market = Market::new(random);
        let from = random.of(&[16, 19, 23]) * DAY;
        let to = from + random.of(&[1, 2, 3]) * DAY;
        market.events.push((from, to, Event::Traffic(random.between(0.05, 0.3))));
        market
    }),
    ("a holiday without its import", |random| {
        let mut market = nightly(random, |day| day % 2 == 0);
        market.events.push((19 * DAY, random.of(&[21, 23, 25]) * DAY, Event::NoImport));
        market
    }),
    ("few payments", payments),
    ("an outage of few payments", |random| {
        let mut market = payments(random);
        let day = random.of(&[14, 21, 27]) * DAY;
        let from = day + (market.humps[0] * 3600.0) as u64 / 60 * 60;
        slow(&mut market, from, random.between(15.0, 60.0) as u64, 0.0);
        market
    }),
    ("an import at a tenth of its speed", |random| {
        let mut market = nightly(random, |_| true);
        market.night = 0.02;
        market.evening = 0.1;
        let import = market.import.unwrap();
        let from = random.of(&[17, 24]) * DAY + import.second / 60 * 60;
        slow(&mut market, from, random.between(10.0, 16.0) as u64 * 60, 0.1);
        market
    }),
    ("never empty, and growing three in a hundred a day", |random| {
        let mut market = Market::new(random);
        market.night = random.between(0.4, 0.8);
        market.noise = 0.03;
        market.growth = 0.03;
        market.rate = random.scale(300.0, 6000.0);
        market
    }),
    ("restarts, and an outage", |random| {
        let mut market = Market::new(random);
        for _ in 0..9 {
            let at = moment(random, 8, 33);
            let seconds = random.between(1.0, 9.0) as u64 * MINUTE;
            market.events.push((at, at + seconds, Event::Away));
        }
        let from = 26 * DAY + (market.humps[1] * 3600.0) as u64 / 60 * 60;
        slow(&mut market, from, 90, 0.0);
        market
    }),
    ("gaps, and a plateau through one", |random| {
        let mut market = Market::new(random);
        let first = moment(random, 11, 14);
        market.events.push((first, first + random.of(&[5, 20, 50]) * HOUR, Event::Away));
        let from = moment(random, 20, 28);
        plateau(&mut market, from, 6 * HOUR, 3.5, 0.04);
        market.events.push((from + 2 * HOUR, from + 3 * HOUR, Event::Away));
        market
    }),
    ("noise around 2.15 times", |random| {
        let mut market = Market::new(random);
        market.noise = 0.02;
        market.weekdays = [1.0; 7];
        let from = random.of(&[16, 22, 29]) * DAY + (market.humps[0] * 3600.0) as u64 / 60 * 60;
        plateau(&mut market, from, random.between(50.0, 150.0) as u64 * MINUTE, 2.15, 0.04);
        market
    }),
    ("a spike of 7 minutes", |random| {
        let mut market = Market::new(random);
        let from = moment(random, 12, 34);
        plateau(&mut market, from, 7 * MINUTE, random.between(3.0, 6.0), 0.0);
        market
    }),
    ("a busy promotion", |random| {
        let mut market = Market::new(random);
        market.capacity = 3.0;
        let day = random.of(&[17, 24, 30]);
        market.events.push((day * DAY, (day + 1) * DAY, Event::Traffic(random.between(1.2, 1.5))));
        market
    }),
    ("ordinary weeks", |random| Market::new(random)),
];

/// Jobs of this many seconds, one after the other, through five weeks; from `hung_from` on the consumer hangs.
fn jobs(random: &mut Random) -> (Vec<Sample>, Vec<(u64, u64)>, Vec<Expected>) {
    let job = random.of(&[9, 18, 33]) * MINUTE;
    let hung_from = random.of(&[25, 30]) * DAY;
    let hung_to = hung_from + 12 * job;
    let mut samples = Vec::new();
    let mut holds = Vec::new();
    let (mut lag, mut busy) = (0.0_f64, None::<(u64, u64)>);
    for at in (0..DAYS * DAY).step_by(60) {
        let hour = at % DAY / HOUR;
        let chance = if (7..20).contains(&hour) { 0.7 } else { 0.2 };
        let arrived = f64::from(u8::from(random.share() < chance * 60.0 / job as f64));
        lag += arrived;
        let hangs = (hung_from..hung_to).contains(&at);
        let mut settled = 0.0;
        if let Some((since, _)) = busy.filter(|(_, until)| at >= *until && !hangs) {
            (settled, busy) = (1.0, None);
            holds.push((at, 1000 * (at - since)));
            lag -= 1.0;
        }
        if busy.is_none() && lag >= 1.0 {
            busy = Some((at, at + (job as f64 * random.between(0.8, 1.15)) as u64));
        }
        if hangs {
            lag = lag.max(1.0);
        }
        samples.push(Sample {
            at,
            lag,
            arrived: Some(arrived),
            settled: Some(settled),
            consumers: Some(1.0),
            oldest_age_seconds: None,
            ..Sample::default()
        });
    }
    let expected = Expected {
        from: hung_from,
        by: hung_from + 6 * job,
        until: hung_to - MINUTE,
        over: hung_to + 8 * job,
        symptom: Some(Symptom::Stalled),
    };
    (samples, holds, vec![expected])
}

/// A queue in which messages wait, without consumers.
fn delay(random: &mut Random) -> Vec<Sample> {
    let mut market = Market::new(random);
    market.latency = 3600.0;
    plateau(&mut market, 20 * DAY, DAY, 10.0, 0.1);
    let mut samples = market.samples(random, true);
    for sample in &mut samples {
        (sample.consumers, sample.settled) = (Some(0.0), Some(0.0));
    }
    samples
}

/// What is due by the kind of a trace, where lag alone does not tell.
fn said(name: &str, market: &Market, mut expected: Vec<Expected>) -> Vec<Expected> {
    if market.growth > 0.0 {
        expected.push(Expected {
            from: 10 * DAY,
            by: 26 * DAY,
            until: 33 * DAY,
            over: 35 * DAY,
            symptom: Some(Symptom::Growing),
        });
    }
    let (begin, end, _) = market.events.last().copied().unwrap_or_default();
    if name.contains("tenth of its speed") {
        expected = vec![Expected {
            from: begin,
            by: begin + 2 * HOUR,
            until: end - HOUR,
            over: end + 8 * HOUR,
            symptom: None,
        }];
    }
    if name.starts_with("gaps") {
        // While the broker is away, nothing fires.
        let whole = expected[0];
        expected = vec![
            Expected { until: begin - MINUTE, ..whole },
            Expected { from: end, by: end + 3 * MINUTE, ..whole },
        ];
    }
    if name.starts_with("noise") {
        let (from, to, _) = market.events[0];
        expected = vec![Expected {
            from,
            by: from + 10 * MINUTE,
            until: to - MINUTE,
            over: to + 6 * MINUTE,
            symptom: None,
        }];
    }
    expected
}

/// So many traces of each kind.
pub(crate) fn all(seeds: std::ops::Range<u64>) -> impl Iterator<Item = Trace> {
    seeds.flat_map(|seed| {
        let markets = KINDS.iter().enumerate().map(move |(kind, (name, make))| {
            let mut random = Random::new(7_000_000 + seed * 1000 + kind as u64);
            let market = make(&mut random);
            let noise = 9_000_000 + seed * 1000 + kind as u64;
            let samples = market.samples(&mut Random::new(noise), true);
            let without = market.samples(&mut Random::new(noise), false);
            let expected = said(name, &market, market.due(&samples, &without));
            Trace {
                name: format!("market: {name}, seed {seed} (peak {:.0})", market.peak()),
                samples,
                judged_from: 10 * DAY,
                expected,
                role: Role::Work,
                holds: vec![],
            }
        });
        let mut random = Random::new(8_000_000 + seed);
        let (samples, holds, expected) = jobs(&mut random);
        let long_jobs = Trace {
            name: format!("market: long jobs, seed {seed}"),
            samples,
            judged_from: 10 * DAY,
            expected,
            role: Role::Work,
            holds,
        };
        let waiting = Trace {
            name: format!("market: a delay queue, seed {seed}"),
            samples: delay(&mut random),
            judged_from: 0,
            expected: vec![],
            role: Role::Delay,
            holds: vec![],
        };
        markets.chain([long_jobs, waiting])
    })
}
