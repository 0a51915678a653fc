//! What lag is normal for each queue: a watch for each, their histories on the disk, and what they say.

mod lag_defaults;
mod roles;
#[cfg(test)]
mod tests;
mod watched;
mod watches;

pub use lag_defaults::LagDefaults;
pub(crate) use watched::QueueLag;
pub use watches::LagWatches;
