//! For how long a message must wait, and may: bounds, since waits have jitter and a restart has only the
//! wall clock to go by.

use crate::clock::Clock;

/// A wait for a time to pass. All times are of the clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    began: u64,
    /// It is not over before.
    pub(crate) earliest: u64,
    /// It is over by then.
    pub(crate) latest: u64,
    /// How long it is at most.
    span: u64,
}

impl Wait {
    pub(crate) fn new(began: u64, least: u64, most: u64) -> Self {
        Self { began, earliest: began + least, latest: began + most, span: most }
    }

    /// Whether it may be over.
    pub(crate) fn may_be_over(&self, now: u64) -> bool {
        self.earliest <= now
    }

    /// Whether it must be over.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.latest <= now
    }

    /// The process began again: the wall clock tells how much time has passed. Where it was put forward
    /// since the wait began, the wait may end early; where it was put back, the wait takes longer: a retry
    /// not longer than a whole wait from now.
    pub(crate) fn restart(&mut self, clock: &Clock, is_retry: bool) {
        let (back, forward) = clock.jumped_since(self.began);
        if forward > 0 {
            self.earliest = 0;
        }
        if back < 0 {
            let from_now = clock.now() + self.span;
            let by_the_wall = self.began + self.span + back.unsigned_abs();
            let latest = if is_retry { from_now.min(by_the_wall) } else { by_the_wall };
            self.latest = self.latest.max(latest);
        }
    }
}

/// Until when a delayed message waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// So much time has to pass (`x-delay`).
    Elapsed(Wait),
    /// The wall clock has to show this (`x-deliver-at`) when the message is there, which it was `since` then.
    Calendar { wall: u64, since: u64 },
}

impl Due {
    /// Whether the message may be in the order of its queue.
    pub(crate) fn may_be_due(&self, clock: &Clock) -> bool {
        match self {
            Self::Elapsed(wait) => wait.may_be_over(clock.now()),
            Self::Calendar { wall, since } => clock.highest_wall(*since) >= *wall,
        }
    }

    /// After how many ms it must be there.
    pub(crate) fn left(&self, clock: &Clock) -> u64 {
        match self {
            Self::Elapsed(wait) => wait.latest.saturating_sub(clock.now()),
            Self::Calendar { wall, .. } => wall.saturating_sub(clock.wall()),
        }
    }

    /// Whether it comes before another one of the same clock that waits beside it.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Elapsed(one), Self::Elapsed(other)) => one.latest < other.earliest,
            (Self::Calendar { wall, .. }, Self::Calendar { wall: other, .. }) => wall < other,
            _ => false,
        }
    }

    pub(crate) fn restart(&mut self, clock: &Clock) {
        if let Self::Elapsed(wait) = self {
            wait.restart(clock, false);
        }
    }
}
