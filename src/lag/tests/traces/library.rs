//! The traces: five weeks of a queue each, of many kinds, and when there must be an alert and when none.

use super::queue::{Batch, DAY, Event, HOUR, MINUTE, Queue};
use super::random::Random;
use forebay_lag::{Role, Sample, Symptom};

/// An alert that must come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Not earlier than this.
    pub(crate) from: u64,
    /// At the latest now.
    pub(crate) by: u64,
    /// It goes on until then.
    pub(crate) until: u64,
    /// And is over by then.
    pub(crate) over: u64,
    /// By this symptom, or by any.
    pub(crate) symptom: Option<Symptom>,
}

pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
    /// Before this the history is young, and alerts are not judged.
    pub(crate) judged_from: u64,
    pub(crate) expected: Vec<Expected>,
    pub(crate) role: Role,
    /// How long deliveries were held that were settled by a sample: its time, and milliseconds.
    pub(crate) holds: Vec<(u64, u64)>,
}

/// An alert within two steps of the beginning, over some minutes after the end.
fn at_once(from: u64, to: u64) -> Expected {
    Expected {
        from,
        by: from + 2 * MINUTE,
        until: to,
        over: to + 6 * MINUTE,
        symptom: Some(Symptom::AboveLine),
    }
}

type Make = fn(&mut Random, Variant) -> (Queue, Vec<Expected>);

/// Where the parameters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Those that the statistics were made with.
    Known,
    /// Wider ones, that they were not made with.
    HeldOut,
}

impl Variant {
    fn pick<T>(self, known: T, held_out: T) -> T {
        if self == Self::Known { known } else { held_out }
    }
}

fn shop(random: &mut Random, variant: Variant) -> Queue {
    let peak = variant.pick((200.0, 20_000.0), (60.0, 300_000.0));
    let peak = random.scale(peak.0, peak.1);
    let mut queue = Queue::new(random, peak);
    queue.night = random.between(0.05, variant.pick(0.4, 0.7));
    queue.noon =
        random.between(variant.pick(10.0, 7.0) * 3600.0, variant.pick(16.0, 21.0) * 3600.0) as u64;
    queue.weekend = random.between(variant.pick(0.6, 0.3), 1.0);
    queue.noise = random.between(0.02, variant.pick(0.08, 0.12));
    queue.day_noise = random.between(0.02, variant.pick(0.08, 0.12));
    queue
}

fn small(random: &mut Random, variant: Variant) -> Queue {
    let mut queue = shop(random, variant);
    queue.peak = random.between(variant.pick(18.0, 12.0), variant.pick(25.0, 40.0));
    queue
}

fn nightly(random: &mut Random, variant: Variant, days: fn(u64) -> bool) -> Queue {
    let mut queue = shop(random, variant);
    queue.peak = random.scale(20.0, 300.0);
    queue.night = random.between(0.05, 0.3);
    let hours = random.between(variant.pick(2.0, 1.0), variant.pick(5.0, 6.0));
    queue.batch = Some(Batch {
        messages: queue.peak * random.scale(150.0, variant.pick(500.0, 1500.0)),
        start: random.between(0.0, variant.pick(4.0, 23.9) * 3600.0) as u64 / 60 * 60,
        seconds: (hours * 3600.0) as u64,
        days,
        spread: random.between(0.0, variant.pick(0.15, 0.25)),
    });
    queue
}

/// A moment of one of the later days.
fn moment(random: &mut Random, first: u64, last: u64) -> u64 {
    (random.between((first * DAY) as f64, (last * DAY) as f64) as u64) / 60 * 60
}

/// Every second, not for ever: the peak of the day.
fn noon_of(queue: &Queue, day: u64) -> u64 {
    day * DAY + queue.noon
}

fn level(queue: &mut Queue, from: u64, seconds: u64, peaks: f64, noise: f64) -> Expected {
    queue.events.push(Event::Level { from, to: from + seconds, peaks, noise });
    at_once(from, from + seconds)
}

const KINDS: &[(&str, Make)] = &[
    ("ordinary days", |random, variant| (shop(random, variant), vec![])),
    ("spike of 7 minutes", |random, variant| {
        let mut queue = shop(random, variant);
        let from = moment(random, 15, 34);
        let expected =
            level(&mut queue, from, 7 * MINUTE, random.between(variant.pick(5.0, 3.0), 6.0), 0.0);
        (queue, vec![expected])
    }),
    ("16 minutes above the line", |random, variant| {
        let mut queue = shop(random, variant);
        let from = moment(random, 12, 34);
        let expected = level(&mut queue, from, 16 * MINUTE, random.between(2.6, 3.5), 0.02);
        (queue, vec![expected])
    }),
    ("noise around 2.15 times", |random, variant| {
        let mut queue = shop(random, variant);
        queue.noise = 0.02;
        queue.day_noise = 0.02;
        queue.weekend = 1.0;
        let day = random.of(&[15, 20, 25, 30]);
        let from = noon_of(&queue, day);
        let minutes = random.between(40.0, 180.0) as u64;
        let expected = level(&mut queue, from, minutes * MINUTE, 2.15, variant.pick(0.05, 0.07));
        (queue, vec![Expected { by: from + 10 * MINUTE, ..expected }])
    }),
    ("an incident of days", |random, variant| {
        let mut queue = shop(random, variant);
        let from = moment(random, 14, 22);
        let seconds = (random.between(variant.pick(3.0, 2.0), variant.pick(7.8, 9.5)) * DAY as f64)
            as u64
            / 60
            * 60;
        let first = level(&mut queue, from, seconds, random.between(3.0, 8.0), 0.05);
        let again = (first.over + HOUR * random.of(&[12, 20, 30])).min(34 * DAY);
        let second = level(&mut queue, again, 2 * HOUR, 2.8, 0.02);
        (queue, vec![first, second])
    }),
    ("four incidents in a week", |random, variant| {
        let mut queue = shop(random, variant);
        let hour = random.between(0.0, 20.0) as u64 * HOUR;
        let mut expected = Vec::new();
        let days = random.of(&[[14, 15, 17, 18, 21], [15, 16, 17, 18, 22], [20, 22, 24, 26, 28]]);
        for day in days {
            let peaks =
                if day == days[4] { 2.6 } else { random.between(3.0, variant.pick(8.0, 30.0)) };
            let hours = random.between(1.0, variant.pick(4.0, 10.0));
            expected.push(level(
                &mut queue,
                day * DAY + hour,
                (hours * 60.0) as u64 * MINUTE,
                peaks,
                0.02,
            ));
        }
        (queue, expected)
    }),
    ("incidents across midnight", |random, variant| {
        let mut queue = shop(random, variant);
        let mut expected = Vec::new();
        for (day, peaks) in [(16, 6.0), (18, 5.0), (random.of(&[19, 20, 23]), 2.6)] {
            let from = day * DAY - random.between(1.0, 3.0) as u64 * HOUR;
            expected.push(level(&mut queue, from, variant.pick(5, 9) * HOUR, peaks, 0.02));
        }
        (queue, expected)
    }),
    ("a batch every night", |random, variant| (nightly(random, variant, |_| true), vec![])),
    ("a batch every second night", |random, variant| {
        (nightly(random, variant, |day| day % 2 == 0), vec![])
    }),
    ("a batch Monday, Wednesday, Friday", |random, variant| {
        (nightly(random, variant, |day| [0, 2, 4].contains(&(day % 7))), vec![])
    }),
    ("a batch on workdays", |random, variant| {
        (nightly(random, variant, |day| day % 7 < 5), vec![])
    }),
    ("a batch once a week", |random, variant| {
        (nightly(random, variant, |day| day % 7 == 3), vec![])
    }),
    ("a batch once a month", |random, variant| {
        (nightly(random, variant, |day| day == 2 || day == 32), vec![])
    }),
    ("a batch on the first", |random, variant| {
        (nightly(random, variant, |day| day == 3 || day == 34), vec![])
    }),
    ("a batch, and an incident by day", |random, variant| {
        let mut queue = nightly(random, variant, |_| true);
        let batch = queue.batch.unwrap();
        let peaks = 3.0 * batch.messages / queue.peak;
        let from = moment(random, 15, 33);
        let expected = level(&mut queue, from, HOUR, peaks, 0.02);
        (queue, vec![expected])
    }),
    ("a batch at a tenth of its speed", |random, variant| {
        let mut queue = nightly(random, variant, |_| true);
        let batch = queue.batch.unwrap();
        let day = random.of(&[18, 22, 27]);
        let from = day * DAY + batch.start;
        queue.events.push(Event::SlowBatch { from, to: from + 14 * HOUR, factor: 0.1 });
        let by = from + 2 * HOUR;
        let over = from + 14 * HOUR + 3 * batch.seconds + HOUR;
        (queue, vec![Expected { from, by, until: from + 13 * HOUR, over, symptom: None }])
    }),
    ("a clock change", |random, variant| {
        let mut queue = nightly(random, variant, |_| true);
        // When no batch begins or runs.
        let from = 20 * DAY + (queue.batch.unwrap().start + 14 * HOUR) % DAY;
        queue.events.push(Event::Later { from, seconds: random.of(&[3600, -3600]) });
        (queue, vec![])
    }),
    ("a clock change of a busy queue", |random, variant| {
        let mut queue = shop(random, variant);
        queue
            .events
            .push(Event::Later { from: 20 * DAY + 3 * HOUR, seconds: random.of(&[3600, -3600]) });
        (queue, vec![])
    }),
    ("a quiet holiday", |random, variant| {
        let mut queue = shop(random, variant);
        let day = random.of(&[18, 20, 24]);
        let to = (day + random.of(variant.pick(&[1, 1], &[1, 2]))) * DAY;
        queue.events.push(Event::Traffic { from: day * DAY, to, factor: 0.1 });
        (queue, vec![])
    }),
    ("a holiday without its batch", |random, variant| {
        let mut queue = nightly(random, variant, |day| [0, 2, 4].contains(&(day % 7)));
        queue.events.push(Event::NoBatch { from: 20 * DAY, to: random.of(&[22, 24, 27]) * DAY });
        (queue, vec![])
    }),
    ("a busy day", |random, variant| {
        let mut queue = shop(random, variant);
        queue.noise = 0.03;
        queue.day_noise = 0.02;
        let day = random.of(&[18, 24, 25]);
        let factor = random.between(1.3, variant.pick(1.6, 1.7));
        queue.events.push(Event::Traffic { from: day * DAY, to: (day + 1) * DAY, factor });
        (queue, vec![])
    }),
    ("an incident after a busy day", |random, variant| {
        let mut queue = shop(random, variant);
        queue.noise = 0.03;
        queue.day_noise = 0.02;
        queue.events.push(Event::Traffic {
            from: 18 * DAY,
            to: 19 * DAY,
            factor: variant.pick(1.6, 1.5),
        });
        let from = noon_of(&queue, random.of(&[20, 25]));
        let expected = level(&mut queue, from, HOUR, 2.5, 0.02);
        (queue, vec![expected])
    }),
    ("a small queue", |random, variant| (small(random, variant), vec![])),
    ("20 times the peak of a small queue", |random, variant| {
        let mut queue = small(random, variant);
        let from = moment(random, 12, 34);
        let expected = level(
            &mut queue,
            from,
            random.of(&[7, 20, 90]) * MINUTE,
            variant.pick(20.0, 8.0),
            0.02,
        );
        (queue, vec![expected])
    }),
    ("three times the peak of a small queue", |random, variant| {
        let mut queue = small(random, variant);
        let from = moment(random, 12, 34);
        let expected = level(&mut queue, from, 30 * MINUTE, 3.0, 0.02);
        (queue, vec![expected])
    }),
    ("a tiny queue", |random, variant| {
        let mut queue = small(random, variant);
        queue.peak = random.between(0.3, variant.pick(3.0, 5.0));
        queue.noise = 0.3;
        (queue, vec![])
    }),
    ("never empty, and growing 3 % a day", |random, variant| {
        let mut queue = shop(random, variant);
        queue.night = random.between(0.5, 0.9);
        queue.weekend = random.between(0.85, 1.0);
        queue.noise = 0.03;
        queue.day_noise = random.between(0.0, 0.03);
        queue.growth = variant.pick(0.03, 0.025);
        let expected = Expected {
            from: 10 * DAY,
            by: 24 * DAY,
            until: 33 * DAY,
            over: 35 * DAY,
            symptom: Some(Symptom::Growing),
        };
        (queue, vec![expected])
    }),
    ("never empty", |random, variant| {
        let mut queue = shop(random, variant);
        queue.night = random.between(0.5, 0.9);
        (queue, vec![])
    }),
    ("never empty, and a step up", |random, variant| {
        let mut queue = shop(random, variant);
        queue.night = random.between(0.5, 0.9);
        queue.events.push(Event::Traffic { from: 18 * DAY, to: 35 * DAY, factor: 1.3 });
        (queue, vec![])
    }),
    ("no consumers by day", |random, variant| {
        let mut queue = shop(random, variant);
        let from = noon_of(&queue, random.of(&[15, 22, 29])) - random.of(&[1, 2]) * HOUR;
        let to = from + random.of(&[2, 3, 6]) * HOUR;
        queue.events.push(Event::NoConsumers { from, to, recovery: 1800 });
        (
            queue,
            vec![Expected {
                from,
                by: from + 110 * MINUTE,
                until: to,
                over: to + 2 * HOUR,
                symptom: None,
            }],
        )
    }),
    ("a deployment of two minutes", |random, variant| {
        let mut queue = shop(random, variant);
        for _ in 0..6 {
            let from = moment(random, 10, 34);
            queue.events.push(Event::NoConsumers { from, to: from + MINUTE, recovery: 60 });
        }
        (queue, vec![])
    }),
    ("gaps", |random, variant| {
        let mut queue = shop(random, variant);
        for _ in 0..variant.pick(12, 40) {
            let from = moment(random, 1, 34);
            queue
                .events
                .push(Event::Gap { from, to: from + random.scale(2.0, 600.0) as u64 * MINUTE });
        }
        (queue, vec![])
    }),
    ("a gap of days, then an incident", |random, variant| {
        let mut queue = shop(random, variant);
        let from = moment(random, 12, 18);
        let to = from + random.of(variant.pick(&[1, 2], &[3, 5])) * DAY;
        queue.events.push(Event::Gap { from, to });
        let from = to + random.of(&[1, 10, 30]) * HOUR;
        let expected = level(&mut queue, from, HOUR, 3.0, 0.02);
        (queue, vec![expected])
    }),
    ("jobs of 18 minutes", |random, variant| {
        let mut queue = small(random, variant);
        queue.has_rates = true;
        queue.peak = 3.0;
        queue.job = Some(variant.pick(18, 40) * MINUTE);
        (queue, vec![])
    }),
    ("consumers that hang", |random, variant| {
        let mut queue = shop(random, variant);
        queue.has_rates = true;
        let from = noon_of(&queue, random.of(&[15, 22]));
        let to = from + 90 * MINUTE;
        queue.events.push(Event::Hang { from, to });
        (
            queue,
            vec![Expected {
                from,
                by: from + 20 * MINUTE,
                until: to,
                over: to + HOUR,
                symptom: None,
            }],
        )
    }),
    ("quiet weekends", |random, variant| {
        let mut queue = shop(random, variant);
        queue.weekend = random.between(0.0, 0.2);
        (queue, vec![])
    }),
    ("much noise", |random, variant| {
        let mut queue = shop(random, variant);
        queue.noise = variant.pick(0.15, 0.18);
        queue.day_noise = 0.1;
        (queue, vec![])
    }),
    ("an idle queue", |random, variant| {
        let mut queue = shop(random, variant);
        queue.peak = 0.0;
        (queue, vec![])
    }),
    ("a level that stays", |random, variant| {
        let mut queue = shop(random, variant);
        queue.noise = 0.03;
        queue.weekend = 1.0;
        let from = 12 * DAY + 10 * HOUR;
        let expected = level(&mut queue, from, 35 * DAY - from, variant.pick(4.0, 6.0), 0.02);
        // After two weeks it is normal.
        (queue, vec![Expected { until: from + 13 * DAY, over: from + 15 * DAY, ..expected }])
    }),
];

/// So many traces of each kind.
pub(crate) fn all(variant: Variant, seeds: std::ops::Range<u64>) -> impl Iterator<Item = Trace> {
    seeds.flat_map(move |seed| {
        KINDS.iter().enumerate().map(move |(kind, (name, make))| {
            let mut random = Random::new(seed * 1000 + kind as u64);
            let (queue, expected) = make(&mut random, variant);
            let samples = queue.samples(&mut random);
            let about = format!("peak {:.0}, rates {}", queue.peak, queue.has_rates);
            Trace {
                name: format!("{name}, seed {seed} ({about})"),
                samples,
                judged_from: 10 * DAY,
                expected,
                role: Role::Work,
                holds: vec![],
            }
        })
    })
}
