//! The one place where time is read: the engine gets it as an argument.

use forebay_engine::model::{Monotonic, Now, WallClock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks, the monotonic one counted from the start of the broker.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time now, in milliseconds.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: Monotonic(milliseconds(self.started.elapsed())),
            wall: WallClock(milliseconds(wall)),
        }
    }

    /// When a moment of the engine's monotonic clock comes, for tokio's timers; never early.
    /// Nothing when it is beyond all calendars.
    #[must_use]
    pub fn instant(&self, moment: Monotonic) -> Option<tokio::time::Instant> {
        self.started.checked_add(Duration::from_millis(moment.0)).map(Into::into)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
