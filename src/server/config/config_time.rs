//! Times as people write them in settings.

use super::config_value::{Value, ValueError, ValueVisitor, read_everywhere};
use serde::{Deserialize, Deserializer};
use std::marker::PhantomData;
use std::str::FromStr;

read_everywhere!(HeartbeatSeconds, Seconds, Milliseconds);

/// Units of time, in ms.
const TIME_UNITS: [(&str, u64); 9] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("hours", 3_600_000),
    ("d", 86_400_000),
    ("days", 86_400_000),
];

/// A time in ms; a number without a unit counts in `unit_ms`.
fn time_ms(text: &str, unit_ms: u64) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit_ms = match unit.trim() {
        "" => unit_ms,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

fn time_s(text: &str) -> Option<u64> {
    time_ms(text, 1_000).filter(|ms| ms.is_multiple_of(1_000)).map(|ms| ms / 1_000)
}

/// An interval of heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatSeconds(pub u16);

impl Value for HeartbeatSeconds {
    const EXPECTED: &'static str = "seconds from 0 (no heartbeats) to 65535, as 60 or \"60s\"";

    fn from_text(text: &str) -> Option<Self> {
        time_s(text)?.try_into().ok().map(Self)
    }
}

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Value for Seconds {
    const EXPECTED: &'static str = "seconds, as 60, or a time with a unit, as \"60s\" or \"5m\"";

    fn from_text(text: &str) -> Option<Self> {
        time_s(text)?.try_into().ok().map(Self)
    }
}

/// A time in ms, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milliseconds(pub Option<u32>);

impl Value for Milliseconds {
    const EXPECTED: &'static str =
        "milliseconds from 1 on, or a time with a unit, as \"30m\"; -1 for no end";

    fn from_text(text: &str) -> Option<Self> {
        if text == "-1" {
            return Some(Self(None));
        }
        let ms = u32::try_from(time_ms(text, 1)?).ok()?;
        (ms > 0).then_some(Self(Some(ms)))
    }
}
