//! The signals by which a process is told to end.

use std::io;

use tokio_util::sync::CancellationToken;

/// A token that is cancelled when the process is told to end, for [`crate::Worker::run`]: by `SIGTERM` (a
/// deployment, a container that is stopped) or by `SIGINT` (Ctrl-C). From this call on these signals do not end the
/// process by themselves. To be called within a tokio runtime.
///
/// # Errors
/// The system refuses to watch the signals.
pub fn stop_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    #[cfg(unix)]
    let end = {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    };
    #[cfg(not(unix))]
    let end = async { drop(tokio::signal::ctrl_c().await) };
    tokio::spawn(async move {
        end.await;
        told.cancel();
    });
    Ok(stop)
}
