//! Times on the command line.

use std::time::Duration;

/// Longer is not meant.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// `500ms`, `10s`, `2m`, or seconds without a unit; a year at most.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "write it as 500ms, 10s or 2m".to_owned())?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err("write it as 500ms, 10s or 2m".into()),
    };
    if duration <= DURATION_MAX { Ok(duration) } else { Err("a year is the longest".into()) }
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
        assert!(duration("soon").is_err() && duration("3h").is_err());
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert!(interval("0s").is_err() && interval("99ms").is_err());
        assert!(duration("18446744073709551615m").unwrap_err().contains("a year"));
    }

    #[test]
    fn a_rate_is_positive() {
        assert_eq!((rate("0.5"), rate("5000")), (Ok(0.5), Ok(5_000.0)));
        for wrong in ["0", "-1", "NaN", "inf", "1e-300", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
