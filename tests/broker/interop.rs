//! Clients in other languages.

use crate::harness::broker;
use crate::harness::python::{interpreter, project, run};
use std::process::Command;

#[test]
fn pika_finds_what_it_relies_on() {
    let Some(python) = interpreter() else { return };
    let address = broker::shared();
    run(Command::new(python)
        .arg(project().join("tests/interop/pika_checks.py"))
        .args([address.ip().to_string(), address.port().to_string()]));
}
