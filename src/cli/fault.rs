//! Why a command failed.

/// Why a command failed, in one line.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
