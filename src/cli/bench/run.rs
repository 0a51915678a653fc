//! What the tasks of a run share.

use super::super::interrupt::Interrupt;
use super::plan::Bench;
use super::stamp::Clock;
use forebay_client::CancellationToken;
use std::sync::atomic::AtomicU64;
use tokio::task::JoinHandle;

/// What producers and consumers count while they run.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) received: AtomicU64,
    /// Received, of this run, and surely for the first time.
    pub(super) arrived: AtomicU64,
}

/// What a run is about, shared by its tasks.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: u32,
    pub(super) bench: Bench,
    pub(super) queue: String,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
}

/// How the run is ended before its time.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    pub(super) sending: CancellationToken,
    pub(super) receiving: CancellationToken,
    pub(super) interrupted: CancellationToken,
}

impl Stop {
    /// The first interrupt ends the sending, and what was sent is still received; the second ends
    /// all.
    pub(super) fn when_interrupted(self, mut interrupt: Interrupt) -> JoinHandle<()> {
        tokio::spawn(async move {
            for stop in [self.sending, self.receiving] {
                interrupt.next().await;
                self.interrupted.cancel();
                stop.cancel();
            }
        })
    }
}
