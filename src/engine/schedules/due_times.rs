//! Which due times of a schedule have passed, which of them it publishes for, and which it missed.

use super::catch_up::CatchUp;
use super::timetable::Timetable;
use crate::limits::{SCHEDULE_CATCH_UP_MAX, SCHEDULE_MISSED_COUNTED_MAX, SCHEDULE_ON_TIME_MS};
use crate::model::WallClock;

/// What has become due since a schedule was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueTimes {
    /// Those to publish a message for, the earliest first.
    pub(crate) fire: Vec<WallClock>,
    /// How many others there were, of the latest [`SCHEDULE_MISSED_COUNTED_MAX`].
    pub(crate) missed: u64,
    /// The latest: every due time until then is dealt with.
    pub(crate) to: WallClock,
}

impl DueTimes {
    /// Those behind `after` until now, of which the first is known.
    pub(crate) fn passed(
        timetable: &Timetable,
        catch_up: CatchUp,
        (after, first): (WallClock, WallClock),
        now: WallClock,
    ) -> Self {
        // Back from now: however long nobody looked, only so many are walked over.
        let behind = |due: &WallClock| *due > after;
        let last = timetable.last_until(now).filter(behind);
        let earlier = |due: &WallClock| {
            let before = WallClock(due.0.checked_sub(1)?);
            timetable.last_until(before).filter(behind)
        };
        let mut passed: Vec<WallClock> =
            std::iter::successors(last, earlier).take(SCHEDULE_MISSED_COUNTED_MAX).collect();
        passed.reverse();
        let to = passed.last().copied().unwrap_or(first);
        if passed.is_empty() {
            passed.push(first);
        }
        let is_late = |due: &WallClock| now.0.saturating_sub(due.0) > SCHEDULE_ON_TIME_MS;
        let on_time = passed.partition_point(is_late);
        let from = match catch_up {
            CatchUp::None => on_time,
            CatchUp::Last => on_time.min(passed.len().saturating_sub(1)),
            CatchUp::All => on_time.saturating_sub(SCHEDULE_CATCH_UP_MAX),
        };
        let fire = passed.split_off(from);
        Self { fire, missed: passed.len() as u64, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;

    fn passed(cron: &str, catch_up: CatchUp, after: u64, now: u64) -> DueTimes {
        let timetable = Timetable::new(cron, "UTC").unwrap();
        let after = WallClock(after);
        let first = timetable.next_after(after).unwrap();
        DueTimes::passed(&timetable, catch_up, (after, first), WallClock(now))
    }

    fn fired(cron: &str, catch_up: CatchUp, after: u64, now: u64) -> (Vec<u64>, u64) {
        let DueTimes { fire, missed, .. } = passed(cron, catch_up, after, now);
        (fire.into_iter().map(|due| due.0).collect(), missed)
    }

    #[test]
    fn what_is_at_most_a_minute_late_is_on_time() {
        for catch_up in CatchUp::ALL {
            assert_eq!(fired("0 * * * *", catch_up, 0, HOUR), (vec![HOUR], 0));
            assert_eq!(fired("0 * * * *", catch_up, 0, HOUR + MINUTE), (vec![HOUR], 0));
            let each_second = fired("* * * * * *", catch_up, 0, MINUTE);
            assert_eq!(each_second, ((1..=60).map(|n| n * SECOND).collect(), 0));
        }
    }

    #[test]
    fn of_what_was_missed_none_or_the_last_or_all_are_made_good() {
        let hours = |hours: &[u64]| hours.iter().map(|hour| hour * HOUR).collect::<Vec<_>>();
        let now = 4 * HOUR + MINUTE + 1;
        assert_eq!(fired("0 * * * *", CatchUp::None, 0, now), (hours(&[]), 4));
        assert_eq!(fired("0 * * * *", CatchUp::Last, 0, now), (hours(&[4]), 3));
        assert_eq!(fired("0 * * * *", CatchUp::All, 0, now), (hours(&[1, 2, 3, 4]), 0));
        // The latest is on time: the last of those that were missed is no news any more.
        let now = 4 * HOUR + SECOND;
        assert_eq!(fired("0 * * * *", CatchUp::None, 0, now), (hours(&[4]), 3));
        assert_eq!(fired("0 * * * *", CatchUp::Last, 0, now), (hours(&[4]), 3));
        assert_eq!(fired("0 * * * *", CatchUp::All, 0, now), (hours(&[1, 2, 3, 4]), 0));
    }

    #[test]
    fn however_many_were_missed_only_so_many_are_made_good_and_counted() {
        let now = 1_000_000 * HOUR + 30 * MINUTE;
        let DueTimes { fire, missed, to } = passed("0 * * * *", CatchUp::All, 0, now);
        assert_eq!(fire.len(), SCHEDULE_CATCH_UP_MAX);
        assert_eq!(missed, (SCHEDULE_MISSED_COUNTED_MAX - SCHEDULE_CATCH_UP_MAX) as u64);
        assert_eq!((fire.last().copied(), to), (Some(to), WallClock(1_000_000 * HOUR)));
    }

    proptest! {
        /// Looks at any times: no due time is dealt with twice, and none is passed over.
        #[test]
        fn each_due_time_is_fired_or_missed_once(
            steps in proptest::collection::vec(1..3 * HOUR, 1..40),
            cron in prop_oneof![Just("*/7 * * * *"), Just("30 */2 * * *"), Just("10 0,5 * * * *")],
            catch_up in prop_oneof![Just(CatchUp::None), Just(CatchUp::Last), Just(CatchUp::All)],
        ) {
            let timetable = Timetable::new(cron, "Europe/Berlin").unwrap();
            let (start, mut now) = (WallClock(1_774_742_400_000), 1_774_742_400_000);
            let (mut to, mut fire, mut missed) = (start, Vec::new(), 0);
            for step in steps {
                now += step;
                let first = timetable.next_after(to).unwrap();
                if first <= WallClock(now) {
                    let passed = DueTimes::passed(&timetable, catch_up, (to, first), WallClock(now));
                    fire.extend(passed.fire);
                    missed += passed.missed;
                    to = passed.to;
                }
            }
            let all = std::iter::successors(Some(start), |due| timetable.next_after(*due));
            let all: Vec<_> = all.skip(1).take_while(|due| due.0 <= now).collect();
            prop_assert!(fire.is_sorted_by(|one, other| one < other));
            prop_assert!(fire.iter().all(|due| all.contains(due)));
            prop_assert_eq!(fire.len() as u64 + missed, all.len() as u64);
            if catch_up == CatchUp::All {
                prop_assert_eq!(missed, 0);
            }
        }
    }
}
