//! The demo's consumers, and what they have handled.

use super::consumer::Consumer;
use crate::cli::target::Fault;
use std::collections::HashMap;
use std::env::current_exe;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How often each order was handled.
type Handled = Arc<Mutex<HashMap<u64, u64>>>;

/// Consumer processes; killed when dropped.
pub(super) struct Crew {
    children: Vec<Child>,
    handled: Handled,
}

impl Crew {
    /// Starts so many consumers.
    pub(super) fn start(consumer: &Consumer, count: u64) -> Result<Self, Fault> {
        let handled = Handled::default();
        let start = |_| {
            let mut child = Command::new(current_exe()?)
                .args(["demo", "consumer", "--url", &consumer.url, "--queue", &consumer.queue])
                .args(["--rate", &consumer.rate.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(output) = child.stdout.take() {
                let handled = Arc::clone(&handled);
                tokio::spawn(async move {
                    let mut lines = BufReader::new(output).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        if let Ok(order) = line.parse() {
                            let mut handled =
                                handled.lock().unwrap_or_else(PoisonError::into_inner);
                            *handled.entry(order).or_default() += 1;
                        }
                    }
                });
            }
            Ok::<_, Fault>(child)
        };
        let children = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { children, handled })
    }

    /// Orders handled.
    pub(super) fn handled(&self) -> u64 {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Orders handled more than once.
    pub(super) fn handled_twice(&self) -> u64 {
        let handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        handled.values().filter(|times| **times > 1).count() as u64
    }

    /// Orders among the first `count`, but for one, that were never handled.
    pub(super) fn missing(&self, count: u64, but: u64) -> u64 {
        let handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        (0..count).filter(|order| *order != but && !handled.contains_key(order)).count() as u64
    }

    /// `kill -9` for one of them.
    pub(super) async fn kill_one(&mut self) -> Result<(), Fault> {
        if let Some(mut child) = self.children.pop() {
            child.kill().await?;
        }
        Ok(())
    }
}
