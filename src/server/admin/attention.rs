//! Which queues a person should look at first, and why.

use crate::lag::QueueLag;
use crate::metrics::Flow;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_engine::topology::QueueRecord;
use forebay_lag::{Role, Symptom};
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
    /// More comes than is done.
    FallingBehind,
    /// It takes much longer than usual until it is empty.
    SlowDrain,
    /// It is a dead-letter queue and not empty.
    DeadLetters,
    /// Its oldest message is older than is normal.
    TooOld,
    /// Its lag is above what is normal.
    AboveLine,
    /// It has consumers, and none of them acknowledges.
    Stalled,
    /// It has messages and nobody to take them.
    NoConsumers,
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
            Self::NoConsumers => "no_consumers",
            Self::Damaged => "damaged",
        }
    }

    const fn level(self) -> u8 {
        match self {
            Self::Growing | Self::FallingBehind | Self::SlowDrain | Self::DeadLetters => 2,
            Self::TooOld | Self::AboveLine | Self::Stalled | Self::NoConsumers => 3,
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
        let role = known.map_or_else(|| role_of(&queue.record), |known| known.role);
        let reason = match role {
            _ if queue.state.is_damaged() => Some(Reason::Damaged),
            _ if lag == 0 => None,
            Role::DeadLetters => Some(Reason::DeadLetters),
            // Nobody takes their messages, on purpose.
            Role::Delay | Role::Reply => None,
            Role::Work if statistics.consumers == 0 => Some(Reason::NoConsumers),
            Role::Work => of_lag(known).max(of_rates(statistics, flow)),
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

/// As far as name and settings tell, before the first look.
fn role_of(queue: &QueueRecord) -> Role {
    let settings = &queue.settings;
    if queue.name.as_bytes().ends_with(b".dlq") {
        Role::DeadLetters
    } else if settings.message_ttl.is_some() && settings.dead_letter_exchange.is_some() {
        Role::Delay
    } else {
        Role::Work
    }
}

/// What the history of a queue says of it now; the worst.
fn of_lag(known: Option<&QueueLag>) -> Option<Reason> {
    let assessment = known.map(|known| known.assessment)?;
    let has = |symptom: &Symptom| assessment.has(*symptom);
    let reasons = Symptom::ALL.into_iter().filter(has).map(|symptom| match symptom {
        Symptom::AboveLine => Reason::AboveLine,
        Symptom::SlowDrain => Reason::SlowDrain,
        Symptom::TooOld => Reason::TooOld,
        Symptom::Stalled => Reason::Stalled,
        Symptom::Growing => Reason::Growing,
        Symptom::NoConsumers => Reason::NoConsumers,
    });
    reasons.max()
}

/// What the rates of a queue say that has messages and consumers.
fn of_rates(statistics: &QueueStatistics, flow: &Flow) -> Option<Reason> {
    let is_old = statistics.oldest_age.is_some_and(|age| age >= OLD_ENOUGH_MS);
    let done = flow.rate("ack") + flow.rate("deliver_no_ack");
    if !is_old {
        None
    } else if done == 0.0 && flow.rate("deliver_get") == 0.0 {
        Some(Reason::Stalled)
    } else if statistics.ready > 0 && flow.rate("publish") > done {
        Some(Reason::FallingBehind)
    } else {
        None
    }
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
    use forebay_engine::model::QueueId;
    use forebay_engine::shard::QueueState;
    use forebay_engine::topology::QueueSettings;
    use std::sync::Arc;

    fn report(name: &str, statistics: QueueStatistics, settings: QueueSettings) -> QueueReport {
        let record = QueueRecord {
            id: QueueId(1),
            vhost: "/".try_into().unwrap(),
            name: name.try_into().unwrap(),
            durable: true,
            exclusive_owner: None,
            auto_delete: false,
            arguments: Default::default(),
            settings,
            policy: None,
            operator_policy: None,
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

    fn reason(name: &str, statistics: QueueStatistics, rates: &[(&str, f64)]) -> Option<Reason> {
        Attention::of(&report(name, statistics, QueueSettings::default()), &flow(rates), None)
            .reason
    }

    #[test]
    fn what_is_worked_off_needs_nobody() {
        let empty = QueueStatistics::default();
        assert_eq!(reason("q", empty, &[]), None);
        assert_eq!(reason("q.dlq", empty, &[]), None);
        let young =
            QueueStatistics { ready: 9, consumers: 1, oldest_age: Some(999), ..Default::default() };
        assert_eq!(reason("q", young, &[("publish", 9.0), ("ack", 1.0)]), None, "a burst");
        let old = QueueStatistics { oldest_age: Some(OLD_ENOUGH_MS), ..young };
        assert_eq!(reason("q", old, &[("publish", 1.0), ("ack", 9.0)]), None, "it catches up");
        assert_eq!(reason("q", old, &[("publish", 1.0), ("deliver_no_ack", 9.0)]), None);
    }

    #[test]
    fn each_reason_has_its_signs() {
        let waiting = QueueStatistics { ready: 9, ..Default::default() };
        assert_eq!(reason("q", waiting, &[]), Some(Reason::NoConsumers));
        assert_eq!(reason("q.dlq", waiting, &[]), Some(Reason::DeadLetters));
        let old = QueueStatistics { consumers: 1, oldest_age: Some(OLD_ENOUGH_MS), ..waiting };
        assert_eq!(reason("q", old, &[("publish", 5.0)]), Some(Reason::Stalled));
        assert_eq!(
            reason("q", old, &[("publish", 5.0), ("ack", 4.0)]),
            Some(Reason::FallingBehind)
        );
        let mut damaged = report("q", QueueStatistics::default(), QueueSettings::default());
        damaged.state = QueueState::Damaged("a page".into());
        assert_eq!(Attention::of(&damaged, &Flow::default(), None).reason, Some(Reason::Damaged));
    }

    #[test]
    fn a_queue_that_delays_messages_has_no_consumers_on_purpose() {
        let waiting = QueueStatistics { ready: 9, ..Default::default() };
        let exchange = Some("retry".try_into().unwrap());
        let ttl = QueueSettings { message_ttl: Some(1000), ..Default::default() };
        let delay = QueueSettings { dead_letter_exchange: exchange, ..ttl.clone() };
        let reason = |settings| {
            Attention::of(&report("q", waiting, settings), &Flow::default(), None).reason
        };
        assert_eq!(reason(delay), None);
        assert_eq!(reason(ttl), Some(Reason::NoConsumers), "they are lost");
    }

    #[test]
    fn what_a_queue_is_for_says_what_is_wrong() {
        let waiting = QueueStatistics { ready: 9, ..Default::default() };
        let queue = report("parking", waiting, QueueSettings::default());
        for (role, expected) in [
            (Role::Work, Some(Reason::NoConsumers)),
            (Role::DeadLetters, Some(Reason::DeadLetters)),
            (Role::Delay, None),
            (Role::Reply, None),
        ] {
            let known = QueueLag { role, ..Default::default() };
            let found = Attention::of(&queue, &Flow::default(), Some(&known));
            assert_eq!(found.reason, expected, "{role:?}");
        }
    }

    #[test]
    fn the_worst_is_the_greatest() {
        let of = |reason, lag| Attention { reason, lag };
        let sorted = [
            of(None, 0),
            of(None, 5),
            of(Some(Reason::FallingBehind), 7),
            of(Some(Reason::DeadLetters), 8),
            of(Some(Reason::NoConsumers), 1),
            of(Some(Reason::Stalled), 2),
            of(Some(Reason::Damaged), 0),
        ];
        assert!(sorted.is_sorted());
    }
}
