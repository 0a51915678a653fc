//! Messages that wait for a time before they come into the order of their queue: by which clock, and how
//! each is told from the others.

use super::WallClock;
use std::fmt;
use std::str::FromStr;

/// The clock by which a delayed message becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DueClock {
    /// Time that passes (`x-delay`): a jump of the wall clock while the process lives makes no message due
    /// earlier or later.
    Elapsed,
    /// Time of day (`x-deliver-at`): whatever the wall clock shows.
    Calendar,
}

impl DueClock {
    /// Each.
    pub const ALL: [Self; 2] = [Self::Elapsed, Self::Calendar];

    /// Its number in keys of the store.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Elapsed => 0,
            Self::Calendar => 1,
        }
    }

    /// The clock with this number; `None`: there is none.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|clock| clock.number() == number)
    }

    /// What identifiers of its messages begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Elapsed => "after",
            Self::Calendar => "at",
        }
    }
}

/// A delayed message of one queue, in the order in which those of one clock become due. As text:
/// `after-1764518400000-7`, the clock, the due time in ms since the UNIX epoch, and the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedId {
    /// By which clock.
    pub clock: DueClock,
    /// When it becomes due, in ms on that clock.
    pub due: WallClock,
    /// Tells it from others that are due at the same time: the one published first has the lowest.
    pub sequence: u64,
}

impl DelayedId {
    /// What sorts before all messages of a clock.
    #[must_use]
    pub const fn lowest(clock: DueClock) -> Self {
        Self { clock, due: WallClock(0), sequence: 0 }
    }

    /// What sorts behind all messages of a clock.
    #[must_use]
    pub const fn highest(clock: DueClock) -> Self {
        Self { clock, due: WallClock(u64::MAX), sequence: u64::MAX }
    }

    /// The lowest identifier behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        let Self { clock, due, sequence } = self;
        match sequence.checked_add(1) {
            Some(sequence) => Self { clock, due, sequence },
            None => Self { clock, due: WallClock(due.0.saturating_add(1)), sequence: 0 },
        }
    }
}

impl fmt::Display for DelayedId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.clock.prefix(), self.due.0, self.sequence)
    }
}

/// The text is no identifier of a delayed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a delayed message, as after-1764518400000-7 or at-1764518400000-7")]
pub struct DelayedIdError;

impl FromStr for DelayedId {
    type Err = DelayedIdError;

    fn from_str(text: &str) -> Result<Self, DelayedIdError> {
        let mut parts = text.split('-');
        let clock = parts.next().ok_or(DelayedIdError)?;
        let clock = DueClock::ALL.into_iter().find(|known| known.prefix() == clock);
        let mut number = || {
            let digits = parts.next().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or(DelayedIdError)
        };
        let (due, sequence) = (WallClock(number()?), number()?);
        let id = Self { clock: clock.ok_or(DelayedIdError)?, due, sequence };
        parts.next().map_or(Ok(id), |_| Err(DelayedIdError))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text_and_nothing_else_is_one() {
        for clock in DueClock::ALL {
            let id = DelayedId { clock, due: WallClock(1_764_518_400_000), sequence: u64::MAX };
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id < id.next() && id.next() < DelayedId::highest(clock));
        }
        for other in ["", "after", "after-1", "after-1-", "after-1-2-3", "on-1-2", "after-+1-2"] {
            assert_eq!(other.parse::<DelayedId>(), Err(DelayedIdError), "{other}");
        }
    }
}
