//! One timer for a state machine whose next time-out mostly moves later: it is set anew only
//! when it must fire earlier, and may fire early, which the engine's `handle_timeout` allows.

use crate::system::clock::Clock;
use forebay_engine::model::Monotonic;
use std::pin::Pin;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is unset at first.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
}

impl Timer {
    /// Makes sure that it fires no later than `timeout`.
    pub fn arm(&mut self, clock: Clock, timeout: Option<Monotonic>) {
        let Some(wanted) = timeout.and_then(|moment| clock.instant(moment)) else { return };
        if self.armed.is_some_and(|armed| armed <= wanted) {
            return;
        }
        self.armed = Some(wanted);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(wanted),
            none => *none = Some(Box::pin(sleep_until(wanted))),
        }
    }

    /// Waits until it fires; for ever while it is unset. Dropping the wait loses nothing.
    pub async fn fired(&mut self) {
        match (&mut self.sleep, self.armed) {
            (Some(sleep), Some(_)) => sleep.as_mut().await,
            _ => std::future::pending().await,
        }
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_the_earliest_time_asked_for() {
        let clock = Clock::start();
        let started = Instant::now();
        let mut timer = Timer::default();
        timer.arm(clock, Some(Monotonic(60_000)));
        timer.arm(clock, Some(Monotonic(20_000)));
        timer.arm(clock, Some(Monotonic(90_000)));
        timer.fired().await;
        let elapsed = started.elapsed().as_secs();
        assert!((19..=21).contains(&elapsed), "{elapsed}");
    }
}
