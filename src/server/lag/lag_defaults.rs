//! What holds for queues that say nothing of lag themselves, by argument or policy.

use forebay_lag::Settings;

/// What holds for queues that say nothing of lag themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LagDefaults {
    /// Whether queues are watched at all.
    pub is_enabled: bool,
    /// Their settings.
    pub settings: Settings,
}

impl Default for LagDefaults {
    fn default() -> Self {
        Self { is_enabled: true, settings: Settings::default() }
    }
}
