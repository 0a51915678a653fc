//! What holds for any history.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has failed"
)]

use forebay_lag::{Assessment, History, HoldTimes, QueueWatch, Role, Sample, Settings, Symptom};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const STEP: u64 = 300;

/// A queue with a peak by day; what is `extra` comes on top.
fn lag(at: u64, peak: f64, noise: &[f64], extra: impl Fn(u64) -> f64) -> f64 {
    let angle = (at % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let day = noise[(at / DAY) as usize % noise.len()];
    (peak * (0.6 - 0.4 * angle.cos()) * (1.0 + 0.1 * day) + extra(at)).round()
}

fn observe(watch: &mut QueueWatch, at: u64, lag: f64) -> Assessment {
    let sample = Sample { at, lag, ..Sample::default() };
    watch.observe(&sample, Role::Work, &Settings::default())
}

fn watched(
    days: std::ops::Range<u64>,
    watch: &mut QueueWatch,
    of: impl Fn(u64) -> f64,
) -> Assessment {
    let mut last = Assessment::default();
    for at in (days.start * DAY..days.end * DAY).step_by(STEP as usize) {
        last = observe(watch, at, of(at));
    }
    last
}

fn noise() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0, 7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_lag_never_fires_less(
        peak in 1.0..100_000.0, noise in noise(), at in 0..DAY, less in 0.0..5.0, more in 0.0..5.0,
    ) {
        let mut watch = QueueWatch::default();
        watched(0..12, &mut watch, |at| lag(at, peak, &noise, |_| 0.0));
        let at = 12 * DAY + at;
        let lower = observe(&mut watch.clone(), at, peak * less);
        let higher = observe(&mut watch, at, peak * (less + more));
        prop_assert!(!lower.has(Symptom::AboveLine) || higher.has(Symptom::AboveLine));
        prop_assert_eq!(lower.line, higher.line);
    }

    /// But by what the fewer days that are left come to.
    #[test]
    fn an_incident_never_raises_the_line(
        peak in 10.0..100_000.0, noise in noise(), begin in 10 * DAY..17 * DAY, hours in 1_u64..100, height in 3.0..50.0, later in 0..DAY,
    ) {
        let incident = |at: u64| {
            if (begin..begin + hours * 3600).contains(&at) { peak * height } else { 0.0 }
        };
        let (mut with, mut without) = (QueueWatch::default(), QueueWatch::default());
        watched(0..22, &mut with, |at| lag(at, peak, &noise, incident));
        watched(0..22, &mut without, |at| lag(at, peak, &noise, |_| 0.0));
        let at = 22 * DAY + later;
        let (with, without) = (observe(&mut with, at, 0.0).line.unwrap(), observe(&mut without, at, 0.0).line.unwrap());
        prop_assert!(with <= 1.05 * without + 1.0, "{with} instead of {without}");
    }

    #[test]
    fn a_history_that_was_kept_elsewhere_says_the_same(peak in 1.0..100_000.0, noise in noise(), spike in 1.0..20.0) {
        let of = |at| lag(at, peak, &noise, |at| if at / 3600 == 250 { spike * peak } else { 0.0 });
        let mut watch = QueueWatch::default();
        watched(0..15, &mut watch, of);
        let mut history = History::default();
        for day in watch.history().changed() {
            history.restore(day, &watch.history().encoded(day).unwrap()).unwrap();
        }
        let mut restored = QueueWatch::new(history);
        let (kept, now) = (observe(&mut restored, 15 * DAY, 1.0), observe(&mut watch, 15 * DAY, 1.0));
        prop_assert_eq!((kept.line, kept.normal_peak, kept.confidence), (now.line, now.normal_peak, now.confidence));
    }
}

fn flat(_: u64) -> f64 {
    100.0
}

#[test]
fn a_clock_that_jumps_and_comes_back_neither_loses_nor_bends_the_history() {
    let mut watch = QueueWatch::default();
    watched(1000..1012, &mut watch, flat);
    let line = observe(&mut watch, 1012 * DAY, 100.0).line;
    assert_eq!(line, Some(200.0));
    for wrong in [9_000, 500, 1_000_000, 0] {
        observe(&mut watch, wrong * DAY, 100.0);
        assert_eq!(observe(&mut watch, 1012 * DAY + 60, 100.0).line, line, "after day {wrong}");
    }
}

#[test]
fn an_operator_makes_a_level_normal_at_once_and_it_stays() {
    let mut watch = QueueWatch::default();
    watched(0..12, &mut watch, flat);
    let high = |_: u64| 900.0;
    assert!(watched(12..13, &mut watch, high).has(Symptom::AboveLine));
    let sample = Sample { at: 13 * DAY, lag: 900.0, ..Sample::default() };
    watch.accept_normal(&sample, &Settings::default());
    for day in 13..40 {
        let now = watched(day..day + 1, &mut watch, high);
        assert!(!now.has_any(), "day {day}");
        let higher = observe(&mut watch.clone(), (day + 1) * DAY, 1900.0);
        assert!(higher.has(Symptom::AboveLine), "day {day}");
    }
}

#[test]
fn a_delay_queue_and_dead_letters_have_no_symptoms() {
    for role in [Role::Delay, Role::DeadLetters, Role::Reply] {
        let mut watch = QueueWatch::default();
        watched(0..12, &mut watch, flat);
        let sample = Sample {
            at: 12 * DAY,
            lag: 1e6,
            oldest_age_seconds: Some(1e6),
            consumers: Some(0.0),
            ..Sample::default()
        };
        assert!(!watch.observe(&sample, role, &Settings::default()).has_any());
    }
}

#[test]
fn an_age_that_was_allowed_is_the_line() {
    let settings = Settings { age_max_seconds: Some(60.0), ..Settings::default() };
    let mut watch = QueueWatch::default();
    let now = |watch: &mut QueueWatch, age| {
        let sample = Sample { at: 5, lag: 1.0, oldest_age_seconds: Some(age), ..Sample::default() };
        watch.observe(&sample, Role::Work, &settings).has(Symptom::TooOld)
    };
    assert!(!now(&mut watch, 60.0));
    assert!(now(&mut watch, 61.0));
}

/// A queue with one consumer, whose jobs take so many seconds, through some days; then it settles nothing for `pause` seconds.
fn hung(days: u64, job: u64, pause: u64) -> Assessment {
    let mut watch = QueueWatch::default();
    let mut held = HoldTimes::default();
    held.observe(job * 1000);
    let sample = |at: u64, settled: f64| Sample {
        at,
        lag: 3.0,
        settled: Some(settled),
        consumers: Some(1.0),
        ..Sample::default()
    };
    let step = 30;
    for at in (0..days * DAY).step_by(step) {
        let is_done = (at / job) != ((at + step as u64) / job);
        if is_done {
            watch.take_hold_times(&held);
        }
        let now = watch.observe(
            &sample(at, f64::from(u8::from(is_done))),
            Role::Work,
            &Settings::default(),
        );
        assert!(!now.has(Symptom::Stalled), "at {at} of jobs of {job} s: {now:?}");
    }
    let mut last = Assessment::default();
    for at in (days * DAY..=days * DAY + pause).step_by(step) {
        last = watch.observe(&sample(at, 0.0), Role::Work, &Settings::default());
    }
    last
}

#[test]
fn a_stall_is_three_service_times_of_the_queue_itself() {
    for job in [120, 600, 1080, 3600] {
        let service = hung(5, job, 60).service_seconds.unwrap();
        assert!((job as f64..1.5 * job as f64).contains(&service), "{service} of {job}");
        assert!(!hung(5, job, 3 * job - 60).has(Symptom::Stalled), "{job}");
        assert!(hung(5, job, 5 * job).has(Symptom::Stalled), "{job}");
    }
    // Of quick jobs a minute is enough; of a young queue five.
    assert!(hung(5, 30, 240).has(Symptom::Stalled));
    assert!(!hung(1, 30, 270).has(Symptom::Stalled));
    assert!(hung(1, 30, 400).has(Symptom::Stalled));
}

#[test]
fn service_times_outlive_the_process() {
    let mut watch = QueueWatch::default();
    let mut held = HoldTimes::default();
    held.observe(5000);
    let mut at = 0;
    while at < 5 * DAY {
        watch.take_hold_times(&held);
        observe(&mut watch, at, 10.0);
        at += 300;
    }
    let mut history = History::default();
    for day in 0..5 {
        history.restore(day, &watch.history().encoded(day).unwrap()).unwrap();
    }
    let mut again = QueueWatch::new(history);
    let now = observe(&mut again, at, 10.0).service_seconds;
    assert_eq!(now, observe(&mut watch, at, 10.0).service_seconds);
    assert!(now.is_some_and(|seconds| (5.0..8.0).contains(&seconds)), "{now:?}");
}

#[test]
fn a_paused_queue_is_told_as_paused_and_is_no_stall_before_and_after() {
    let (mut watch, mut held) = (QueueWatch::default(), HoldTimes::default());
    held.observe(30_000);
    let mut at = 0;
    let mut observe = |is_paused, settled, consumers| {
        let sample = Sample {
            at,
            lag: 3.0,
            settled: Some(settled),
            consumers: Some(consumers),
            is_paused,
            ..Sample::default()
        };
        at += 30;
        watch.take_hold_times(&held);
        watch.observe(&sample, Role::Work, &Settings::default())
    };
    for _ in 0..5 * DAY / 30 {
        assert!(!observe(false, 1.0, 1.0).has_any());
    }
    for consumers in [1.0, 0.0] {
        for _ in 0..DAY / 30 {
            let now = observe(true, 0.0, consumers);
            let symptoms: Vec<_> = Symptom::ALL.into_iter().filter(|is| now.has(*is)).collect();
            assert_eq!(symptoms, [Symptom::Paused]);
            assert!(!now.is_unattended && now.drain_seconds.is_none());
        }
    }
    // Since it was resumed nobody has had the time to settle anything.
    assert!(!observe(false, 0.0, 1.0).has_any());
    assert!(!observe(false, 0.0, 1.0).has_any());
    for _ in 0..10 {
        observe(false, 0.0, 1.0);
    }
    assert!(observe(false, 0.0, 1.0).has(Symptom::Stalled), "it does not go on by itself");
}

#[test]
fn what_piles_up_while_a_queue_is_paused_is_told_and_does_not_teach() {
    let mut watch = QueueWatch::default();
    watched(0..12, &mut watch, flat);
    let paused = |at| Sample { at, lag: 900.0, is_paused: true, ..Sample::default() };
    for at in (12 * DAY..15 * DAY).step_by(STEP as usize) {
        let now = watch.observe(&paused(at), Role::Work, &Settings::default());
        assert!(now.has(Symptom::Paused) && now.has(Symptom::AboveLine));
    }
    let now = watched(15..20, &mut watch, flat);
    assert_eq!((now.line, now.has_any()), (Some(200.0), false));
}

#[test]
fn whatever_a_queue_is_for_a_pause_of_it_is_told() {
    for role in Role::ALL {
        let sample = Sample { is_paused: true, ..Sample::default() };
        let now = QueueWatch::default().observe(&sample, role, &Settings::default());
        assert!(now.has(Symptom::Paused), "{role:?}");
    }
}
