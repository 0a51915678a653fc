//! Why a schedule is refused.

/// A schedule that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ScheduleError {
    /// The field, as `time_zone`.
    pub field: &'static str,
    /// What was found there and what is allowed.
    pub reason: String,
}

impl ScheduleError {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}
