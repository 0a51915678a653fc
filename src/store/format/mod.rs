//! What is on disk, byte by byte.

pub(crate) mod ack_value;
pub(crate) mod checksummed;
pub(crate) mod commit_value;
pub(crate) mod cursor;
pub(crate) mod delayed_value;
pub(crate) mod high_water;
pub(crate) mod key;
pub(crate) mod page_value;
pub(crate) mod progress;
