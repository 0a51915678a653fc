//! Stores for tests, behind the same trait as the real one: one in memory, and one that fails on demand.

pub mod faulty;
pub mod memory;
