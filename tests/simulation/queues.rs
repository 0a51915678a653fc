//! The queues of a run: each kind of queue once, some exactly predictable, some not.

use crate::dice::pick;
use crate::keys::Window;
use crate::plan::{Feature, Plan};
use crate::random::Random;
use forebay_wire::{FieldTable, FieldValue, ShortStr};

/// What every run publishes to besides: bound to several queues.
pub(crate) const FANOUT: &str = "fan";

/// The queue that clients delete, if any.
pub(crate) const DELETABLE: &str = "doomed";

/// The header that names the group of a message.
pub(crate) const GROUP: &str = "customer";

/// A queue and what may be expected of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    pub(crate) durable: bool,
    pub(crate) arguments: FieldTable,
    /// Nothing leaves but by clients: which message is next can be told exactly.
    pub(crate) exact: bool,
    /// Messages may go without a trace, as its arguments say.
    pub(crate) drops: bool,
    /// Newcomers are refused when there is no room.
    pub(crate) refuses: bool,
    /// Only dead letters come here: nobody publishes to it.
    pub(crate) is_grave: bool,
    /// How long a consumer may hold a message, in ms, unless it says so itself.
    pub(crate) consumer_timeout: u64,
    /// Consumers may hold its messages for a short time only. One of them may be credited with the
    /// settlement of another on the same channel that was given the same message before.
    pub(crate) is_hasty: bool,
    pub(crate) priority_max: u8,
    /// Bound to [`FANOUT`].
    pub(crate) fanned: bool,
    /// After so many failures a message is a dead letter.
    pub(crate) delivery_limit: Option<u32>,
    /// What came back waits.
    pub(crate) retry: Option<Retry>,
    /// Of each group one message is delivered at a time.
    pub(crate) grouped: bool,
    /// Clients publish delayed messages to it.
    pub(crate) takes_delays: bool,
    /// Duplicates are dropped.
    pub(crate) window: Option<Window>,
    /// Deliveries that are not settled, over all consumers.
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) rate: Option<Rate>,
}

/// How long a message waits that came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) kind: &'static str,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) multiplier: Option<u64>,
}

/// How many messages may be delivered in a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// In a second.
    pub(crate) limit: u64,
    /// At once.
    pub(crate) burst: u64,
}

/// The longest lease of a consumer, in ms.
pub(crate) const LEASE_MS_MAX: u64 = 2_000;

const HALF_AN_HOUR: u64 = 30 * 60 * 1000;
/// Of queues that say nothing of it.
const DELIVERY_LIMIT_DEFAULT: u32 = 3;

type Argument = (&'static str, FieldValue);

fn queue(name: &'static str, arguments: &[Argument]) -> Profile {
    let unlimited = arguments.iter().any(|(name, _)| *name == "x-delivery-limit");
    let arguments = arguments.iter().cloned();
    Profile {
        name,
        durable: true,
        arguments: arguments.map(|(name, value)| (ShortStr::from_static(name), value)).collect(),
        consumer_timeout: HALF_AN_HOUR,
        delivery_limit: (!unlimited).then_some(DELIVERY_LIMIT_DEFAULT),
        ..Profile::default()
    }
}

fn text(text: &'static str) -> FieldValue {
    FieldValue::LongStr(bytes::Bytes::from_static(text.as_bytes()))
}

fn number(value: u64) -> FieldValue {
    FieldValue::I64(i64::try_from(value).unwrap())
}

impl Profile {
    fn with(mut self, arguments: &[Argument]) -> Self {
        for (name, value) in arguments {
            self.arguments.insert(ShortStr::from_static(name), value.clone());
        }
        self
    }

    fn with_retries(self, retry: Retry) -> Self {
        let Retry { kind, min, max, multiplier } = retry;
        let waits = self.with(&[
            ("x-delayed-retry-type", text(kind)),
            ("x-delayed-retry-min", number(min)),
            ("x-delayed-retry-max", number(max)),
        ]);
        let waits = match multiplier {
            Some(by) => waits.with(&[("x-delayed-retry-multiplier", number(by))]),
            None => waits,
        };
        Self { retry: Some(retry), ..waits }
    }

    fn with_groups(self) -> Self {
        Self { grouped: true, ..self.with(&[("x-message-group", text(GROUP))]) }
    }

    fn with_window(self, length: u64, size: Option<usize>) -> Self {
        let window = self.with(&[("x-dedup-window", number(length))]);
        let window = match size {
            Some(size) => window.with(&[("x-dedup-size", number(size as u64))]),
            None => window,
        };
        let size = size.unwrap_or(1_000_000);
        Self { window: Some(Window { length, size }), ..window }
    }

    fn with_max_in_flight(self, most: usize) -> Self {
        let limited = self.with(&[("x-max-in-flight", number(most as u64))]);
        Self { max_in_flight: Some(most), ..limited }
    }

    fn with_rate(self, limit: u64, burst: u64) -> Self {
        let limited = [("x-rate-limit", number(limit)), ("x-rate-burst", number(burst))];
        Self { rate: Some(Rate { limit, burst }), ..self.with(&limited) }
    }
}

/// The queues of a run.
pub(crate) fn profiles(plan: &Plan, random: &mut Random) -> Vec<Profile> {
    let number = |value: i32| FieldValue::I32(value);
    let unlimited = ("x-delivery-limit", number(-1));
    let to_graves =
        [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("graves"))];
    let [to_nothing, to_key] = to_graves.clone();
    let overflow = *pick(random, &["drop-head", "reject-publish", "reject-publish-dlx"]);
    let short = [
        ("x-max-length", number(4)),
        ("x-overflow", text(overflow)),
        to_nothing.clone(),
        to_key.clone(),
    ];
    let ttl = [("x-message-ttl", number(40)), to_nothing, to_key];
    let mut profiles = vec![
        Profile { exact: true, fanned: true, ..queue("plain", std::slice::from_ref(&unlimited)) },
        queue("work", &[]),
        Profile { fanned: true, ..queue("mortal", &to_graves) },
        Profile { is_grave: true, ..queue("graves", std::slice::from_ref(&unlimited)) },
        queue("ttl", &ttl),
        Profile { refuses: overflow != "drop-head", ..queue("short", &short) },
        Profile { drops: true, ..queue("leaky", &[("x-max-length", number(3))]) },
        Profile {
            exact: true,
            fanned: true,
            priority_max: 3,
            ..queue("priority", &[("x-max-priority", number(3)), unlimited.clone()])
        },
        Profile { exact: true, durable: false, delivery_limit: None, ..queue("transient", &[]) },
        Profile {
            exact: true,
            ..queue(
                "single",
                &[("x-single-active-consumer", FieldValue::Bool(true)), unlimited.clone()],
            )
        },
        Profile {
            consumer_timeout: 30,
            is_hasty: true,
            ..queue("hasty", &[("x-consumer-timeout", number(30))])
        },
        Profile { exact: true, ..queue(DELETABLE, std::slice::from_ref(&unlimited)) },
    ];
    profiles.extend(featured(plan, random, &unlimited));
    profiles.push(together(plan, random));
    profiles
}

/// One queue for each feature that the run has, exactly predictable but for leases.
fn featured(plan: &Plan, random: &mut Random, unlimited: &Argument) -> Vec<Profile> {
    let exact = |name| Profile { exact: true, ..queue(name, std::slice::from_ref(unlimited)) };
    let kind = *pick(random, &["all", "failed", "returned"]);
    let multiplier = *pick(random, &[None, Some(2)]);
    let retry = Retry { kind, min: 30, max: 200, multiplier };
    let length = *pick(random, &[20, 200, 20_000]);
    let (most, burst) = (1 + random.below(3) as usize, 1 + random.below(3));
    let kinds = [
        (Feature::Retries, Profile { fanned: true, ..exact("retried") }.with_retries(retry)),
        (Feature::Groups, Profile { fanned: true, ..exact("grouped") }.with_groups()),
        (Feature::Delays, Profile { takes_delays: true, ..exact("later") }),
        (Feature::Duplicates, Profile { fanned: true, ..exact("once") }.with_window(length, None)),
        (Feature::Duplicates, exact("last three").with_window(20_000, Some(3))),
        (Feature::Leases, Profile { is_hasty: true, exact: false, ..exact("leased") }),
        (Feature::Limits, exact("few").with_max_in_flight(most)),
        (Feature::Limits, exact("slow").with_rate(20, burst)),
    ];
    let wanted = kinds.into_iter().filter(|(feature, _)| plan.has(*feature));
    wanted.map(|(_, profile)| profile).collect()
}

/// A queue that has everything at once that the run has.
fn together(plan: &Plan, random: &mut Random) -> Profile {
    let profile = Profile { priority_max: 2, ..queue("orders", &[]) };
    let mut profile = profile.with(&[("x-max-priority", number(2))]);
    let multiplier = *pick(random, &[None, Some(2)]);
    let retry = Retry { kind: "all", min: 20, max: 60, multiplier };
    let (length, most) = (*pick(random, &[100, 20_000]), 2 + random.below(3) as usize);
    if plan.has(Feature::Retries) {
        profile = profile.with_retries(retry);
    }
    if plan.has(Feature::Groups) {
        profile = profile.with_groups();
    }
    if plan.has(Feature::Duplicates) {
        profile = profile.with_window(length, None);
    }
    if plan.has(Feature::Limits) {
        profile = profile.with_max_in_flight(most);
    }
    Profile { takes_delays: plan.has(Feature::Delays), ..profile }
}

/// A queue that the broker made for dead letters.
pub(crate) fn dead_letter_queue() -> Profile {
    Profile { is_grave: true, delivery_limit: None, ..queue("*.dlq", &[]) }
}
