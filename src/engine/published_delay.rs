//! Until when a published message is to wait: the headers `x-delay` and `x-deliver-at`, over AMQP and over
//! HTTP alike.
//!
//! `x-delay` says how many milliseconds, as RabbitMQ's delayed-message plugin has it: a number of any type
//! or as text, of which a fraction is cut off; 0 and less is no delay. While the message waits and from then
//! on the header has the negative number, as with the plugin, so that the message is not delayed again
//! when a client sends it on. It is rounded up: a message never comes early by a part of a millisecond.
//! `x-deliver-at` says when: milliseconds since the UNIX epoch, a timestamp of
//! AMQP (seconds), or either number as text; a time that has passed is no delay.

use crate::limits::{CLOCK_STEP_MS, DUE_MS_MAX};
use crate::model::{DueClock, Fault, Message, WallClock};
use crate::published_properties::refused;
use forebay_wire::{FieldValue, RawProperties, ShortStr};

/// The header that says how long to wait.
pub const DELAY_HEADER: &str = "x-delay";

/// The header that says until when.
pub const DELIVER_AT_HEADER: &str = "x-deliver-at";

/// Until when a message waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    clock: DueClock,
    due: WallClock,
    /// What it is stored with.
    properties: RawProperties,
}

impl Delay {
    /// The properties that the message is to be made with.
    #[must_use]
    pub fn properties(&self) -> &RawProperties {
        &self.properties
    }

    /// The message, made with those properties, as it waits.
    #[must_use]
    pub fn apply(&self, message: Message) -> Message {
        message.delayed(self.clock, self.due)
    }
}

/// Reads the headers; `None`: the message is due at once.
///
/// # Errors
/// 406 that names header, value and what is allowed: when one is no number, when both ask for a delay, and
/// for times after the year 9999.
pub fn delay(properties: &RawProperties, now: WallClock) -> Result<Option<Delay>, Fault> {
    if !properties.has_headers() || !may_have_delay(properties.as_bytes()) {
        return Ok(None);
    }
    let Some(headers) = properties.headers() else { return Ok(None) };
    let after = headers.get(DELAY_HEADER).map(milliseconds).transpose()?.filter(|after| *after > 0);
    let until = headers.get(DELIVER_AT_HEADER).map(date).transpose()?;
    let until = until.filter(|until| *until > i128::from(now.0));
    let (clock, due) = match (after, until) {
        (None, None) => return Ok(None),
        (Some(after), Some(_)) => {
            return Err(refused(format!(
                "invalid header '{DELIVER_AT_HEADER}' beside '{DELAY_HEADER}' of {after} ms: expected one \
                 of them"
            )));
        }
        (Some(after), None) => {
            // The wall clock tells when it begins, another one when it is over.
            let begin = i128::from(now.0) + 2 * i128::from(CLOCK_STEP_MS);
            (DueClock::Elapsed, begin.saturating_add(after))
        }
        (None, Some(until)) => (DueClock::Calendar, until),
    };
    let due = u64::try_from(due).ok().filter(|due| *due <= DUE_MS_MAX).ok_or_else(|| {
        let name = if clock == DueClock::Elapsed { DELAY_HEADER } else { DELIVER_AT_HEADER };
        refused(format!(
            "invalid header '{name}': the message would be due {due} ms after the UNIX epoch; expected at \
             most {DUE_MS_MAX}, the end of the year 9999"
        ))
    })?;
    let properties = match after {
        Some(after) => with_negated_delay(properties, after),
        None => properties.clone(),
    };
    Ok(Some(Delay { clock, due: WallClock(due), properties }))
}

fn milliseconds(value: &FieldValue) -> Result<i128, Fault> {
    number(value).ok_or_else(|| {
        refused(format!(
            "invalid header '{DELAY_HEADER}' {}: expected milliseconds as a number",
            shown(value)
        ))
    })
}

fn date(value: &FieldValue) -> Result<i128, Fault> {
    let date = match value {
        FieldValue::Timestamp(seconds) => Some(i128::from(*seconds) * 1000),
        value => number(value),
    };
    date.ok_or_else(|| {
        refused(format!(
            "invalid header '{DELIVER_AT_HEADER}' {}: expected milliseconds since the UNIX epoch as a \
             number, or a timestamp",
            shown(value)
        ))
    })
}

/// A number of any type or as text, without its fraction. One that is not finite is none.
fn number(value: &FieldValue) -> Option<i128> {
    let whole = |number: f64| number.is_finite().then_some(number as i128);
    match value {
        FieldValue::F32(number) => whole(f64::from(*number)),
        FieldValue::F64(number) => whole(*number),
        FieldValue::Decimal { scale, value } => {
            Some(10_i128.checked_pow(u32::from(*scale)).map_or(0, |by| i128::from(*value) / by))
        }
        FieldValue::LongStr(_) => value.as_text()?.parse().ok(),
        value => value.as_integer(),
    }
}

fn shown(value: &FieldValue) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let text = match value.as_text() {
        Some(text) => format!("'{text}'"),
        None => format!("{value:?}"),
    };
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect()
}

fn with_negated_delay(properties: &RawProperties, delay: i128) -> RawProperties {
    let mut decoded = properties.decode();
    let negative = -delay;
    let value = match (i32::try_from(negative), i64::try_from(negative)) {
        (Ok(narrow), _) => FieldValue::I32(narrow),
        (_, wide) => FieldValue::I64(wide.unwrap_or(i64::MIN)),
    };
    if let Some(headers) = &mut decoded.headers {
        headers.insert(ShortStr::from_static(DELAY_HEADER), value);
    }
    decoded.encode()
}

/// Whether the bytes hold one of the names with its length in front: a look that allocates nothing, wrong
/// in the safe direction only.
fn may_have_delay(bytes: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"\x07x-delay", b"\x0cx-deliver-at"];
    let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    // Every name of both begins with these, so that most headers are walked over once.
    bytes.windows(5).any(|window| matches!(window, b"\x07x-de" | b"\x0cx-de"))
        && NAMES.into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_wire::FieldTable;
    use forebay_wire::properties::Properties;

    const NOW: WallClock = WallClock(1_000_000);

    fn properties(headers: &[(&str, FieldValue)]) -> RawProperties {
        let table: FieldTable = headers
            .iter()
            .map(|(name, value)| (ShortStr::try_from(*name).unwrap(), value.clone()))
            .collect();
        Properties { headers: Some(table), ..Properties::default() }.encode()
    }

    fn due(headers: &[(&str, FieldValue)]) -> Result<Option<(DueClock, u64)>, String> {
        match delay(&properties(headers), NOW) {
            Ok(delay) => Ok(delay.map(|delay| (delay.clock, delay.due.0))),
            Err(fault) => Err(fault.text.to_string()),
        }
    }

    fn text(text: &str) -> FieldValue {
        FieldValue::LongStr(text.to_owned().into())
    }

    #[test]
    fn numbers_of_every_type_delay_as_with_the_plugin() {
        for value in [
            FieldValue::I8(50),
            FieldValue::U8(50),
            FieldValue::I16(50),
            FieldValue::U16(50),
            FieldValue::I32(50),
            FieldValue::U32(50),
            FieldValue::I64(50),
            FieldValue::U64(50),
            FieldValue::F32(50.9),
            FieldValue::F64(50.9),
            FieldValue::Decimal { scale: 1, value: 509 },
            text("50"),
        ] {
            assert_eq!(due(&[("x-delay", value)]), Ok(Some((DueClock::Elapsed, 1_000_052))));
        }
        for none in [FieldValue::I32(0), FieldValue::I32(-50), text("-1"), FieldValue::F64(0.9)] {
            assert_eq!(due(&[("x-delay", none)]), Ok(None));
        }
        assert_eq!(due(&[]), Ok(None));
    }

    #[test]
    fn a_delay_may_be_longer_than_49_days() {
        let century = 100 * 365 * 86_400_000;
        let long = FieldValue::I64(century);
        let expected = Some((DueClock::Elapsed, NOW.0 + century as u64 + 2 * CLOCK_STEP_MS));
        assert_eq!(due(&[("x-delay", long)]), Ok(expected));
    }

    #[test]
    fn a_date_is_milliseconds_or_a_timestamp() {
        let at = Ok(Some((DueClock::Calendar, 2_000_000)));
        for value in [FieldValue::I64(2_000_000), FieldValue::Timestamp(2_000), text("2000000")] {
            assert_eq!(due(&[("x-deliver-at", value)]), at);
        }
        for past in [FieldValue::I64(1_000_000), FieldValue::Timestamp(7), FieldValue::I64(-3)] {
            assert_eq!(due(&[("x-deliver-at", past)]), Ok(None));
        }
    }

    #[test]
    fn what_is_no_delay_is_refused_with_header_value_and_what_is_allowed() {
        for (name, value, shown) in [
            ("x-delay", text("soon"), "'soon'"),
            ("x-delay", FieldValue::Bool(true), "Bool(true)"),
            ("x-delay", FieldValue::F64(f64::NAN), "NaN"),
            ("x-delay", FieldValue::Timestamp(9), "Timestamp(9)"),
            ("x-deliver-at", text("tomorrow"), "'tomorrow'"),
            ("x-deliver-at", FieldValue::Void, "Void"),
        ] {
            let text = due(&[(name, value)]).unwrap_err();
            assert!(text.contains(name), "{text}");
            assert!(text.contains(&shown.escape_default().to_string()), "{text}");
            assert!(text.contains("expected milliseconds"), "{text}");
        }
        let both = [("x-delay", FieldValue::I32(1)), ("x-deliver-at", FieldValue::I64(2_000_000))];
        assert!(due(&both).unwrap_err().contains("expected one of them"));
        for far in [FieldValue::I64(i64::MAX), FieldValue::U64(u64::MAX), FieldValue::F64(1e300)] {
            assert!(due(&[("x-delay", far)]).unwrap_err().contains("year 9999"));
        }
    }

    #[test]
    fn the_header_of_a_message_that_waits_says_that_it_was_delayed() {
        let given = properties(&[("a", FieldValue::I32(1)), ("x-delay", FieldValue::I64(50))]);
        let delay = delay(&given, NOW).unwrap().unwrap();
        let headers = delay.properties().headers().unwrap();
        assert_eq!(headers.get("x-delay"), Some(&FieldValue::I32(-50)));
        assert_eq!(headers.get("a"), Some(&FieldValue::I32(1)));
        assert_eq!(super::delay(delay.properties(), NOW).unwrap(), None, "once is enough");
        let far = properties(&[("x-delay", FieldValue::I64(5_000_000_000))]);
        let headers = super::delay(&far, NOW).unwrap().unwrap().properties().headers().unwrap();
        assert_eq!(headers.get("x-delay"), Some(&FieldValue::I64(-5_000_000_000)));
    }
}
