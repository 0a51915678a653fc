//! Runs the program.

use crate::harness::broker;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl From<Output> for Done {
    fn from(done: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: done.status.code(), output: text(done.stdout), errors: text(done.stderr) }
    }
}

impl Done {
    /// Runs a command.
    pub(crate) fn of(mut command: Command) -> Self {
        command.output().unwrap().into()
    }

    /// Runs a command with something to read.
    pub(crate) fn with_input(mut command: Command, input: impl AsRef<[u8]>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that refuses before it reads closes its end.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        child.wait_with_output().unwrap().into()
    }

    /// What it printed, when it succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!((self.code, self.errors.as_str()), (Some(0), ""), "{}", self.output);
        self.output
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.success()).unwrap()
    }

    /// The one line in which it said why it failed.
    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.code, self.output.as_str()), (Some(1), ""), "{}", self.errors);
        let line = self.errors.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("forebay: ").unwrap().to_owned()
    }
}

/// The program with nothing of the caller's own settings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    for (name, _) in std::env::vars() {
        if name.starts_with("FOREBAY_") || name == "AMQP_URL" {
            command.env_remove(name);
        }
    }
    // No contexts either.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(arguments).env("AMQP_URL", format!("amqp://{}", broker::shared()));
    command
}

/// Runs a command with nothing to read.
pub(crate) fn run(arguments: &[&str]) -> Done {
    command(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// Runs a command with something to read.
pub(crate) fn run_with_input(arguments: &[&str], input: impl AsRef<[u8]>) -> Done {
    Done::with_input(command(arguments), input)
}

/// A queue of the test's own, declared; deleted when dropped.
pub(crate) struct Queue(pub(crate) String);

impl Queue {
    pub(crate) fn declare(of: &str) -> Self {
        Self::with(of, &[])
    }

    pub(crate) fn with(of: &str, arguments: &[&str]) -> Self {
        let name = name(of);
        run(&[&["queue", "declare", &name], arguments].concat()).success();
        Self(name)
    }

    pub(crate) fn ready(&self) -> u64 {
        run(&["queue", "count", &self.0, "--json"]).json()["ready"].as_u64().unwrap()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        run(&["queue", "delete", &self.0]);
    }
}

/// A name that no other test and no other run uses.
pub(crate) fn name(of: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("cli.{of}.{since:x}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
