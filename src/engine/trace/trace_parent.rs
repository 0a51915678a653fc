//! The trace that a message belongs to, as its publisher says in the header `traceparent` (W3C Trace Context).

use crate::model::Message;
use forebay_wire::{FieldValue, RawProperties};

/// The header.
const HEADER: &str = "traceparent";

/// [`HEADER`] as it stands in a table, with its length in front.
const HEADER_ON_THE_WIRE: &[u8] = b"\x0btraceparent";

/// Of the flags: the publisher records the trace.
const SAMPLED: u8 = 1;

/// The span that published a message, of a trace that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
}

impl TraceParent {
    /// What the message says; `None`: nothing that can be read, or its trace is not recorded.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let properties = message.properties_bytes();
        let may_have_it =
            properties.windows(HEADER_ON_THE_WIRE.len()).any(|window| window == HEADER_ON_THE_WIRE);
        if !may_have_it {
            return None;
        }
        match RawProperties::parse(properties).ok()?.headers()?.get(HEADER)? {
            FieldValue::LongStr(text) => Self::parse(std::str::from_utf8(text).ok()?),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may have more parts.
        let is_whole = version != "ff" && (version != "00" || parts.next().is_none());
        let is_sampled = hex(flags, 2)? & u128::from(SAMPLED) != 0;
        let (_, trace_id, span_id) = (hex(version, 2)?, hex(trace, 32)?, hex(span, 16)?);
        let parent = Self { trace_id, span_id: u64::try_from(span_id).ok()? };
        let is_valid = parent.trace_id != 0 && parent.span_id != 0;
        (is_whole && is_sampled && is_valid).then_some(parent)
    }
}

/// A number of so many digits, as the header has them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_number = text.len() == digits && text.bytes().all(is_hex);
    is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_that_is_recorded_and_well_written_counts() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        let good = TraceParent::parse(&format!("00-{trace}-{span}-01")).unwrap();
        assert_eq!(good.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(good.span_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(TraceParent::parse(&format!("cc-{trace}-{span}-03-more")), Some(good));
        for bad in [
            format!("00-{trace}-{span}-00"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-1"),
            format!("00-+{}-{span}-01", &trace[1..]),
            format!("00-{trace}"),
            String::new(),
            "é-é-é-é".to_owned(),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }
}
