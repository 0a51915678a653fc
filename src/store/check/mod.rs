//! Reads what is on disk and says what is damaged, before fjall does and beside it.

pub(crate) mod delayed_survey;
pub(crate) mod journal_check;
pub(crate) mod level_survey;
pub(crate) mod manifest_check;
pub(crate) mod scrub_counters;
pub(crate) mod scrubber;
pub(crate) mod shared_survey;
pub(crate) mod survey;
pub mod verify;
