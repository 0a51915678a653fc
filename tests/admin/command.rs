//! The command line against a broker's admin listener.

use crate::harness::broker::Broker;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

/// `forebay` with these arguments, not run yet.
pub(crate) fn forebay(admin: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(arguments).env("FOREBAY_ADMIN", admin.to_string()).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(broker: &Broker, arguments: &[&str]) -> Output {
    forebay(broker.admin, arguments).output().unwrap()
}

/// What it prints when it succeeds.
pub(crate) fn printed(broker: &Broker, arguments: &[&str]) -> String {
    let output = run(broker, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it complains about when it fails.
pub(crate) fn complaint(broker: &Broker, arguments: &[&str]) -> String {
    let output = run(broker, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}
