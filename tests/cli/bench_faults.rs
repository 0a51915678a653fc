//! `bench` against a broker that dies, and against somebody who takes its messages: the counts are
//! those of what happened.

use crate::harness::broker::{self, Broker};
use crate::harness::launch::Launch;
use crate::terminal::{Queue, command, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use tempfile::TempDir;

fn start(arguments: &[&str]) -> Child {
    let mut command: Command = command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A bench against this broker that would run for long.
fn endless_bench(broker: &Broker) -> Child {
    let url = format!("amqp://{}", broker.address);
    let bench = start(&["bench", "--duration", "10m", "--size", "64", "--json", "--url", &url]);
    while broker.metric("forebay_messages_received_total") < 1_000.0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bench
}

fn interrupt(bench: &Child) {
    kill_process(Pid::from_child(bench), Signal::INT).unwrap();
}

/// Reads up to a line about this.
fn await_line(errors: &mut BufReader<ChildStderr>, about: &str) {
    let mut line = String::new();
    while !line.contains(about) {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "ended without a line about {about}");
    }
}

fn report(done: &Output) -> Value {
    serde_json::from_slice(&done.stdout).unwrap()
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("{field} of {report}"))
}

#[test]
fn a_broker_that_is_killed_half_way_loses_nothing_that_it_confirmed() {
    if !broker::is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let address = broker.address.to_string();
    let mut bench = endless_bench(&broker);
    let mut errors = BufReader::new(bench.stderr.take().unwrap());
    broker.kill();
    await_line(&mut errors, "the connection was lost");
    let again = Launch::on(data.path()).argument("--listen").argument(&address);
    let broker = Broker::launch(&again);
    await_line(&mut errors, "connected again");
    while broker.metric("forebay_messages_received_total") < 1_000.0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    interrupt(&bench);
    let mut output = Vec::new();
    bench.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    let report: Value = serde_json::from_slice(&output).unwrap();
    let [sent, confirmed, unknown] = ["sent", "confirmed", "unknown"].map(|of| number(&report, of));
    assert_eq!(sent, confirmed + unknown, "{report}");
    assert_eq!(number(&report, "never_received"), 0, "{report}");
    assert!(number(&report, "received") >= confirmed, "{report}");
    // A report with nothing unknown is still one of less than was asked for.
    let expected = if unknown > 0 { 1 } else { 130 };
    assert_eq!(bench.wait().unwrap().code(), Some(expected), "{report}");
}

#[test]
fn a_broker_that_is_gone_for_good_holds_nobody_up() {
    if !broker::is_ours() {
        return;
    }
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let mut bench = endless_bench(&broker);
    let mut errors = BufReader::new(bench.stderr.take().unwrap());
    broker.kill();
    await_line(&mut errors, "the connection was lost");
    // The first ends the sending, the second everything.
    interrupt(&bench);
    interrupt_until_ended(&mut bench);
    let done = bench.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let report = report(&done);
    assert!(number(&report, "sent") >= 1_000, "{report}");
    await_line(&mut errors, "is left: the broker does not answer");
}

/// A signal that comes on the heels of another one is one with it.
fn interrupt_until_ended(bench: &mut Child) {
    while bench.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(50));
        interrupt(bench);
    }
}

/// Somebody else takes seven messages and acknowledges them.
#[test]
fn what_never_arrives_is_counted() {
    let queue = Queue::declare("thief");
    let bench = ["bench", "--queue", &queue.0, "--count", "1500", "--rate", "500", "--idle", "1s"];
    let bench = start(&[&bench[..], &["--json"]].concat());
    let thief = ["consume", &queue.0, "--ack", "--count", "7", "--prefetch", "1", "--json"];
    run(&thief).success();
    let done = bench.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let report = report(&done);
    for (field, value) in [("sent", 1500), ("confirmed", 1500), ("never_received", 7)] {
        assert_eq!(number(&report, field), value, "{field} of {report}");
    }
}
