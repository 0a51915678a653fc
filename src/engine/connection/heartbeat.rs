//! Heartbeats both ways (AMQP 0-9-1, 4.2.7): when to send one, and when the peer counts as dead.

use crate::limits::SILENT_INTERVALS_MAX;
use crate::model::Monotonic;

/// The heartbeat of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heartbeat {
    /// Not agreed, or not agreed yet.
    Off,
    /// Not agreed, but a client that is silent for too long is not kept.
    Silent {
        /// How long it may be silent, in ms; above 0.
        silence_ms_max: u64,
        /// When bytes last came.
        heard_at: Monotonic,
    },
    /// Agreed.
    On {
        /// What was agreed, in ms; above 0.
        interval_ms: u64,
        /// When to send the next one.
        send_at: Monotonic,
        /// When bytes last came.
        heard_at: Monotonic,
    },
}

impl Heartbeat {
    /// As agreed in `connection.tune-ok`, in s; 0: none, and then a client may be silent for so many
    /// s, if that is limited.
    pub(crate) fn new(interval_s: u16, silence_s_max: Option<u32>, now: Monotonic) -> Self {
        if interval_s == 0 {
            return match silence_s_max {
                Some(seconds @ 1..) => {
                    Self::Silent { silence_ms_max: u64::from(seconds) * 1000, heard_at: now }
                }
                _ => Self::Off,
            };
        }
        let interval_ms = u64::from(interval_s) * 1000;
        Self::On { interval_ms, send_at: now.plus(interval_ms / 2), heard_at: now }
    }

    /// Bytes came.
    pub(crate) const fn hear(&mut self, now: Monotonic) {
        if let Self::On { heard_at, .. } | Self::Silent { heard_at, .. } = self {
            *heard_at = now;
        }
    }

    /// Whether it is time to send one; the next is due half an interval later. Sent whatever else
    /// is sent: eight bytes are cheaper than watching every write.
    pub(crate) fn take_send(&mut self, now: Monotonic) -> bool {
        match self {
            Self::On { interval_ms, send_at, .. } if *send_at <= now => {
                *send_at = now.plus(*interval_ms / 2);
                true
            }
            _ => false,
        }
    }

    /// What is said of a client that counts as dead.
    pub(crate) const fn death(&self) -> &'static str {
        match self {
            Self::On { .. } => "missed heartbeats from client",
            Self::Silent { .. } | Self::Off => "the client was silent for longer than idle_timeout",
        }
    }

    /// When to send the next one.
    pub(crate) const fn send_at(&self) -> Option<Monotonic> {
        match self {
            Self::On { send_at, .. } => Some(*send_at),
            Self::Silent { .. } | Self::Off => None,
        }
    }

    /// When the peer counts as dead unless it is heard before.
    pub(crate) const fn dead_at(&self) -> Option<Monotonic> {
        match self {
            Self::On { interval_ms, heard_at, .. } => {
                Some(heard_at.plus(*interval_ms * SILENT_INTERVALS_MAX))
            }
            Self::Silent { silence_ms_max, heard_at } => Some(heard_at.plus(*silence_ms_max)),
            Self::Off => None,
        }
    }
}
