//! The time as an argument: the engine has no clock, its caller says what time it is.

/// Milliseconds on a clock that never jumps and starts anywhere: for time-outs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

/// Milliseconds since the UNIX epoch: for what is shown, stored or outlives the process. It may
/// jump either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallClock(pub u64);

/// The moment at which an input is handled, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For time-outs.
    pub monotonic: Monotonic,
    /// For timestamps.
    pub wall: WallClock,
}

impl Monotonic {
    /// Before every other moment: what is wanted then is wanted now.
    pub const AT_ONCE: Self = Self(0);

    /// This moment plus `milliseconds`, at most the end of time.
    #[must_use]
    pub const fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}
