//! The tasks of a worker, from its start to its end.

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{ConsumeError, consumer::Canceller};

/// Tasks that take messages from one consumer until it has no more. Dropping them ends them at their next await.
pub(super) struct Tasks(JoinSet<Result<(), ConsumeError>>);

impl Tasks {
    /// Starts so many.
    pub(super) fn start<F>(count: u16, task: impl Fn() -> F) -> Self
    where
        F: Future<Output = Result<(), ConsumeError>> + Send + 'static,
    {
        Self((0..count).map(|_| task()).collect())
    }

    /// Waits until `stop` is cancelled, or all tasks have ended by themselves. After the stop the consumer is
    /// cancelled, and the tasks have as long as `grace` says, for ever if it says nothing.
    ///
    /// # Errors
    /// What ended a task.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
        canceller: Canceller,
        grace: Option<Duration>,
    ) -> Result<(), ConsumeError> {
        let early = tokio::select! {
            () = stop.cancelled() => None,
            ended = self.join() => Some(ended),
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                if let Err(error) = canceller.cancel().await {
                    tracing::debug!(%error, "the consumer is gone already");
                }
                match grace {
                    None => self.join().await,
                    Some(limit) => timeout(limit, self.join()).await.unwrap_or(Ok(())),
                }
            }
        };
        self.0.shutdown().await;
        ended
    }

    /// Waits until every task has ended; an error of one is returned.
    async fn join(&mut self) -> Result<(), ConsumeError> {
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            match ended {
                Ok(Err(error)) => result = Err(error),
                Ok(Ok(())) => {}
                // Handlers' panics are caught before; a store or a key function has panicked.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        result
    }
}
