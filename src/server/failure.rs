//! What ends the process: faults that can't be gone on from without breaking a promise.

use crate::limits::COMMIT_DURATION_MAX;
use forebay_store::StoreError;
use tokio::sync::mpsc;

/// Why the broker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Writing failed. Nothing of the failed commit was confirmed.
    #[error("{error}; nothing that was not durable has been confirmed. {}", advice(.0), error = .0)]
    Store(StoreError),
    /// Writing hangs.
    #[error("a commit has taken longer than {} s: the disk or the store hangs; nothing that was not durable has been confirmed. See the system log for disk errors and start the broker again", COMMIT_DURATION_MAX.as_secs())]
    CommitOverdue,
    /// A part of the broker ended by itself: a defect.
    #[error(
        "the {0} ended unexpectedly; this is a defect of the broker, please report it with the log"
    )]
    Ended(&'static str),
}

fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Damaged(_) => {
            "`forebay verify` names everything that is damaged; restore a backup, or go on without \
             what is missing with `forebay repair --accept-loss`, both on the broker's data directory"
        }
        _ => {
            "Mend the cause (disk full? disk faulty? see the system log) and start the broker again"
        }
    }
}

/// Where failures are reported; the first one counts.
#[derive(Clone, Debug)]
pub struct FailureSender(mpsc::UnboundedSender<Failure>);

/// Where the broker waits for them.
#[derive(Debug)]
pub struct FailureReceiver(mpsc::UnboundedReceiver<Failure>);

/// A way for failures from anywhere to the broker.
#[must_use]
pub fn failures() -> (FailureSender, FailureReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (FailureSender(sender), FailureReceiver(receiver))
}

impl FailureSender {
    /// Reports a failure.
    pub fn report(&self, failure: Failure) {
        // Nobody listens any more when the broker is ending already.
        let _ = self.0.send(failure);
    }
}

impl FailureReceiver {
    /// Waits for the first failure.
    pub async fn first(&mut self) -> Failure {
        match self.0.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}
