//! A broker of this very program, as a child process on a temporary directory.

use std::env::current_exe;
use std::error::Error;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

type Fault = Box<dyn Error + Send + Sync>;

/// Where `forebay serve` says that it listens.
const LISTENING: &str = "listening for AMQP 0-9-1 on ";

/// Killed, and its directory removed, when dropped.
pub(super) struct Broker {
    // Held: a child that is dropped is killed.
    _child: Child,
    directory: PathBuf,
    pub(super) url: String,
}

impl Broker {
    pub(super) async fn start() -> Result<Self, Fault> {
        let directory = std::env::temp_dir().join(format!("forebay-demo-{}", std::process::id()));
        let mut child = Command::new(current_exe()?)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let address = listening(output, errors).await;
        let broker = Self {
            _child: child,
            directory,
            url: format!("amqp://{}", address.as_deref().unwrap_or_default()),
        };
        match address {
            Some(_) => Ok(broker),
            None => Err("the demo's broker did not start; see `forebay serve`".into()),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A directory that can't be removed is left for the system's cleaning.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The address in the broker's log; the log is read on, so that it never blocks.
async fn listening(output: Option<ChildStdout>, errors: Option<ChildStderr>) -> Option<String> {
    let (mut output, mut errors) =
        (BufReader::new(output?).lines(), BufReader::new(errors?).lines());
    loop {
        let line = tokio::select! {
            line = output.next_line() => line,
            line = errors.next_line() => line,
        };
        let line = line.ok()??;
        if let Some((_, address)) = line.split_once(LISTENING) {
            let address = address.split_whitespace().next().map(ToOwned::to_owned);
            tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
            tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
            return address;
        }
    }
}
