//! `bench`: what it counts is so.

use crate::terminal::{Queue, run};
use serde_json::json;

#[test]
fn every_message_is_accounted_for() {
    let report = run(&[
        "bench",
        "--count",
        "3000",
        "--producers",
        "3",
        "--consumers",
        "2",
        "--size",
        "100",
        "--window",
        "50",
        "--prefetch",
        "20",
        "--ack-batch",
        "10",
        "--json",
    ])
    .json();
    for (field, value) in [
        ("sent", 3000),
        ("confirmed", 3000),
        ("received", 3000),
        ("received_twice", 0),
        ("never_received", 0),
        ("redelivered", 0),
        ("returned", 0),
        ("nacked", 0),
        ("unknown", 0),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    for latency in ["confirm_latency_ms", "delivery_latency_ms"] {
        let at = |percentile: &str| report[latency][percentile].as_f64().unwrap();
        assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{report}");
    }
}

#[test]
fn a_rate_and_a_duration_are_kept() {
    let report = run(&["bench", "--rate", "100", "--duration", "1s", "--json"]).json();
    let sent = report["sent"].as_u64().unwrap();
    let seconds = report["publish_seconds"].as_f64().unwrap();
    assert!(seconds >= 1.0, "{report}");
    assert!(sent >= 1 && sent as f64 <= 1.0 + 100.0 * seconds, "{report}");
    assert_eq!(report["received"], sent);
}

#[test]
fn without_confirms_and_acks_everything_arrives_all_the_same() {
    let report =
        run(&["bench", "--count", "2000", "--no-confirms", "--no-ack", "--transient", "--json"]);
    let report = report.json();
    assert_eq!((&report["confirmed"], &report["received"]), (&json!(0), &json!(2000)));
    assert_eq!(report["confirm_latency_ms"], json!(null));
    assert_eq!(report["never_received"], 0);
}

#[test]
fn what_a_full_queue_refuses_is_a_failure() {
    let done = run(&[
        "bench",
        "--count",
        "100",
        "--consumers",
        "0",
        "--json",
        "--queue-argument",
        "x-max-length=10",
        "--queue-argument",
        "x-overflow=reject-publish",
    ]);
    assert_eq!(done.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&done.output).unwrap();
    let (confirmed, nacked) =
        (report["confirmed"].as_u64().unwrap(), report["nacked"].as_u64().unwrap());
    assert!(nacked > 0 && confirmed + nacked == 100, "{report}");
    assert_eq!(report["never_received"], json!(null), "nobody consumed");
}

#[test]
fn what_another_run_left_is_neither_loss_nor_repetition() {
    let queue = Queue::declare("bench");
    let fill = ["bench", "--queue", &queue.0, "--count", "50", "--json"];
    run(&[&fill[..], &["--consumers", "0"]].concat()).success();
    let report = run(&fill).json();
    assert_eq!((&report["sent"], &report["received"]), (&json!(50), &json!(100)));
    assert_eq!((&report["received_twice"], &report["never_received"]), (&json!(0), &json!(0)));
    run(&["publish", "--queue", &queue.0, "--count", "5", &"x".repeat(100)]).success();
    let drain = ["bench", "--queue", &queue.0, "--producers", "0", "--count", "5", "--json"];
    assert_eq!(run(&drain).json()["received"], 5, "bodies that are none of a bench count too");
}

/// Messages that are received and not acknowledged come again, and are seen to.
#[test]
fn a_message_that_comes_twice_is_counted() {
    let queue = Queue::declare("twice");
    let fill = ["bench", "--queue", &queue.0, "--count", "20", "--consumers", "0", "--json"];
    run(&fill).success();
    // The same messages, published once more by somebody else.
    let bodies = tempfile::TempDir::new().unwrap();
    let body = bodies.path().join("body");
    let path = body.to_str().unwrap();
    let save = format!("cat > {path}");
    run(&["consume", &queue.0, "--exec", &save, "--count", "1"]).success();
    run(&["publish", "--queue", &queue.0, "--file", path, "--count", "2"]).success();
    let drain = ["bench", "--queue", &queue.0, "--producers", "0", "--count", "21", "--json"];
    let report = run(&drain).json();
    assert_eq!((&report["received"], &report["received_twice"]), (&json!(21), &json!(1)));
}
