//! A broker of this very program, as a child process on a temporary directory.

use crate::cli::admin::AdminTarget;
use crate::cli::target::Fault;
use std::env::current_exe;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};

/// Where `forebay serve` says that it listens for clients, and for operators.
const CLIENTS: &str = "listening for AMQP 0-9-1 on ";
const OPERATORS: &str = "admin on http://";

/// Killed when dropped; its directory goes with it.
pub(super) struct Broker {
    child: Child,
    _directory: TempDir,
    pub(super) url: String,
    pub(super) admin: AdminTarget,
}

impl Broker {
    /// Starts it on free ports.
    pub(super) async fn start() -> Result<Self, Fault> {
        let directory = TempDir::with_prefix("forebay-demo-")?;
        let mut command = Command::new(current_exe()?);
        command.arg("serve").arg("--data-dir").arg(directory.path());
        for listener in ["--listen", "--metrics-listen", "--admin-listen"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        // The demo's broker has the defaults, whatever the settings of the caller's own broker are.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("FOREBAY_") || name.starts_with("RABBITMQ_") {
                command.env_remove(&*name);
            }
        }
        let piped = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.kill_on_drop(true).spawn()?;
        let log = child.stderr.take().ok_or("the demo's broker has no log")?;
        let mut log = BufReader::new(log).lines();
        let (clients, operators) = addresses(&mut log).await?;
        // Read on, so that the broker never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Ok(Self {
            child,
            _directory: directory,
            url: format!("amqp://{clients}"),
            admin: AdminTarget::of_fresh_broker(operators),
        })
    }

    /// Ends it before its directory goes.
    pub(super) async fn stop(mut self) -> Result<(), Fault> {
        self.child.kill().await?;
        Ok(())
    }
}

/// Both addresses, when the broker listens. One that ends without them has said why last.
async fn addresses(
    log: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
) -> Result<(String, String), Fault> {
    let (mut clients, mut operators) = (None, None);
    let mut last = "see `forebay serve`".to_owned();
    while let Some(line) = log.next_line().await? {
        clients = clients.or_else(|| address(&line, CLIENTS));
        operators = operators.or_else(|| address(&line, OPERATORS));
        if let (Some(clients), Some(operators)) = (&clients, &operators) {
            return Ok((clients.clone(), operators.clone()));
        }
        last = line;
    }
    Err(format!("the demo's broker did not start: {last}").into())
}

fn address(line: &str, before: &str) -> Option<String> {
    let (_, address) = line.split_once(before)?;
    address.split(['/', ' ']).next().map(str::to_owned)
}
