//! `publish` and `consume`.

use crate::harness::broker::{self, Broker};
use crate::harness::launch::Launch;
use crate::terminal::{Queue, command, name, run, run_with_input};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Instant;

#[test]
fn lines_go_in_and_come_out_in_their_order() {
    let queue = Queue::declare("lines");
    let published = run_with_input(&["publish", "--queue", &queue.0], "one\ntwo\n\nfour");
    assert_eq!(published.success(), "4 of 4 messages confirmed\n");
    let consumed = run(&["consume", &queue.0, "--ack", "--count", "4"]);
    assert_eq!(consumed.success(), "one\ntwo\n\nfour\n");
    assert_eq!(queue.ready(), 0);
}

#[test]
fn a_file_is_one_body_with_its_properties() {
    let queue = Queue::declare("file");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "two\nlines").unwrap();
    let path = file.path().to_str().unwrap();
    let properties = [
        "--content-type",
        "text/plain",
        "--content-encoding",
        "utf-8",
        "--app-id",
        "till",
        "--user-id",
        "guest",
        "--message-id",
        "m1",
        "--correlation-id",
        "c1",
        "--type",
        "note",
        "--priority",
        "3",
        "--reply-to",
        "answers",
        "--header",
        "shop=berlin",
        "--header",
        "items=2",
        "--expires",
        "1m",
        "--json",
    ];
    let publish = [&["publish", "--queue", &queue.0, "--file", path], &properties[..]].concat();
    assert_eq!(run(&publish).json(), json!({ "sent": 1, "confirmed": 1, "failed": 0 }));
    let message = run(&["consume", &queue.0, "--ack", "--count", "1", "--json"]).json();
    let expected = json!({
        "body": "two\nlines", "content_type": "text/plain", "message_id": "m1",
        "content_encoding": "utf-8", "app_id": "till", "user_id": "guest",
        "correlation_id": "c1", "type": "note", "priority": 3, "reply_to": "answers",
        "expiration": "60000", "delivery_mode": 2, "redelivered": false, "exchange": "",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(message[field], *value, "{field}");
    }
    assert_eq!(message["headers"]["shop"], "berlin");
    assert_eq!(message["headers"]["items"], 2);
}

#[test]
fn count_repeats_and_rate_spreads() {
    let queue = Queue::declare("rate");
    let begin = Instant::now();
    run(&["publish", "--queue", &queue.0, "--count", "6", "--rate", "20", "x"]).success();
    // Five gaps of 50 ms: a bound from below only, for machines may be slow.
    assert!(begin.elapsed().as_millis() >= 250);
    assert_eq!(queue.ready(), 6);
}

#[test]
fn what_no_queue_takes_is_a_failure_unless_allowed() {
    let missing = name("missing");
    let failed = run(&["publish", "--queue", &missing, "lost"]);
    assert_eq!(failed.code, Some(1));
    assert_eq!(failed.output, "0 of 1 messages confirmed\n");
    assert!(failed.errors.contains("NO_ROUTE"), "{}", failed.errors);
    run(&["publish", "--queue", &missing, "--allow-unroutable", "lost"]).success();
}

#[test]
fn a_failure_of_many_messages_is_told_once() {
    let missing = name("missing");
    let failed = run(&["publish", "--queue", &missing, "--count", "2000", "lost"]);
    assert_eq!((failed.code, failed.output.as_str()), (Some(1), "0 of 2000 messages confirmed\n"));
    let lines: Vec<_> = failed.errors.lines().collect();
    assert_eq!(lines.len(), 2, "{}", failed.errors);
    assert!(lines[0].contains("NO_ROUTE") && lines[1].contains("1999 more"), "{}", failed.errors);
}

/// A broker with a disk alarm takes no messages: whoever publishes is told why nothing moves.
#[test]
fn a_publisher_that_waits_for_an_alarm_says_so() {
    if !broker::is_ours() {
        return;
    }
    let data = tempfile::TempDir::new().unwrap();
    let launch = Launch::on(data.path()).argument("--disk-free-limit").argument("100TiB");
    let broker = Broker::launch(&launch);
    let url = format!("amqp://{}", broker.address);
    let mut command = command(&["publish", "--queue", "q", "x", "--url", &url]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("takes no messages at present") && line.contains("disk"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_command_runs_for_each_message_and_decides_about_it() {
    let dead = Queue::declare("exec.dead");
    let route = format!("x-dead-letter-routing-key={}", dead.0);
    let arguments = ["--argument", "x-dead-letter-exchange=", "--argument", &route];
    let queue = Queue::with("exec", &arguments);
    run_with_input(&["publish", "--queue", &queue.0, "--message-id", "m"], "good\nbad\n").success();
    let script =
        r#"body=$(cat); echo "$AMQP_MESSAGE_ID $AMQP_ROUTING_KEY $body"; [ "$body" = good ]"#;
    let consumed = run(&["consume", &queue.0, "--exec", script, "--reject", "--count", "2"]);
    let expected = format!("m {0} good\nm {0} bad\n", queue.0);
    assert_eq!((consumed.code, consumed.output), (Some(1), expected), "one of them failed");
    assert!(consumed.errors.contains("exit status: 1"), "{}", consumed.errors);
    assert!(consumed.errors.contains("dead-lettered"), "{}", consumed.errors);
    assert_eq!((queue.ready(), dead.ready()), (0, 1));
}

#[test]
fn without_reject_a_message_whose_command_fails_comes_again() {
    let queue = Queue::declare("exec.again");
    run(&["publish", "--queue", &queue.0, "x"]).success();
    let script = "[ $AMQP_REDELIVERED = true ]";
    let consumed = run(&["consume", &queue.0, "--exec", script, "--count", "2"]);
    assert_eq!((consumed.code, queue.ready()), (Some(1), 0), "{}", consumed.errors);
    assert_eq!(consumed.errors.lines().count(), 2, "{}", consumed.errors);
}

/// A slip in the name of the command is not the messages' fault.
#[test]
fn a_command_that_is_not_there_costs_no_message_a_life() {
    let queue = Queue::declare("exec.missing");
    run(&["publish", "--queue", &queue.0, "--count", "3", "x"]).success();
    // More often than a delivery limit allows failures.
    for _ in 0..5 {
        let consumed = run(&["consume", &queue.0, "--exec", "./no-such-command"]);
        assert_eq!(consumed.code, Some(1), "{}", consumed.errors);
        assert!(consumed.errors.contains("127"), "{}", consumed.errors);
    }
    assert_eq!(queue.ready(), 3);
}

#[test]
fn to_look_changes_nothing() {
    let queue = Queue::declare("look");
    run_with_input(&["publish", "--queue", &queue.0], "a\nb\nc\n").success();
    // More often than a delivery limit allows failures.
    for _ in 0..5 {
        assert_eq!(run(&["consume", &queue.0, "--count", "2"]).success(), "a\nb\n");
    }
    assert_eq!(queue.ready(), 3);
    let message = run(&["consume", &queue.0, "--ack", "--count", "1", "--json"]).json();
    assert_eq!(message["headers"].get("x-delivery-count"), None);
}

#[test]
fn consume_ends_when_nothing_comes_any_more() {
    let queue = Queue::declare("idle");
    run(&["publish", "--queue", &queue.0, "last"]).success();
    assert_eq!(run(&["consume", &queue.0, "--ack", "--idle", "200ms"]).success(), "last\n");
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let queue = Queue::declare("head");
    run(&["publish", "--queue", &queue.0, "--count", "1000", &"x".repeat(1000)]).success();
    let mut command = command(&["consume", &queue.0, "--count", "1000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // The reader is dropped with the pipe, like `head -1`.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8(done.stderr).unwrap()), (Some(0), "".into()));
}

#[test]
fn an_interrupt_ends_consume_in_good_order() {
    if !broker::is_ours() {
        return;
    }
    let queue = Queue::declare("interrupt");
    run(&["publish", "--queue", &queue.0, "only"]).success();
    let mut command = command(&["consume", &queue.0, "--ack", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let message: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["body"], "only");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(queue.ready(), 0);
}

#[test]
fn an_interrupt_before_the_count_is_reached_is_told_to_scripts() {
    let queue = Queue::declare("interrupt.count");
    run(&["publish", "--queue", &queue.0, "only"]).success();
    let mut command = command(&["consume", &queue.0, "--ack", "--count", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(130), "{errors}");
    assert!(errors.contains("1 of 2"), "{errors}");
}

/// Bytes that are no text, and none that ends a line.
const BYTES: &[u8] = b"\xff\xfe\r\0end";

#[test]
fn bytes_stay_as_they_are() {
    let queue = Queue::declare("bytes");
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("in"), BYTES).unwrap();
    run(&["publish", "--queue", &queue.0, "--file", &path("in")]).success();
    let lines = [BYTES, b"\n", BYTES].concat();
    let script = format!("cat > {}", path("out"));
    for _ in 0..2 {
        run(&["consume", &queue.0, "--exec", &script, "--count", "1"]).success();
        assert_eq!(std::fs::read(path("out")).unwrap(), BYTES);
        assert_eq!(run_with_input(&["publish", "--queue", &queue.0], &lines).code, Some(0));
    }
    let message = run(&["consume", &queue.0, "--count", "1", "--json"]).json();
    assert_eq!(
        (&message["body_encoding"], &message["body"]),
        (&json!("base64"), &json!("//4NAGVuZA=="))
    );
}

#[test]
fn an_interrupt_ends_publish_when_what_was_sent_is_confirmed() {
    let queue = Queue::declare("publish.interrupt");
    let mut command = command(&["publish", "--queue", &queue.0, "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its standard input stays open.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    while queue.ready() < 2 {}
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report, json!({ "sent": 2, "confirmed": 2, "failed": 0 }));
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), errors.lines().count()), (Some(130), 1), "{errors}");
    assert!(errors.contains("interrupted"), "{errors}");
}

/// A command that says that it runs, and then waits to be told to end.
#[test]
fn an_interrupt_lets_the_command_finish_and_a_second_kills_it() {
    let queue = Queue::declare("exec.interrupt");
    run(&["publish", "--queue", &queue.0, "--count", "2", "x"]).success();
    let directory = tempfile::TempDir::new().unwrap();
    let go = directory.path().join("go");
    let script = format!("echo runs; until [ -e {} ]; do sleep 0.05; done", go.display());
    for interrupts in [2, 1] {
        let mut command = command(&["consume", &queue.0, "--exec", &script, "--prefetch", "1"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "runs\n");
        let pid = rustix::process::Pid::from_child(&child);
        let interrupt =
            || rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        interrupt();
        if interrupts == 1 {
            std::fs::write(&go, "").unwrap();
        } else {
            // Signals that come together are one.
            while child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(50));
                interrupt();
            }
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(queue.ready(), interrupts, "killed: both are there; finished: one is");
    }
}
