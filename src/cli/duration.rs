//! Times on the command line.

use std::time::Duration;

/// Longer is not meant.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// `500ms`, `10s`, `2m`, `1h 30m`, or seconds without a unit; a year at most.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write it as 500ms, 10s, 2m or 1h"))?,
    };
    if duration <= DURATION_MAX { Ok(duration) } else { Err("a year is the longest".into()) }
}

/// An age or a time to wait in its two largest units, for people: `1h 1m`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = Duration::from_secs(duration.as_secs());
    let whole = humantime::format_duration(seconds).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A shorter time between two requests is no look at a broker but a load on it.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A [`duration`] between two requests: 100 ms at least.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval >= INTERVAL_MIN { Ok(interval) } else { Err("100ms is the shortest".into()) }
}

/// Messages per second: a positive number, fractions allowed.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "write the messages per second as a number, 0.001 at least".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert!(duration("soon").is_err() && duration("").is_err() && duration("-1s").is_err());
        assert!(duration("400days").unwrap_err().contains("a year"));
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert!(interval("0s").is_err() && interval("99ms").is_err());
        assert!(duration("18446744073709551615m").is_err());
    }

    #[test]
    fn an_age_has_two_units() {
        let shown = [0, 59, 61, 3_661, 90_061].map(|age| short(Duration::from_secs(age)));
        assert_eq!(shown, ["0s", "59s", "1m 1s", "1h 1m", "1day 1h"]);
        assert_eq!(short(Duration::from_millis(999)), "0s");
    }

    #[test]
    fn a_rate_is_positive() {
        assert_eq!((rate("0.5"), rate("5000")), (Ok(0.5), Ok(5_000.0)));
        for wrong in ["0", "-1", "NaN", "inf", "1e-300", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
