//! How old a message is, whatever the wall clock does meanwhile.
//!
//! Messages are stamped with the wall clock, because their age must survive a restart. While the
//! process lives, age is measured on a steady clock: the wall clock as it was at the start, carried
//! on by the monotonic one. Each time the wall clock is found to have jumped, a lane notes from
//! which message on the stamps are off, and by how much.

use crate::ids::Offset;
use crate::limits::CLOCK_JUMP_MS;
use crate::time::{Monotonic, Now, WallClock};

/// A moment on every clock that queues know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) monotonic: Monotonic,
    /// For what is shown to people.
    pub(crate) wall: WallClock,
    /// The wall clock if it had never jumped, in ms.
    pub(crate) steady: i128,
    /// How far the wall clock is ahead of that, in ms.
    pub(crate) ahead: i128,
}

/// The wall clock at the start, carried on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SteadyClock {
    /// What to add to the monotonic clock.
    base: Option<i128>,
}

impl SteadyClock {
    /// The moment of an input.
    pub(crate) fn moment(&mut self, now: Now) -> Moment {
        let (wall, monotonic) = (i128::from(now.wall.0), i128::from(now.monotonic.0));
        let steady = monotonic + *self.base.get_or_insert(wall - monotonic);
        Moment { monotonic: now.monotonic, wall: now.wall, steady, ahead: wall - steady }
    }
}

/// From which message on a lane's stamps are how far ahead of the steady clock.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    epochs: Vec<(Offset, i128)>,
}

impl Ages {
    /// Messages from `offset` on are stamped by a clock that is so far `ahead`.
    pub(crate) fn note(&mut self, offset: Offset, ahead: i128) {
        let known = self.epochs.last().map_or(0, |(_, ahead)| *ahead);
        if known.abs_diff(ahead) > u128::from(CLOCK_JUMP_MS) {
            self.epochs.push((offset, ahead));
        }
    }

    /// When, on the steady clock, a message was stamped.
    pub(crate) fn stamped(&self, offset: Offset, stamp: WallClock) -> i128 {
        let epoch = self.epochs.iter().rev().find(|(from, _)| *from <= offset);
        i128::from(stamp.0) - epoch.map_or(0, |(_, ahead)| *ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(monotonic: u64, wall: u64) -> Now {
        Now { monotonic: Monotonic(monotonic), wall: WallClock(wall) }
    }

    #[test]
    fn a_jump_of_the_wall_clock_makes_no_message_older_or_younger() {
        const HOUR: u64 = 3_600_000;
        let mut clock = SteadyClock::default();
        let mut ages = Ages::default();
        let mut age_of = |ages: &Ages, offset, stamp, at| {
            clock.moment(at).steady - ages.stamped(Offset(offset), WallClock(stamp))
        };
        assert_eq!(age_of(&ages, 0, 50 * HOUR, now(0, 50 * HOUR)), 0);
        assert_eq!(age_of(&ages, 0, 50 * HOUR, now(10, 51 * HOUR)), 10);
        ages.note(Offset(1), i128::from(HOUR));
        assert_eq!(age_of(&ages, 1, 51 * HOUR + 10, now(10, 51 * HOUR)), 0);
        assert_eq!(age_of(&ages, 1, 51 * HOUR + 10, now(30, 49 * HOUR)), 20);
        assert_eq!(age_of(&ages, 0, 50 * HOUR, now(30, 49 * HOUR)), 30);
    }
}
