//! Gives disk space back.

pub(crate) mod dead_tables;
pub(crate) mod garbage;
pub(crate) mod reclaim_queue;
pub(crate) mod reclaimer;
