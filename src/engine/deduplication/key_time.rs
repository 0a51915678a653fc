//! When a key was accepted, on the clocks that let it be told after a restart.

/// A moment of a process, all in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyTime {
    /// On the clock that never jumps: the wall clock at the start of the process, carried on.
    pub(crate) steady: i64,
    /// How far the wall clock was ahead of that one.
    pub(crate) ahead: i64,
    /// When the process began, by the wall clock then: tells one process from another.
    pub(crate) started: i64,
}
