//! `queue` and `exchange`.

use crate::terminal::{Queue, command, name, run};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn a_queue_is_declared_counted_emptied_and_deleted() {
    let queue = Queue::declare("life");
    run(&["publish", "--queue", &queue.0, "--count", "3", "x"]).success();
    let text = run(&["queue", "count", &queue.0]).success();
    assert_eq!(text, format!("{}: 3 messages ready, 0 consumers\n", queue.0));
    let purged = run(&["queue", "purge", &queue.0, "--json"]).json();
    assert_eq!(purged, json!({ "name": queue.0, "messages_dropped": 3 }));
    run(&["publish", "--queue", &queue.0, "x"]).success();
    let deleted = run(&["queue", "delete", &queue.0, "--json"]).json();
    assert_eq!(deleted, json!({ "name": queue.0, "messages_deleted": 1 }));
    let missing = run(&["queue", "count", &queue.0]).failure();
    assert!(missing.contains("NOT_FOUND") && missing.contains(&queue.0), "{missing}");
}

/// Brokers answer such a deletion as if the name had been there.
#[test]
fn what_is_not_there_is_not_deleted() {
    for object in ["queue", "exchange"] {
        let missing = run(&[object, "delete", "no-such-name"]).failure();
        assert!(missing.contains("NOT_FOUND") && missing.contains("no-such-name"), "{missing}");
    }
    let missing = run(&["queue", "purge", "no-such-name"]).failure();
    assert!(missing.contains("NOT_FOUND"), "{missing}");
}

#[test]
fn a_deletion_under_conditions_names_what_it_leaves() {
    let (queue, events) = (Queue::declare("kept"), name("kept"));
    run(&["exchange", "declare", &events, "--kind", "fanout"]).success();
    run(&["queue", "bind", &queue.0, "--exchange", &events]).success();
    run(&["publish", "--queue", &queue.0, "x"]).success();
    let full = run(&["queue", "delete", &queue.0, "--if-empty"]).failure();
    assert!(full.contains(&format!("queue `{}` is not deleted", queue.0)), "{full}");
    assert!(full.contains("PRECONDITION_FAILED") && full.contains("empty"), "{full}");
    let bound = run(&["exchange", "delete", &events, "--if-unused"]).failure();
    assert!(bound.contains(&format!("exchange `{events}` is not deleted")), "{bound}");
    let mut consume = command(&["consume", &queue.0, "--ack", "--json"]);
    let mut consume = consume.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(consume.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let used = run(&["queue", "delete", &queue.0, "--if-unused"]).failure();
    assert!(used.contains(&format!("queue `{}` is not deleted", queue.0)), "{used}");
    assert!(used.contains("PRECONDITION_FAILED") && used.contains("in use"), "{used}");
    consume.kill().unwrap();
    consume.wait().unwrap();
    run(&["queue", "purge", &queue.0]).success();
    run(&["queue", "delete", &queue.0, "--if-empty"]).success();
    run(&["exchange", "delete", &events, "--if-unused", "--json"]).json();
    let missing = run(&["queue", "delete", &queue.0, "--if-empty"]).failure();
    assert!(missing.contains("NOT_FOUND"), "{missing}");
}

#[test]
fn arguments_count() {
    let queue = Queue::with("arguments", &["--argument", "x-max-length=2"]);
    run(&["publish", "--queue", &queue.0, "--count", "5", "x"]).success();
    assert_eq!(queue.ready(), 2);
    let other = run(&["queue", "declare", &queue.0, "--argument", "x-max-length=3"]).failure();
    assert!(other.contains("PRECONDITION_FAILED") && other.contains("x-max-length"), "{other}");
}

#[test]
fn exchanges_route_as_they_are_bound() {
    let (events, audit, queue) = (name("events"), name("audit"), Queue::declare("bound"));
    run(&["exchange", "declare", &events, "--kind", "topic"]).success();
    run(&["exchange", "declare", &audit, "--kind", "fanout", "--json"]).json();
    let key = ["--routing-key", "order.#"];
    let bind = [&["exchange", "bind", &audit, "--source", &events, "--json"], &key[..]].concat();
    let expected =
        json!({ "source": events, "routing_key": "order.#", "destination": audit, "bound": true });
    assert_eq!(run(&bind).json(), expected);
    run(&["queue", "bind", &queue.0, "--exchange", &audit]).success();
    let publish = |key| run(&["publish", "--exchange", &events, "--routing-key", key, "x"]);
    publish("order.placed.today").success();
    assert_eq!(publish("payment").code, Some(1));
    assert_eq!(queue.ready(), 1);
    run(&["queue", "unbind", &queue.0, "--exchange", &audit, "--json"]).json();
    assert_eq!(publish("order.placed").code, Some(1));
    run(&["exchange", "unbind", &audit, "--source", &events, "--routing-key", "order.#"]).success();
    run(&["exchange", "delete", &audit]).success();
    let deleted = run(&["exchange", "delete", &events, "--json"]).json();
    assert_eq!(deleted, json!({ "name": events, "deleted": true }));
}
