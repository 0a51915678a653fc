//! What lag is normal for a queue, from its own history, and what is not.
//!
//! Pure: no clock, no I/O. A [`QueueWatch`] is given [`Sample`]s of one queue, each with its time, and says of each what
//! is normal now, where the alert line is, and which [`Symptom`]s the queue has. Its [`History`] is what it learns from:
//! five weeks of quarter-hour peaks, encoded day by day. The broker feeds a watch for each queue; `forebay lag replay`
//! feeds it from recorded series.
//!
//! Times are seconds since any fixed beginning (1970 in the broker). The statistics compare moments that lie whole days
//! apart and know no calendar, so time zones do not matter, and a changed clock is a shift by an hour.
#![deny(missing_docs)]

mod assessment;
mod baseline;
mod column;
mod day;
mod demand;
mod growth;
mod history;
mod hold_times;
mod level;
pub mod limits;
mod pace;
mod past;
mod role;
mod sample;
mod settings;
mod sustained;
mod timeline;
mod watch;

pub use assessment::{Assessment, Symptom};
pub use baseline::{Baseline, Confidence};
pub use day::DayError;
pub use demand::Demand;
pub use history::History;
pub use hold_times::HoldTimes;
pub use past::{Past, PastLag};
pub use role::Role;
pub use sample::Sample;
pub use settings::Settings;
pub use watch::QueueWatch;
