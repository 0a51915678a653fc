//! How old a message is, whatever the wall clock does meanwhile.
//!
//! Messages are stamped with the wall clock, because their age must survive a restart. While the
//! process lives, age is measured on a steady clock: the wall clock as it was at the start, carried
//! on by the monotonic one. Each time the wall clock is found to have jumped, a level notes from
//! which message on the stamps are off, and by how much.
//!
//! What happened to the wall clock while no process lived nobody can tell: the time that it shows at
//! the start is taken for the truth. Only what comes from the future is known to be wrong, and counts
//! as published at the start.

use crate::limits::{CLOCK_JUMP_MS, CLOCK_STEP_MS};
use crate::model::{Monotonic, Now, Offset, WallClock};
use std::collections::VecDeque;

/// A moment on every clock that queues know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Instants {
    pub(crate) monotonic: Monotonic,
    /// For what is shown to people.
    pub(crate) wall: WallClock,
    /// The wall clock if it had never jumped, in ms.
    pub(crate) steady: i128,
    /// When the process began, on the steady clock.
    pub(crate) started: i128,
    /// On the clock of messages that wait for a time to pass, in ms: it does not jump either, and goes on over
    /// restarts, at which the wall clock tells how much time has passed.
    pub(crate) elapsed: i128,
    /// How far the wall clock is ahead of the steady one, in ms.
    ahead: i128,
}

/// The wall clock at the start, carried on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SteadyClock {
    /// What to add to the monotonic clock, and when it was found.
    base: Option<(i128, i128)>,
    /// How far the wall clock was ahead of [`Instants::elapsed`] at the start, in ms.
    ahead: i64,
    /// How far the wall clock is ahead of the steady one, as of its last jump: it is not told anew for what two
    /// clocks that are read one after the other differ by, or the same due time would be shown as another one each
    /// time.
    ahead_of_steady: i128,
}

impl SteadyClock {
    /// The clock of a process that is told how far the wall clock is ahead of [`Instants::elapsed`], in ms.
    pub(crate) fn with_wall_ahead(ahead: i64) -> Self {
        Self { ahead, ..Self::default() }
    }

    /// The moment of an input.
    pub(crate) fn moment(&mut self, now: Now) -> Instants {
        let (wall, monotonic) = (i128::from(now.wall.0), i128::from(now.monotonic.0));
        let (base, started) = *self.base.get_or_insert((wall - monotonic, wall));
        let steady = monotonic + base;
        let elapsed = steady - i128::from(self.ahead);
        if self.ahead_of_steady.abs_diff(wall - steady) > u128::from(CLOCK_STEP_MS) {
            self.ahead_of_steady = wall - steady;
        }
        let (monotonic, wall, ahead) = (now.monotonic, now.wall, self.ahead_of_steady);
        Instants { monotonic, wall, steady, started, elapsed, ahead }
    }
}

impl Instants {
    /// How far the wall clock is ahead of the steady one, in ms.
    pub(crate) fn ahead(self) -> i128 {
        self.ahead
    }

    /// How far the wall clock is ahead of [`Self::elapsed`], in ms.
    pub(crate) fn ahead_of_elapsed(self) -> i128 {
        self.ahead + self.steady - self.elapsed
    }
}

/// From which message on a level's stamps are how far ahead of the steady clock.
#[derive(Debug, Default)]
pub(crate) struct ClockSkew {
    epochs: VecDeque<(Offset, i128)>,
}

impl ClockSkew {
    /// A message was added at the tail; everything below `low` is settled.
    pub(crate) fn note(&mut self, offset: Offset, stamp: WallClock, at: Instants, low: Offset) {
        let known = self.epochs.back().map_or(0, |(_, ahead)| *ahead);
        let ahead = at.ahead();
        if known.abs_diff(ahead) <= u128::from(CLOCK_JUMP_MS) {
            return;
        }
        // One that was under way when the clock jumped was stamped before.
        let age = |ahead: i128| (i128::from(stamp.0) - ahead).abs_diff(at.steady);
        if age(ahead) < age(known) {
            self.epochs.push_back((offset, ahead));
            while self.epochs.get(1).is_some_and(|(from, _)| *from <= low) {
                self.epochs.pop_front();
            }
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

    const HOUR: u64 = 3_600_000;

    fn now(monotonic: u64, wall: u64) -> Now {
        Now { monotonic: Monotonic(monotonic), wall: WallClock(wall) }
    }

    #[test]
    fn a_jump_of_the_wall_clock_makes_no_message_older_or_younger() {
        let mut clock = SteadyClock::default();
        let mut ages = ClockSkew::default();
        let mut moment = |monotonic, wall| clock.moment(now(monotonic, wall));
        let note = |ages: &mut ClockSkew, offset, stamp, at| {
            ages.note(Offset(offset), WallClock(stamp), at, Offset(0));
        };
        let age_of = |ages: &ClockSkew, offset, stamp, at: Instants| {
            at.steady - ages.stamped(Offset(offset), WallClock(stamp))
        };
        let start = moment(0, 50 * HOUR);
        note(&mut ages, 0, 50 * HOUR, start);
        assert_eq!(age_of(&ages, 0, 50 * HOUR, start), 0);
        let ahead = moment(10, 51 * HOUR + 10);
        assert_eq!(age_of(&ages, 0, 50 * HOUR, ahead), 10);
        // Stamped before the jump, and behind it.
        note(&mut ages, 1, 50 * HOUR + 9, ahead);
        note(&mut ages, 2, 51 * HOUR + 10, ahead);
        let behind = moment(30, 49 * HOUR + 30);
        assert_eq!(age_of(&ages, 0, 50 * HOUR, behind), 30);
        assert_eq!(age_of(&ages, 1, 50 * HOUR + 9, behind), 21);
        assert_eq!(age_of(&ages, 2, 51 * HOUR + 10, behind), 20);
    }

    #[test]
    fn what_two_readings_differ_by_is_no_jump() {
        let mut clock = SteadyClock::default();
        clock.moment(now(0, 50 * HOUR));
        for (monotonic, wall) in [(10, 11), (20, 19), (30, 30), (40, 41)] {
            assert_eq!(clock.moment(now(monotonic, 50 * HOUR + wall)).ahead(), 0);
        }
        assert_eq!(clock.moment(now(50, 50 * HOUR + 52)).ahead(), 2);
        assert_eq!(clock.moment(now(60, 50 * HOUR + 61)).ahead(), 2);
        assert_eq!(clock.moment(now(70, 49 * HOUR)).ahead(), -70 - HOUR as i128);
    }

    #[test]
    fn jumps_that_concern_no_message_any_more_are_forgotten() {
        let mut clock = SteadyClock::default();
        let mut ages = ClockSkew::default();
        clock.moment(now(0, 0));
        for jump in 1..100 {
            let at = clock.moment(now(jump, jump * HOUR));
            ages.note(Offset(jump), at.wall, at, Offset(jump - 1));
            assert!(ages.epochs.len() <= 3);
        }
    }
}
