//! W3C trace contexts, carried from publisher to consumer in the header `traceparent`.
//!
//! ```text
//! 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//! version  trace id (128 bit)          span id (64 bit)  flags
//! ```
//!
//! The context of the present task is set by a [`crate::Worker`] around its handler, or by
//! [`TraceContext::scope`]. A publish within it carries a child of it; so a trace runs through as
//! many queues as there are.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
};

use crate::Incoming;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Where in a distributed trace something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// A new trace, sampled.
    pub fn new_root() -> Self {
        let random = |salt: u8| u128::from(RandomState::new().hash_one(salt));
        let trace_id = (random(1) << 64 | random(2)).max(1);
        Self { trace_id, span_id: fresh_span_id(), flags: 1 }
    }

    /// Reads the value of a `traceparent` header. `None` when it is malformed or all zero.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
        };
        let is_valid = is_hex(version, 2)
            && version != "ff"
            && is_hex(trace, 32)
            && is_hex(span, 16)
            && is_hex(flags, 2);
        if !is_valid || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// The context that a message carries.
    pub fn of(message: &Incoming) -> Option<Self> {
        Self::parse(message.header("traceparent")?.as_text()?)
    }

    /// The context of the present task.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// A span of this trace below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: fresh_span_id(), ..*self }
    }

    /// The trace as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The step in the trace as 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Runs a future in this context: what it publishes belongs to the trace.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

fn fresh_span_id() -> u64 {
    RandomState::new().hash_one(3_u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(text).unwrap();
        assert_eq!(context.to_string(), text);
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), context.span_id());
        assert_eq!(
            TraceContext::parse(&TraceContext::new_root().to_string()).map(|_| ()),
            Some(())
        );
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
