//! What the watch over the lag of many queues costs: a look at all of them, a new quarter of an hour, and what is written.
//!
//! `cargo bench --bench lag` tells it for 10,000 queues; `-- --queues 1000` for others. `-- --write DIRECTORY` leaves the
//! histories in a data directory, for queues with the first so many numbers: `benches/lag_cost/run` measures a broker with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that meets what it did not expect has failed"
)]

use forebay_engine::model::QueueId;
use forebay_lag::{HoldTimes, QueueWatch, Role, Sample, Settings};
use forebay_store::limits::LAG_DAYS_MAX;
use forebay_store::{LagDay, LagHistories};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
const QUARTER: u64 = 900;
const DAYS: u64 = 35;
/// Queues that differ; the others are copies of them.
const KINDS: u64 = 50;
/// Seconds between two looks of a broker, and between two of its writes.
const LOOK_SECONDS: f64 = 5.0;
const WRITE_SECONDS: f64 = 300.0;

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

/// A queue of a shop at a moment: two busy hours, another level each day, a batch at night for some, noise.
fn sample(kind: u64, at: u64) -> Sample {
    let random = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) >> 11) as f64 / (1_u64 << 42) as f64 / 2048.0
    };
    let hour = (at % DAY) as f64 / 3600.0;
    let busy =
        (-((hour - 11.0) / 3.0).powi(2)).exp() + 0.7 * (-((hour - 19.0) / 2.0).powi(2)).exp();
    let peak = 30.0 * 1.15_f64.powi(kind as i32);
    let noise = 0.8 + 0.4 * random(kind * 1_000_003 + at / 60);
    let batch =
        if kind.is_multiple_of(5) && (2.0..3.0).contains(&hour) { 3.0 * (3.0 - hour) } else { 0.0 };
    let lag = peak * (0.1 + busy + batch) * noise;
    Sample {
        at,
        lag: lag.round(),
        oldest_age_seconds: Some(5.0 + 60.0 * busy * noise),
        arrived: Some((lag / 4.0).round()),
        settled: Some((lag / 4.0).round()),
        consumers: Some(4.0),
        ..Sample::default()
    }
}

fn held(kind: u64) -> HoldTimes {
    let mut held = HoldTimes::default();
    (0..20).for_each(|n| held.observe(10 * (kind + 1) * (n + 1)));
    held
}

fn learnt(kind: u64, end: u64) -> QueueWatch {
    let mut watch = QueueWatch::default();
    for at in (end - DAYS * DAY..end).step_by(120) {
        watch.take_hold_times(&held(kind));
        watch.observe(&sample(kind, at), Role::Work, &Settings::default());
    }
    watch
}

fn look(watches: &mut [QueueWatch], at: u64) -> Duration {
    let held: Vec<HoldTimes> = (0..KINDS).map(held).collect();
    let samples: Vec<Sample> = (0..KINDS).map(|kind| sample(kind, at)).collect();
    let begin = Instant::now();
    let kinds = held.iter().zip(&samples).cycle();
    for (watch, (held, sample)) in watches.iter_mut().zip(kinds) {
        watch.take_hold_times(held);
        std::hint::black_box(watch.observe(sample, Role::Work, &Settings::default()));
    }
    begin.elapsed()
}

fn main() {
    let queues: usize = option("--queues").map_or(10_000, |text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let end = now / QUARTER * QUARTER;
    let kinds: Vec<QueueWatch> = (0..KINDS).map(|kind| learnt(kind, end)).collect();
    let mut watches: Vec<QueueWatch> = kinds.iter().cycle().take(queues).cloned().collect();
    let memory: usize = watches.iter().map(|watch| watch.history().size_bytes()).sum();
    // The first look is one at a new quarter, too, and touches memory first.
    look(&mut watches, end + 5);
    let looks: Vec<Duration> = (2..12).map(|n| look(&mut watches, end + 5 * n)).collect();
    let a_look = looks.iter().sum::<Duration>() / 10;
    let quarter = look(&mut watches, end + QUARTER + 5).saturating_sub(a_look);
    let directory = option("--write");
    let place = tempfile::tempdir().unwrap();
    let path = directory.as_deref().map_or(place.path(), Path::new);
    let histories = LagHistories::of(path);
    let first = end / DAY - DAYS;
    for day in first..=end / DAY {
        write(&histories, &watches, day);
    }
    let begin = Instant::now();
    write(&histories, &watches, end / DAY);
    let a_write = begin.elapsed();
    let bytes: u64 = std::fs::read_dir(path.join("lag"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    let share = |time: Duration, every: f64| 100.0 * time.as_secs_f64() / every;
    println!("{queues} queues with {DAYS} days of history");
    println!("a look: {a_look:?}, {:.2} % of a core at one in 5 s", share(a_look, LOOK_SECONDS));
    println!("a new quarter of an hour: {quarter:?}, {:.2} %", share(quarter, QUARTER as f64));
    println!(
        "a write of the day: {a_write:?}, {:.2} % at one in 5 min",
        share(a_write, WRITE_SECONDS)
    );
    println!(
        "{:.1} MiB on the disk, {:.1} MiB of memory for histories",
        bytes as f64 / 1_048_576.0,
        memory as f64 / 1_048_576.0
    );
}

fn write(histories: &LagHistories, watches: &[QueueWatch], day: u64) {
    let days = watches.iter().zip(0..).filter_map(|(watch, queue)| {
        let encoded = watch.history().encoded(day)?;
        Some(LagDay { queue: QueueId(queue), encoded })
    });
    histories.write(day, days, LAG_DAYS_MAX).unwrap();
}
