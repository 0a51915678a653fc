//! How a broker process is started.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The arguments, the environment and the directory of a broker to be.
pub(crate) struct Launch {
    /// Starts the program, when it is not started directly.
    entrance: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// A broker on free ports of the loopback address with this data directory.
    pub(crate) fn on(data: &Path) -> Self {
        Self::bare()
            .argument("--data-dir")
            .argument(data.to_str().unwrap())
            .argument("--listen")
            .argument("127.0.0.1:0")
            .argument("--metrics-listen")
            .argument("127.0.0.1:0")
            .argument("--admin-listen")
            .argument("127.0.0.1:0")
    }

    /// A broker that is told nothing.
    pub(crate) fn bare() -> Self {
        Self { entrance: Vec::new(), arguments: vec!["serve".to_owned()], environment: Vec::new() }
    }

    /// Through another program, which becomes it.
    pub(crate) fn through(mut self, entrance: Vec<String>) -> Self {
        self.entrance = entrance;
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it to its end, for one that must not come up.
    pub(crate) fn output(&self) -> Output {
        self.command().output().unwrap()
    }

    /// The command, output captured, nothing of the caller's own settings in its environment.
    pub(crate) fn command(&self) -> Command {
        let mut words =
            self.entrance.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_forebay")]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for (name, _) in std::env::vars() {
            let is_setting = |prefix: &&str| name.starts_with(prefix);
            if ["FOREBAY_", "OTEL_", "RABBITMQ_"].iter().any(is_setting) {
                command.env_remove(name);
            }
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}
