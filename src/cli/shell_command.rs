//! A command of the shell that is run for a message: `consume --exec` and `reply --exec`.

use super::interrupt::Interrupt;
use super::target::{self, Fault};
use forebay_client::Incoming;
use forebay_client::limits::BODY_SIZE_MAX;
use rustix::process::{Pid, Signal, kill_process_group};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// How a command ended.
pub(crate) enum End {
    /// With what it printed, where that was asked for.
    Success(Vec<u8>),
    Failure(ExitStatus),
    /// We ended it, or its output was longer than a body may be.
    Killed,
}

/// A command that is done.
pub(crate) struct Ended {
    pub(crate) end: End,
    /// A signal came meanwhile: no other message is to be handled.
    pub(crate) is_interrupted: bool,
}

/// Whether the command's standard output is ours or is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandOutput {
    Inherited,
    Read,
}

/// Runs it with the body on its standard input.
///
/// An interrupt lets the command finish, a second one kills it. The command's process group is its
/// own, so that the terminal's Ctrl-C leaves it alone.
///
/// # Errors
/// When the shell can't be started or its output can't be read.
pub(crate) async fn execute(
    command: &str,
    message: &Incoming,
    output: CommandOutput,
    interrupt: &mut Interrupt,
) -> Result<Ended, Fault> {
    let id = message.message_id().map(|id| id.to_string()).unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env("AMQP_EXCHANGE", message.exchange().to_string())
        .env("AMQP_ROUTING_KEY", message.routing_key().to_string())
        .env("AMQP_MESSAGE_ID", id)
        .env("AMQP_REDELIVERED", message.is_redelivered().to_string())
        .env("AMQP_DELIVERY_COUNT", message.delivery_count().to_string())
        .stdin(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if output == CommandOutput::Read {
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
                    target::tell(format_args!("what the command printed is longer than {BODY_SIZE_MAX} bytes"));
                    End::Killed
                } else if status.success() {
                    End::Success(bytes)
                } else {
                    End::Failure(status)
                };
                return Ok(Ended { end, is_interrupted });
            }
            () = interrupt.next() => match (is_interrupted, group) {
                (true, Some(group)) => {
                    // It may have ended just now.
                    let _ = kill_process_group(group, Signal::KILL);
                    run.await?;
                    return Ok(Ended { end: End::Killed, is_interrupted });
                }
                _ => is_interrupted = true,
            },
        }
    }
}

/// The shell's codes for a command that it can't run or can't find: no message is to blame.
pub(crate) fn is_no_command(status: ExitStatus) -> bool {
    matches!(status.code(), Some(126 | 127))
}

/// What the commands made of their messages.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u64,
}

impl Failures {
    /// The first one is told, with what becomes of its message; the others are counted.
    pub(crate) fn add(&mut self, status: ExitStatus, fate: &str) {
        self.count += 1;
        if self.count == 1 {
            target::tell(format_args!("the command failed for a message ({status}); {fate}"));
        }
    }

    /// # Errors
    /// When a command failed.
    pub(crate) fn result(&self) -> Result<(), Fault> {
        match self.count {
            0 => Ok(()),
            1 => Err("the command failed for 1 delivery".into()),
            count => Err(format!("the command failed for {count} deliveries").into()),
        }
    }
}
