//! Due times against a walk over every minute, in zones whose clocks jump; and what is refused.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const MINUTE_SECONDS: i64 = 60;
const WALK_DAYS: i64 = 4;

/// Where clocks go forward and back, by an hour, half an hour and a day; and where they never do.
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
];

/// A field of an expression: as text, and the values that it stands for.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: BTreeSet<i8>,
}

impl Field {
    fn is_star(&self) -> bool {
        self.text == "*"
    }
}

fn field(low: i8, high: i8) -> impl Strategy<Value = Field> {
    let every = move |step: i8| (low..=high).step_by(step as usize).collect();
    prop_oneof![
        Just(Field { text: "*".to_owned(), values: every(1) }),
        (low..=high).prop_map(|value| Field { text: value.to_string(), values: [value].into() }),
        (2..20_i8).prop_map(move |step| Field { text: format!("*/{step}"), values: every(step) }),
        (low..=high, low..=high).prop_filter("two", |(one, other)| one != other).prop_map(
            |(one, other)| Field { text: format!("{one},{other}"), values: [one, other].into() }
        ),
        (low..high).prop_flat_map(move |first| (Just(first), first + 1..=high)).prop_map(
            |(first, last)| Field {
                text: format!("{first}-{last}"),
                values: (first..=last).collect()
            }
        ),
    ]
}

/// Minute, hour, day of month, month, day of week.
#[derive(Clone, Debug)]
struct Expression([Field; 5]);

prop_compose! {
    fn expression()(
        minute in field(0, 59),
        hour in field(0, 23),
        day in field(1, 31),
        month in prop_oneof![4 => Just(Field { text: "*".to_owned(), values: (1..=12).collect() }), 1 => field(1, 12)],
        weekday in field(0, 6),
        is_daily in any::<bool>(),
    ) -> Expression {
        let all = |low, high| Field { text: "*".to_owned(), values: (low..=high).collect() };
        if is_daily {
            return Expression([minute, hour, all(1, 31), all(1, 12), all(0, 6)]);
        }
        Expression([minute, hour, day, month, weekday])
    }
}

impl Expression {
    fn text(&self) -> String {
        self.0.each_ref().map(|field| field.text.clone()).join(" ")
    }

    /// One time of day.
    fn is_fixed(&self) -> bool {
        let is_number = |field: &Field| field.text.parse::<i8>().is_ok();
        is_number(&self.0[0]) && is_number(&self.0[1])
    }

    fn has_day(&self, at: jiff::civil::DateTime) -> bool {
        let [_, _, days, months, weekdays] = &self.0;
        let has_day = days.values.contains(&at.day());
        let has_weekday = weekdays.values.contains(&at.weekday().to_sunday_zero_offset());
        let is_day = match (days.is_star(), weekdays.is_star()) {
            // As in every cron: one of the two is enough when both are said.
            (false, false) => has_day || has_weekday,
            _ => has_day && has_weekday,
        };
        is_day && months.values.contains(&at.month())
    }

    fn has(&self, at: jiff::civil::DateTime) -> bool {
        self.has_day(at)
            && self.0[0].values.contains(&at.minute())
            && self.0[1].values.contains(&at.hour())
    }

    /// Every minute of some days, by the wall clock of a zone.
    fn walk(&self, zone: &TimeZone, start: i64, end: i64) -> Vec<i64> {
        let civil = |second: i64| zone.to_datetime(Timestamp::from_second(second).unwrap());
        let minute = jiff::SignedDuration::from_mins(1);
        // Clocks that went back shortly before count, too.
        let first = start - 3 * 3600;
        let (mut due, mut seen, mut last) = (Vec::new(), BTreeSet::new(), civil(first - 60));
        for second in (first..=end).step_by(MINUTE_SECONDS as usize) {
            let now = civil(second);
            let mut is_due = self.has(now) && !(self.is_fixed() && seen.contains(&now));
            let mut left_out = last.checked_add(minute).unwrap();
            while self.is_fixed() && left_out < now {
                // What clocks leave out comes when they go on, up to two hours late.
                let late = now.duration_since(left_out);
                is_due |= self.has(left_out)
                    && late <= jiff::SignedDuration::from_hours(2)
                    && self.has_day(now);
                left_out = left_out.checked_add(minute).unwrap();
            }
            if is_due && second > start {
                due.push(second);
            }
            seen.insert(now);
            last = now;
        }
        due
    }
}

/// Days around which the clocks of some zone jump, and any others.
fn starts() -> impl Strategy<Value = i64> {
    let around = |date: &str| {
        let date: Timestamp = date.parse().unwrap();
        let first = date.as_second();
        (first - 3 * 86_400..first + 86_400).boxed()
    };
    prop_oneof![
        around("2026-03-29T01:00:00Z"),
        around("2026-10-25T01:00:00Z"),
        around("2026-03-08T07:00:00Z"),
        around("2026-11-01T06:00:00Z"),
        around("2026-04-04T15:00:00Z"),
        around("2026-10-03T15:30:00Z"),
        around("2018-11-04T03:00:00Z"),
        around("2018-02-18T02:00:00Z"),
        around("2011-12-30T10:00:00Z"),
        around("2021-04-03T14:00:00Z"),
        (1_500_000_000..4_000_000_000_i64).boxed(),
    ]
}

fn seconds(times: impl Iterator<Item = WallClock>) -> Vec<i64> {
    times.map(|time| i64::try_from(time.0 / 1000).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn due_times_are_those_of_a_walk_over_every_minute(
        expression in expression(),
        zone in proptest::sample::select(&ZONES[..]),
        start in starts(),
    ) {
        // An expression may be of days that there are not.
        let Ok(timetable) = Timetable::new(&expression.text(), zone) else { return Ok(()) };
        let start = start - start.rem_euclid(MINUTE_SECONDS);
        let end = start + WALK_DAYS * 86_400;
        let expected = expression.walk(&timetable.zone, start, end);
        let (start, end) = (WallClock(start as u64 * 1000), WallClock(end as u64 * 1000));

        let next = |due: &WallClock| timetable.next_after(*due);
        let found = std::iter::successors(timetable.next_after(start), next);
        prop_assert_eq!(&seconds(found.take_while(|due| *due <= end)), &expected);

        let last = |due: &WallClock| timetable.last_until(WallClock(due.0 - 1));
        let found = std::iter::successors(timetable.last_until(end), last);
        let mut found = seconds(found.take_while(|due| *due > start));
        found.reverse();
        prop_assert_eq!(&found, &expected);
    }

    #[test]
    fn no_expression_makes_reading_panic(cron in ".{0,40}", zone in ".{0,20}") {
        let _ = Timetable::new(&cron, "UTC");
        let _ = Timetable::new("* * * * *", &zone);
    }

    #[test]
    fn what_looks_like_an_expression_is_read_or_refused(
        cron in proptest::collection::vec("[0-9*,/LW#?+-]{1,6}", 4..8),
        moment in any::<u64>(),
    ) {
        if let Ok(timetable) = Timetable::new(&cron.join(" "), "Europe/Berlin") {
            let _ = timetable.next_after(WallClock(moment));
            let _ = timetable.last_until(WallClock(moment));
        }
    }
}

fn at(date: &str) -> WallClock {
    let date: Timestamp = date.parse().unwrap();
    wall_clock(&date.to_zoned(TimeZone::UTC)).unwrap()
}

fn next(cron: &str, zone: &str, after: &str) -> String {
    let due = Timetable::new(cron, zone).unwrap().next_after(at(after)).unwrap();
    Timestamp::from_millisecond(due.0 as i64).unwrap().to_string()
}

#[test]
fn one_time_of_day_comes_once_a_day_also_when_clocks_jump() {
    // 2:30 is left out on March 29th, and comes twice on October 25th.
    let nightly = |after: &str| next("30 2 * * *", "Europe/Berlin", after);
    assert_eq!(nightly("2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
    assert_eq!(nightly("2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
    assert_eq!(nightly("2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(nightly("2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
}

#[test]
fn what_comes_several_times_an_hour_goes_on_evenly_when_clocks_jump() {
    let often = |after: &str| next("*/30 * * * *", "Europe/Berlin", after);
    assert_eq!(often("2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
    for (after, expected) in [("00:00", "00:30"), ("00:30", "01:00"), ("01:00", "01:30")] {
        let date = |time: &str| format!("2026-10-25T{time}:00Z");
        let due = often(&date(after));
        assert_eq!(due, date(expected));
    }
}

#[test]
fn names_and_seconds_are_understood() {
    assert_eq!(next("@daily", "Asia/Kolkata", "2026-12-01T00:00:00Z"), "2026-12-01T18:30:00Z");
    assert_eq!(next("0 9 * * MON-FRI", "UTC", "2026-12-04T10:00:00Z"), "2026-12-07T09:00:00Z");
    assert_eq!(next("*/5 * * * * *", "UTC", "2026-12-04T10:00:01Z"), "2026-12-04T10:00:05Z");
    assert_eq!(next("0 0 L * *", "utc", "2028-02-01T00:00:00Z"), "2028-02-29T00:00:00Z");
    assert_eq!(next("0 0 29 2 *", "UTC", "2026-12-01T00:00:00Z"), "2028-02-29T00:00:00Z");
}

#[test]
fn what_can_not_be_is_refused_with_what_is_allowed() {
    for (cron, zone, field, expected) in [
        ("0 2 * *", "UTC", "cron", "expected five fields"),
        ("0 2 * * * * *", "UTC", "cron", "expected five fields"),
        ("61 2 * * *", "UTC", "cron", "'61 2 * * *' can't be read"),
        ("@sometimes", "UTC", "cron", "@hourly, @daily"),
        ("", "UTC", "cron", "expected five fields"),
        ("0 0 30 2 *", "UTC", "cron", "is never due"),
        (
            "0 2 * * *",
            "Europe/Atlantis",
            "time_zone",
            "'Europe/Atlantis' is no time zone of the IANA",
        ),
        ("0 2 * * *", "", "time_zone", "expected a name such as Europe/Berlin, or UTC"),
    ] {
        let error = Timetable::new(cron, zone).unwrap_err();
        assert_eq!(error.field, field, "{cron} {zone}");
        assert!(error.reason.contains(expected), "{}", error.reason);
    }
}
