//! Which queues a person should look at first, and why.

use crate::lag::QueueLag;
use crate::metrics::Flow;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_lag::{Assessment, Role, Symptom};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// How old the oldest message of a queue is at least, in ms, before its rates tell something: a burst
/// is no fault.
const OLD_ENOUGH_MS: u64 = 60_000;

/// Why a person should look at a queue; from the least to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// It is never empty, and has become longer for two weeks.
    Growing,
    /// More comes than is done, and what is normal is not known yet.
    FallingBehind,
    /// It takes much longer than usual until it is empty.
    SlowDrain,
    /// It is a dead-letter queue and not empty.
    DeadLetters,
    /// It has messages and no consumers, for not so long that it is an alert.
    Unattended,
    /// An operator has paused it.
    Paused,
    /// Its oldest message is older than is normal.
    TooOld,
    /// Its lag is above what is normal.
    AboveLine,
    /// It has consumers, and none of them has settled a message for much longer than they take.
    Stalled,
    /// It has messages and no consumers, for longer than is usual.
    NoConsumers,
    /// An operator has paused it, and what has piled up since is not normal.
    PausedTooLong,
    /// It can't be served.
    Damaged,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::FallingBehind => "falling_behind",
            Self::SlowDrain => "slow_drain",
            Self::DeadLetters => "dead_letters",
            Self::TooOld => "too_old",
            Self::AboveLine => "above_line",
            Self::Stalled => "stalled",
            Self::Unattended | Self::NoConsumers => "no_consumers",
            Self::Paused | Self::PausedTooLong => "paused",
            Self::Damaged => "damaged",
        }
    }

    const fn level(self) -> u8 {
        match self {
            Self::Growing
            | Self::FallingBehind
            | Self::SlowDrain
            | Self::DeadLetters
            | Self::Unattended
            | Self::Paused => 2,
            Self::TooOld
            | Self::AboveLine
            | Self::Stalled
            | Self::NoConsumers
            | Self::PausedTooLong => 3,
            Self::Damaged => 4,
        }
    }
}

/// How much a queue needs a person. The worst is the greatest: of two with the same level the one with
/// more lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attention {
    reason: Option<Reason>,
    lag: u64,
}

impl Attention {
    /// Of a queue with its rates and what is said of its lag, once it was looked at.
    pub(super) fn of(queue: &QueueReport, flow: &Flow, known: Option<&QueueLag>) -> Self {
        let statistics = &queue.statistics;
        let lag = statistics.ready + statistics.unacked;
        // What is wrong with a queue the watch over its lag says, which alerts follow, too.
        let reason = match known {
            _ if queue.state.is_damaged() => Some(Reason::Damaged),
            // Told at once, and whatever else there is to say follows from it.
            _ if queue.record.pause.is_some() => Some(of_pause(known)),
            Some(known) if lag > 0 => match known.role {
                Role::DeadLetters => Some(Reason::DeadLetters),
                Role::Delay | Role::Reply => None,
                Role::Work => of_lag(&known.assessment)
                    .or_else(|| of_rates(statistics, flow, &known.assessment)),
            },
            _ => None,
        };
        Self { reason, lag }
    }

    /// 4: damaged, 3: not worked off, 2: will not be well by itself, 1: has messages, 0: empty.
    fn level(self) -> u8 {
        self.reason.map_or(u8::from(self.lag > 0), Reason::level)
    }

    pub(super) fn to_json(self) -> Value {
        json!({ "level": self.level(), "reason": self.reason.map(Reason::name) })
    }
}

fn of_pause(known: Option<&QueueLag>) -> Reason {
    let hurts = [Symptom::AboveLine, Symptom::TooOld];
    let is_too_long =
        known.is_some_and(|known| hurts.iter().any(|symptom| known.assessment.has(*symptom)));
    if is_too_long { Reason::PausedTooLong } else { Reason::Paused }
}

/// The worst that the watch over its lag says of a queue.
fn of_lag(assessment: &Assessment) -> Option<Reason> {
    let has = |symptom: &Symptom| assessment.has(*symptom);
    let reasons = Symptom::ALL.into_iter().filter(has).map(|symptom| match symptom {
        Symptom::AboveLine => Reason::AboveLine,
        Symptom::SlowDrain => Reason::SlowDrain,
        Symptom::TooOld => Reason::TooOld,
        Symptom::Stalled => Reason::Stalled,
        Symptom::Growing => Reason::Growing,
        Symptom::NoConsumers => Reason::NoConsumers,
        Symptom::Paused => Reason::Paused,
    });
    reasons.chain(assessment.is_unattended.then_some(Reason::Unattended)).max()
}

/// What rates say of a queue whose history is too young to say what is normal.
fn of_rates(statistics: &QueueStatistics, flow: &Flow, assessment: &Assessment) -> Option<Reason> {
    let is_old = statistics.oldest_age.is_some_and(|age| age >= OLD_ENOUGH_MS);
    let done = flow.rate("ack") + flow.rate("deliver_no_ack");
    let falls_behind = statistics.ready > 0 && flow.rate("publish") > done;
    (assessment.line.is_none() && is_old && falls_behind).then_some(Reason::FallingBehind)
}

impl Ord for Attention {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.level(), self.lag).cmp(&(other.level(), other.lag))
    }
}

impl PartialOrd for Attention {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MESSAGE_COUNTERS;
    use forebay_engine::model::{QueueId, WallClock};
    use forebay_engine::shard::QueueState;
    use forebay_engine::topology::{Pause, QueueRecord, QueueSettings};
    use forebay_lag::{QueueWatch, Sample, Settings};
    use std::sync::Arc;

    fn report(statistics: QueueStatistics) -> QueueReport {
        let record = QueueRecord {
            id: QueueId(1),
            vhost: "/".try_into().unwrap(),
            name: "q".try_into().unwrap(),
            durable: true,
            exclusive_owner: None,
            auto_delete: false,
            arguments: Default::default(),
            settings: QueueSettings::default(),
            policy: None,
            operator_policy: None,
            pause: None,
        };
        QueueReport { record: Arc::new(record), statistics, state: QueueState::default() }
    }

    fn flow(rates: &[(&str, f64)]) -> Flow {
        let mut flow = Flow::default();
        for (name, rate) in rates {
            let at = MESSAGE_COUNTERS.iter().position(|counter| counter.name == *name).unwrap();
            flow.messages[at] = *rate;
        }
        flow
    }

    /// What the watch says after the queue had 9 messages for so long.
    fn watched(role: Role, consumers: f64, seconds: u64) -> QueueLag {
        let mut watch = QueueWatch::default();
        let mut known = QueueLag { role, ..Default::default() };
        for at in (0..=seconds).step_by(5) {
            let sample = Sample {
                at,
                lag: 9.0,
                settled: Some(0.0),
                consumers: Some(consumers),
                ..Default::default()
            };
            known.assessment = watch.observe(&sample, role, &Settings::default());
        }
        known
    }

    fn attention(
        statistics: QueueStatistics,
        rates: &[(&str, f64)],
        known: &QueueLag,
    ) -> Attention {
        Attention::of(&report(statistics), &flow(rates), Some(known))
    }

    #[test]
    fn what_is_worked_off_needs_nobody_and_a_young_queue_may_fall_behind() {
        let known = watched(Role::Work, 1.0, 60);
        let reason = |statistics, rates: &[_]| attention(statistics, rates, &known).reason;
        assert_eq!(reason(QueueStatistics::default(), &[]), None);
        let young =
            QueueStatistics { ready: 9, consumers: 1, oldest_age: Some(999), ..Default::default() };
        assert_eq!(reason(young, &[("publish", 9.0), ("ack", 1.0)]), None, "a burst");
        let old = QueueStatistics { oldest_age: Some(OLD_ENOUGH_MS), ..young };
        assert_eq!(reason(old, &[("publish", 1.0), ("ack", 9.0)]), None, "it catches up");
        assert_eq!(reason(old, &[("publish", 1.0), ("deliver_no_ack", 9.0)]), None);
        let behind = [("publish", 5.0), ("ack", 4.0)];
        assert_eq!(reason(old, &behind), Some(Reason::FallingBehind));
        let mut usual = known;
        usual.assessment.line = Some(100.0);
        assert_eq!(attention(old, &behind, &usual).reason, None, "it is below its line");
    }

    #[test]
    fn a_queue_without_consumers_is_told_at_once_and_worse_when_it_is_an_alert() {
        let waiting = QueueStatistics { ready: 9, ..Default::default() };
        let at_once = attention(waiting, &[], &watched(Role::Work, 0.0, 0));
        let later = attention(waiting, &[], &watched(Role::Work, 0.0, 600));
        let level = |attention: Attention| attention.to_json()["level"].clone();
        assert_eq!((at_once.reason, level(at_once)), (Some(Reason::Unattended), json!(2)));
        assert_eq!((later.reason, level(later)), (Some(Reason::NoConsumers), json!(3)));
        for attention in [at_once, later] {
            assert_eq!(attention.to_json()["reason"], "no_consumers");
        }
    }

    #[test]
    fn what_a_queue_is_for_says_what_is_wrong_and_damage_is_the_worst() {
        let waiting = QueueStatistics { ready: 9, ..Default::default() };
        for (role, expected) in [
            (Role::Work, Some(Reason::NoConsumers)),
            (Role::DeadLetters, Some(Reason::DeadLetters)),
            (Role::Delay, None),
            (Role::Reply, None),
        ] {
            let found = attention(waiting, &[], &watched(role, 0.0, 600));
            assert_eq!(found.reason, expected, "{role:?}");
        }
        let mut damaged = report(waiting);
        let before = Attention::of(&damaged, &Flow::default(), None);
        assert_eq!(before.reason, None, "the watch has not looked yet");
        damaged.state = QueueState::Damaged("a page".into());
        assert_eq!(Attention::of(&damaged, &Flow::default(), None).reason, Some(Reason::Damaged));
    }

    #[test]
    fn a_paused_queue_is_told_at_once_and_is_worse_when_what_piles_up_is_not_normal() {
        let mut paused = report(QueueStatistics::default());
        let pause = Pause { since: WallClock(1), by: "operator".try_into().unwrap() };
        Arc::make_mut(&mut paused.record).pause = Some(pause);
        let told = |known: Option<&QueueLag>| {
            Attention::of(&paused, &Flow::default(), known).to_json().to_string()
        };
        assert_eq!(told(None), r#"{"level":2,"reason":"paused"}"#);
        let mut watch = QueueWatch::default();
        let settings = Settings { age_max_seconds: Some(60.0), ..Settings::default() };
        let old = Sample { lag: 9.0, oldest_age_seconds: Some(61.0), ..Sample::default() };
        let assessment = watch.observe(&old, Role::Work, &settings);
        let known = QueueLag { assessment, ..QueueLag::default() };
        assert_eq!(told(Some(&known)), r#"{"level":3,"reason":"paused"}"#);
    }

    #[test]
    fn the_worst_is_the_greatest() {
        let of = |reason, lag| Attention { reason, lag };
        let sorted = [
            of(None, 0),
            of(None, 5),
            of(Some(Reason::FallingBehind), 7),
            of(Some(Reason::DeadLetters), 8),
            of(Some(Reason::Unattended), 9),
            of(Some(Reason::NoConsumers), 1),
            of(Some(Reason::Stalled), 2),
            of(Some(Reason::Damaged), 0),
        ];
        assert!(sorted.is_sorted());
    }
}
