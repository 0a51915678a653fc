//! What people may set for a queue.

use crate::limits::{HISTORY_DAYS, LEARN_DAYS_DEFAULT, LINE_FACTOR_DEFAULT};

/// What people may set for a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The alert line is this many normal peaks.
    pub line_factor: f64,
    /// Days for which a new level, or a new rhythm of batches, must hold until it is normal by itself.
    pub learn_days: u16,
    /// Days of history that are kept and learnt from, at most [`HISTORY_DAYS`].
    pub history_days: u16,
    /// No message may be older.
    pub age_max_seconds: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            line_factor: LINE_FACTOR_DEFAULT,
            learn_days: LEARN_DAYS_DEFAULT,
            history_days: HISTORY_DAYS as u16,
            age_max_seconds: None,
        }
    }
}
