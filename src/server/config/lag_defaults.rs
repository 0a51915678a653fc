//! The `[lag]` table of the configuration file: whether what lag is normal is learnt, and what holds for queues that
//! don't say themselves.

use crate::config::config_time::Milliseconds;
use crate::config::config_value::{Flag, HistoryDays, LearnDays, LinePercent};
use crate::lag::LagDefaults;
use forebay_lag::Settings;
use serde::Deserialize;

/// The table as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of what holds for the lag of queues")]
pub struct ConfigLag {
    /// Whether queues are watched.
    pub enabled: Option<Flag>,
    /// The alert line, in hundredths of the normal peak.
    pub line_percent: Option<LinePercent>,
    /// Days that a new level must hold until it is normal by itself.
    pub learn_days: Option<LearnDays>,
    /// Days that are kept of each queue.
    pub history_days: Option<HistoryDays>,
    /// The age that no message may pass.
    pub max_age_slo_ms: Option<Milliseconds>,
}

/// More days are to be learnt from than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "lag.learn_days: {learn_days}, expected at most lag.history_days, which is {history_days}: older days are not kept"
)]
pub struct TooManyLearnDays {
    learn_days: u16,
    history_days: u16,
}

impl ConfigLag {
    /// What this says, and what `below` says where this says nothing.
    #[must_use]
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            line_percent: self.line_percent.or(below.line_percent),
            learn_days: self.learn_days.or(below.learn_days),
            history_days: self.history_days.or(below.history_days),
            max_age_slo_ms: self.max_age_slo_ms.or(below.max_age_slo_ms),
        }
    }

    /// What the table means.
    ///
    /// # Errors
    /// When more days are to be learnt from than are kept.
    pub fn resolve(&self) -> Result<LagDefaults, TooManyLearnDays> {
        let mut settings = Settings::default();
        if let Some(LinePercent(percent)) = self.line_percent {
            settings.line_factor = f64::from(percent) / 100.0;
        }
        if let Some(HistoryDays(days)) = self.history_days {
            settings.history_days = days;
            settings.learn_days = settings.learn_days.min(days);
        }
        if let Some(LearnDays(days)) = self.learn_days {
            settings.learn_days = days;
        }
        if let Some(Milliseconds(age)) = self.max_age_slo_ms {
            settings.age_max_seconds = age.map(|age| f64::from(age) / 1000.0);
        }
        let Settings { learn_days, history_days, .. } = settings;
        if learn_days > history_days {
            return Err(TooManyLearnDays { learn_days, history_days });
        }
        Ok(LagDefaults { is_enabled: self.enabled.is_none_or(|Flag(value)| value), settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<LagDefaults, String> {
        let lag: ConfigLag = toml::from_str(text).map_err(|error| error.to_string())?;
        lag.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_what_the_statistics_were_made_with() {
        assert_eq!(resolve("").unwrap(), LagDefaults::default());
        assert!(LagDefaults::default().is_enabled);
    }

    #[test]
    fn each_key_counts() {
        let text = "enabled = false\nline_percent = 300\nlearn_days = 7\nhistory_days = 21\n\
                    max_age_slo_ms = \"10m\"";
        let defaults = resolve(text).unwrap();
        let settings = Settings {
            line_factor: 3.0,
            learn_days: 7,
            history_days: 21,
            age_max_seconds: Some(600.0),
        };
        assert_eq!(defaults, LagDefaults { is_enabled: false, settings });
        assert_eq!(resolve("max_age_slo_ms = -1").unwrap(), LagDefaults::default());
        // The days that are learnt from by default are no more than are kept.
        assert_eq!(resolve("history_days = 7").unwrap().settings.learn_days, 7);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        for (text, key, expected) in [
            ("line_percent = 99", "line_percent", "100 to 100000"),
            ("learn_days = 0", "learn_days", "1 to 35"),
            ("learn_days = 36", "learn_days", "1 to 35"),
            ("history_days = 6", "history_days", "7 to 35"),
            ("max_age_slo_ms = 0", "max_age_slo_ms", "-1 for"),
            ("history_days = 7\nlearn_days = 8", "lag.learn_days", "at most lag.history_days"),
            ("days = 7", "days", "history_days"),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains(key) && error.contains(expected), "{text}: {error}");
        }
    }
}
