//! Consumers that ask for more time for what they hold (`x-lease`), with a client that others wrote.

use crate::harness::broker::{self, is_ours};
use crate::harness::python::{interpreter, project, run};
use std::process::Command;

#[test]
fn pika_keeps_what_it_extends_and_loses_it_when_it_hangs() {
    let Some(python) = interpreter().filter(|_| is_ours()) else { return };
    run(Command::new(python)
        .arg(project().join("tests/interop/leases.py"))
        .arg(format!("amqp://guest:guest@{}", broker::shared())));
}
