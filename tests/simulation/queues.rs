//! The queues of a run: each kind of queue once, some exactly predictable, some not.

use crate::dice::pick;
use crate::random::Random;
use forebay_wire::{FieldTable, FieldValue, ShortStr};

/// What every run publishes to besides: bound to several queues.
pub(crate) const FANOUT: &str = "fan";

/// The queue that clients delete, if any.
pub(crate) const DELETABLE: &str = "doomed";

/// The queue whose consumers must not hold a message for long. One of them may be credited with the
/// settlement of another on the same channel that was given the same message before.
pub(crate) const HASTY: &str = "hasty";

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
    /// How long a consumer may hold a message, in ms.
    pub(crate) consumer_timeout: u64,
    pub(crate) priority_max: u8,
    /// Bound to [`FANOUT`].
    pub(crate) fanned: bool,
}

const HALF_AN_HOUR: u64 = 30 * 60 * 1000;

fn queue(name: &'static str, arguments: &[(&'static str, FieldValue)]) -> Profile {
    let arguments = arguments.iter().cloned();
    Profile {
        name,
        durable: true,
        arguments: arguments.map(|(name, value)| (ShortStr::from_static(name), value)).collect(),
        consumer_timeout: HALF_AN_HOUR,
        ..Profile::default()
    }
}

fn text(text: &'static str) -> FieldValue {
    FieldValue::LongStr(bytes::Bytes::from_static(text.as_bytes()))
}

/// The queues of a run.
pub(crate) fn profiles(random: &mut Random) -> Vec<Profile> {
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
    vec![
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
        Profile { exact: true, durable: false, ..queue("transient", &[]) },
        Profile {
            exact: true,
            ..queue(
                "single",
                &[("x-single-active-consumer", FieldValue::Bool(true)), unlimited.clone()],
            )
        },
        Profile { consumer_timeout: 30, ..queue(HASTY, &[("x-consumer-timeout", number(30))]) },
        Profile { exact: true, ..queue(DELETABLE, &[unlimited]) },
    ]
}

/// A queue that the broker made for dead letters.
pub(crate) fn dead_letter_queue() -> Profile {
    Profile { is_grave: true, ..queue("*.dlq", &[]) }
}
