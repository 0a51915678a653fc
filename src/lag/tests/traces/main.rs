//! Whether alerts come when they must, and only then, on five weeks of many queues.
//!
//! `FOREBAY_LAG_TRACES=DIRECTORY` writes the traces there, as files for `forebay lag replay`.
//! `FOREBAY_LAG_SEEDS=100..200 cargo test -p forebay-lag --test traces held_out -- --nocapture` tries other ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has failed"
)]

mod judge;
mod library;
mod market;
mod queue;
mod random;

use forebay_lag::{QueueWatch, Role, Settings};
use library::Variant;

/// Writes a trace as a file for `forebay lag replay`, where `FOREBAY_LAG_TRACES` names a directory.
fn write(trace: &library::Trace) {
    let Ok(directory) = std::env::var("FOREBAY_LAG_TRACES") else { return };
    let name: String = trace
        .name
        .chars()
        .map(|letter| if letter.is_alphanumeric() { letter } else { '-' })
        .collect();
    let mut text = "time,lag,arrived,settled,consumers\n".to_owned();
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let mut before = 0;
    for sample in &trace.samples {
        let per_second = |messages: Option<f64>| {
            messages.map(|messages| messages / (sample.at - before).max(1) as f64)
        };
        text += &format!(
            "{},{},{},{},{}\n",
            sample.at,
            sample.lag,
            optional(per_second(sample.arrived)),
            optional(per_second(sample.settled)),
            optional(sample.consumers)
        );
        before = sample.at;
    }
    std::fs::write(format!("{directory}/{name}.csv"), text).unwrap();
}

/// How many of the traces came out wrong, of how many.
fn wrong(traces: impl Iterator<Item = library::Trace>) -> (usize, usize) {
    let mut wrong = 0;
    let mut count = 0;
    for trace in traces {
        count += 1;
        write(&trace);
        let faults = judge::faults(&trace);
        if !faults.is_empty() {
            wrong += 1;
            println!("{}", trace.name);
            for fault in faults.iter().take(4) {
                println!("    {fault}");
            }
        }
    }
    println!("{wrong} of {count} wrong");
    (wrong, count)
}

#[test]
fn alerts_come_when_they_must_and_only_then() {
    let (wrong, count) = wrong(library::all(Variant::Known, 1..3));
    assert!(count >= 60);
    assert_eq!(wrong, 0);
}

#[test]
fn and_on_traces_that_the_statistics_were_not_made_with() {
    let (wrong, count) = wrong(library::all(Variant::HeldOut, seeds("100..102")));
    assert!(wrong * 35 <= count, "at most 2 of 70 may be wrong");
}

#[test]
fn and_on_traces_of_another_make() {
    let (wrong, count) = wrong(market::all(seeds("1..3")));
    assert!(count >= 40);
    assert!(wrong * 35 <= count, "at most 2 of 70 may be wrong");
}

fn seeds(unsaid: &str) -> std::ops::Range<u64> {
    let seeds = std::env::var("FOREBAY_LAG_SEEDS").unwrap_or(unsaid.to_owned());
    let (first, last) = seeds.split_once("..").expect("FOREBAY_LAG_SEEDS is FIRST..END");
    first.parse().unwrap()..last.parse().unwrap()
}

#[test]
fn a_history_takes_some_kib() {
    let mut sizes = Vec::new();
    for trace in library::all(Variant::Known, 1..2) {
        let mut watch = QueueWatch::default();
        for sample in &trace.samples {
            watch.observe(sample, Role::Work, &Settings::default());
        }
        let days = (0..40).filter_map(|day| watch.history().encoded(day));
        let size: usize = days.map(|day| day.len()).sum();
        assert!(size <= 10 * 1024, "{}: {size} bytes", trace.name);
        sizes.push(size);
    }
    println!("{} bytes on average", sizes.iter().sum::<usize>() / sizes.len());
}
