//! Publishing no faster than operators allow: a publish waits until it is its turn, and with it all
//! input behind it, which the client feels by TCP.
//!
//! A turn is good for a few messages, so that whoever publishes much does not come before whoever
//! publishes little. Where nobody's rate is limited this costs a look at a counter.

use crate::access::Limits;
use crate::session::limits::PUBLISHES_UNCHECKED_MAX;
use forebay_wire::ShortStr;

/// What a connection may publish before it asks.
#[derive(Debug)]
pub(super) enum Pace {
    /// So many further messages.
    Granted(u32),
    /// A publish has begun and its turn is to be asked for.
    Due,
    /// It was asked for.
    Asked,
}

impl Pace {
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self, Self::Due | Self::Asked)
    }

    /// A publish has begun.
    pub(super) fn note_publish(&mut self, limits: &Limits, vhost: &ShortStr, user: &ShortStr) {
        *self = match self {
            Self::Granted(left @ 1..) => Self::Granted(*left - 1),
            _ if limits.publish_rates(vhost, user) == [None; 2] => {
                Self::Granted(PUBLISHES_UNCHECKED_MAX)
            }
            _ => Self::Due,
        };
    }

    /// Says once that the turn is to be asked for.
    pub(super) fn take_due(&mut self) -> bool {
        let is_due = matches!(self, Self::Due);
        if is_due {
            *self = Self::Asked;
        }
        is_due
    }

    /// It may publish so many messages, the one that waits among them.
    pub(super) fn grant(&mut self, messages: u32) {
        if self.is_waiting() {
            *self = Self::Granted(messages.saturating_sub(1));
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::Granted(0)
    }
}
