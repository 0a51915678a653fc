//! What the machine has: memory, disk, files, the clock.

pub mod alarms;
pub mod clock;
pub(crate) mod data_dir_permissions;
pub(crate) mod memory_budgets;
pub mod memory_limit;
pub(crate) mod node_name;
pub mod open_files;
