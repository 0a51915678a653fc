//! Times in recordings.

use std::time::{Duration, UNIX_EPOCH};

/// What is before this, in seconds since 1970, is counted from the beginning of the recording.
const DATE_MIN: f64 = 1e9;

/// Seconds, from a number in seconds, milliseconds, microseconds or nanoseconds, or from a date with a time in UTC or with
/// an offset.
pub(super) fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then(|| of_number(number));
    }
    of_date(text)
}

pub(super) fn of_number(number: f64) -> f64 {
    match number {
        _ if number > 1e17 => number / 1e9,
        _ if number > 1e14 => number / 1e6,
        _ if number > 1e11 => number / 1e3,
        _ => number,
    }
}

fn of_date(text: &str) -> Option<f64> {
    let text = text
        .trim()
        .replace(" UTC", "Z")
        .replace(['T', 't'], " ")
        .replace(" +", "+")
        .replace(" -", "-");
    let text = text.trim_end_matches(['Z', 'z']);
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let (time, offset) = match time.rfind(['+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "+00:00"),
    };
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let moment = humantime::parse_rfc3339_weak(&format!("{date} {time}")).ok()?;
    let local = moment.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let (sign, digits) = offset.split_at_checked(1)?;
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let hours: f64 = digits.get(..2)?.parse().ok()?;
    let minutes: f64 = digits.get(2..4).unwrap_or("00").parse().ok()?;
    let ahead = hours * 3600.0 + minutes * 60.0;
    Some(if sign == "-" { local + ahead } else { local - ahead })
}

/// For people: a date in UTC, or the day and the time since the beginning.
pub(crate) fn text(seconds: u64) -> String {
    if (seconds as f64) < DATE_MIN {
        let (hour, minute) = (seconds % 86_400 / 3600, seconds % 3600 / 60);
        return format!("day {} {hour:02}:{minute:02}:{:02}", seconds / 86_400, seconds % 60);
    }
    let moment = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(moment).to_string().replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_tools_write() {
        let at = 1_764_504_000.0;
        for text in [
            "1764504000",
            "1764504000.0",
            "1764504000000",
            "1764504000000000",
            "2025-11-30T12:00:00Z",
            "2025-11-30 12:00:00",
            "2025-11-30 12:00",
            "2025-11-30T13:00:00+01:00",
            "2025-11-30T07:00:00.000-0500",
            "2025-11-30 12:00:00 UTC",
        ] {
            assert_eq!(seconds(text), Some(at), "{text}");
        }
        assert_eq!(seconds("60"), Some(60.0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(text(1_764_504_000), "2025-11-30 12:00:00");
        assert_eq!(text(2 * 86_400 + 3_661), "day 2 01:01:01");
    }
}
