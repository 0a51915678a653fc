//! A command of the shell that is run for a message: `consume --exec` and `reply --exec`.

use super::interrupt::Interrupt;
use super::target::{self, Fault};
use forebay_client::limits::BODY_SIZE_MAX;
use forebay_client::{Delivery, Incoming};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt::Display;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// A command, and what came of it.
#[derive(Debug)]
pub(crate) struct ShellCommand {
    /// For `sh -c`.
    command: String,
    /// A message whose command fails is dead-lettered, and does not go back to its queue.
    is_rejecting: bool,
    /// What it prints is read, and is not printed.
    is_output_read: bool,
    failures: u64,
}

/// What became of a delivery.
pub(crate) enum Handled {
    /// The command succeeded, and the delivery is to be acknowledged; with what it printed where that is read.
    Succeeded(Delivery, Vec<u8>),
    /// It failed, and the delivery is settled.
    Failed,
    /// The shell can't run it: the delivery is to be given back without having been tried, and no other is to be handled.
    Impossible(Delivery),
}

/// How a command ended.
enum End {
    Success(Vec<u8>),
    /// With what is told.
    Failure(String),
    /// The shell can't find or run it: no message is to blame.
    NoCommand(ExitStatus),
    /// We ended it.
    Killed,
}

impl ShellCommand {
    /// One whose output is ours.
    pub(crate) fn new(command: &str, is_rejecting: bool) -> Self {
        Self { command: command.to_owned(), is_rejecting, is_output_read: false, failures: 0 }
    }

    /// One whose output is read.
    pub(crate) fn reading(command: &str, is_rejecting: bool) -> Self {
        Self { is_output_read: true, ..Self::new(command, is_rejecting) }
    }

    /// Runs it for a delivery. True with it when a signal came meanwhile.
    ///
    /// # Errors
    /// When the shell can't be started, or the delivery can't be settled.
    pub(crate) async fn handle(
        &mut self,
        delivery: Delivery,
        interrupt: &mut Interrupt,
    ) -> Result<(Handled, bool), Fault> {
        let (end, is_interrupted) = self.execute(&delivery, interrupt).await?;
        let handled = match end {
            End::Success(printed) => Handled::Succeeded(delivery, printed),
            End::NoCommand(status) => {
                self.count_failure(&status, "it is given back, and nothing more is tried");
                Handled::Impossible(delivery)
            }
            End::Failure(reason) if self.is_rejecting => {
                delivery.reject()?;
                self.count_failure(
                    &reason,
                    "it is dead-lettered, as are others whose command fails",
                );
                Handled::Failed
            }
            End::Failure(reason) => {
                delivery.nack()?;
                self.count_failure(
                    &reason,
                    "it goes back to the queue, as do others whose command fails, until the \
                     queue's delivery limit dead-letters them",
                );
                Handled::Failed
            }
            End::Killed => {
                delivery.nack()?;
                Handled::Failed
            }
        };
        Ok((handled, is_interrupted))
    }

    /// The first failure is told, with what becomes of its message; the others are counted.
    fn count_failure(&mut self, reason: &dyn Display, fate: &str) {
        self.failures += 1;
        if self.failures == 1 {
            target::tell(format_args!("the command failed for a message ({reason}); {fate}"));
        }
    }

    /// # Errors
    /// When it failed for a delivery.
    pub(crate) fn result(&self) -> Result<(), Fault> {
        match self.failures {
            0 => Ok(()),
            1 => Err("the command failed for 1 delivery".into()),
            count => Err(format!("the command failed for {count} deliveries").into()),
        }
    }

    /// Runs it with the body on its standard input.
    ///
    /// An interrupt lets the command finish, a second one kills it. The command's process group is its
    /// own, so that the terminal's Ctrl-C leaves it alone.
    ///
    /// # Errors
    /// When the shell can't be started or its output can't be read.
    async fn execute(
        &self,
        message: &Incoming,
        interrupt: &mut Interrupt,
    ) -> Result<(End, bool), Fault> {
        let id = message.message_id().map(|id| id.to_string()).unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &self.command])
            .env("AMQP_EXCHANGE", message.exchange().to_string())
            .env("AMQP_ROUTING_KEY", message.routing_key().to_string())
            .env("AMQP_MESSAGE_ID", id)
            .env("AMQP_REDELIVERED", message.is_redelivered().to_string())
            .env("AMQP_DELIVERY_COUNT", message.delivery_count().to_string())
            .stdin(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if self.is_output_read {
            shell.stdout(Stdio::piped());
        }
        let mut child = shell.spawn()?;
        let input = child.stdin.take();
        let feed = async {
            if let Some(mut input) = input {
                // A command need not read its input.
                let _ = input.write_all(message.body()).await;
            }
        };
        let printed = child.stdout.take();
        let read = async {
            let mut bytes = Vec::new();
            if let Some(printed) = printed {
                printed.take(BODY_SIZE_MAX + 1).read_to_end(&mut bytes).await?;
            }
            Ok::<_, std::io::Error>(bytes)
        };
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let run = async {
            let (_, bytes, status) = tokio::join!(feed, read, child.wait());
            Ok::<_, std::io::Error>((bytes?, status?))
        };
        let mut run = pin!(run);
        let mut is_interrupted = false;
        loop {
            tokio::select! {
                ended = &mut run => {
                    let (bytes, status) = ended?;
                    let end = if bytes.len() as u64 > BODY_SIZE_MAX {
                        End::Failure(format!("it printed more than {BODY_SIZE_MAX} bytes"))
                    } else if status.success() {
                        End::Success(bytes)
                    } else if matches!(status.code(), Some(126 | 127)) {
                        End::NoCommand(status)
                    } else {
                        End::Failure(status.to_string())
                    };
                    return Ok((end, is_interrupted));
                }
                () = interrupt.next() => match (is_interrupted, group) {
                    (true, Some(group)) => {
                        // It may have ended just now.
                        let _ = kill_process_group(group, Signal::KILL);
                        run.await?;
                        return Ok((End::Killed, is_interrupted));
                    }
                    _ => is_interrupted = true,
                },
            }
        }
    }
}
