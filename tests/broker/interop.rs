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

/// What RabbitMQ 3.10.8 wrote, byte for byte. Its later versions add `x-last-death-…`, and so do
/// we.
#[test]
fn dead_letters_are_headed_as_rabbitmq_heads_them() {
    let Some(python) = interpreter() else { return };
    let script = project().join("tests/interop/dead_letter_headers.py");
    let written = run(Command::new(python)
        .arg(&script)
        .arg(format!("amqp://guest:guest@{}", broker::shared())));
    let is_common = |line: &&str| !line.starts_with("x-last-death-");
    let written: Vec<&str> = written.lines().filter(is_common).collect();
    let expected = std::fs::read_to_string(script.with_extension("txt")).unwrap();
    assert_eq!(written, expected.lines().collect::<Vec<_>>());
}

/// What RabbitMQ 3.10.8 answers to some two hundred exchanges of frames; what we answer otherwise on
/// purpose says so there.
#[test]
fn every_answer_is_rabbitmqs_or_known_to_differ() {
    let Some(python) = interpreter() else { return };
    if !broker::is_ours() {
        return;
    }
    let script = project().join("tests/interop/compare_brokers.py");
    run(Command::new(python)
        .arg(&script)
        .arg(broker::shared().to_string())
        .arg(script.with_file_name("rabbitmq.txt")));
}
