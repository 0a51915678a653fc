//! The program, as an operator runs it.

use crate::harness::broker::Broker;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Done {
    pub(crate) fn new(done: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: done.status.code(), output: text(done.stdout), errors: text(done.stderr) }
    }

    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!((self.code, self.errors.as_str()), (Some(0), ""), "{}", self.output);
        self.output
    }

    /// What it says on standard error when it fails.
    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.code, self.output.as_str()), (Some(1), ""), "{}", self.errors);
        self.errors
    }
}

/// A command to a broker.
pub(crate) fn forebay(arguments: &[&str], broker: &Broker) -> Done {
    Done::new(forebay_command(arguments, broker).output().unwrap())
}

/// The same, not run yet.
pub(crate) fn forebay_command(arguments: &[&str], broker: &Broker) -> Command {
    let mut command = bare(arguments);
    command.env("AMQP_URL", format!("amqp://{}", broker.address));
    command.env("FOREBAY_ADMIN", broker.admin.to_string());
    command
}

/// A command to a data directory.
pub(crate) fn offline(arguments: &[&str], directory: &Path) -> Done {
    Done::new(offline_command(arguments, directory).output().unwrap())
}

pub(crate) fn offline_command(arguments: &[&str], directory: &Path) -> Command {
    let mut command = bare(arguments);
    command.arg("--data-dir").arg(directory);
    command
}

fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    for (name, _) in std::env::vars() {
        if name.starts_with("FOREBAY_") || name.starts_with("RABBITMQ_") || name == "AMQP_URL" {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What `verify` or `repair` finds, and whether it succeeded.
#[track_caller]
pub(crate) fn found(arguments: &[&str], directory: &Path) -> (bool, Value) {
    let done = offline(&[arguments, &["--json"]].concat(), directory);
    assert_eq!(done.errors, "", "{arguments:?}");
    (done.code == Some(0), serde_json::from_str(&done.output).unwrap())
}

/// Messages of a queue that a report counts as missing.
pub(crate) fn missing(report: &Value, queue: &str) -> u64 {
    let damages = report["damages"].as_array().unwrap().iter();
    let of_queue = damages.filter(|damage| damage["queue"] == queue);
    of_queue.filter_map(|damage| damage["messages"].as_u64()).sum()
}
