//! Until when a message waits that came back, and why it came back.

use super::WallClock;

/// How the last delivery of a message ended that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnReason {
    /// `basic.nack` with requeue.
    Nacked,
    /// `basic.reject` with requeue.
    Rejected,
    /// Its consumer said when it wants it again (`amq.forebay.retry`).
    Retried,
    /// Its connection was lost, or its channel was closed for an error.
    Lost,
    /// Its consumer held it for too long.
    TimedOut,
    /// Its client closed the channel or the connection in good order.
    Returned,
}

impl ReturnReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nacked, Self::Rejected, Self::Retried, Self::Lost, Self::TimedOut, Self::Returned];

    /// As people are shown it, and as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nacked => "nacked",
            Self::Rejected => "rejected",
            Self::Retried => "retried",
            Self::Lost => "lost",
            Self::TimedOut => "timed-out",
            Self::Returned => "returned",
        }
    }
}

/// The wait of a message that came back. It outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When it is to be ready again, as the wall clock was set when the wait began.
    pub due: WallClock,
    /// How long the wait is, in ms: after a restart it takes no longer than that, wherever the wall
    /// clock was put meanwhile.
    pub delay: u64,
    /// Bytes of the message's body.
    pub size: u32,
    /// Why it came back.
    pub reason: ReturnReason,
    /// Hash of the group that it holds back; `None`: it belongs to none.
    pub group: Option<u64>,
}
