//! `tap`, `request`, `reply`, `route`, and messages as lines of JSON.

use crate::ground::Ground;
use crate::terminal::{Done, Queue, command, name, run, run_with_input};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// Starts a tap, and waits until the exchange has the binding.
fn tap(ground: &Ground, exchange: &str, more: &[&str]) -> Child {
    let mut tap = command(&[&["tap", exchange, "--url", &ground.url], more].concat());
    let tap =
        tap.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let bound = ["binding", "list", "--source", exchange, "--json"];
    while ground.ask(&bound).json().as_array().unwrap().is_empty() {}
    // The consumer comes after the binding.
    while ground.ask(&["consumer", "list", "--json"]).json().as_array().unwrap().is_empty() {}
    tap
}

#[test]
fn a_tap_shows_what_flows_and_takes_nothing() {
    let ground = Ground::open();
    ground.say(&["exchange", "declare", "events", "--kind", "topic"]).success();
    ground.say(&["queue", "declare", "orders"]).success();
    ground
        .say(&["queue", "bind", "orders", "--exchange", "events", "--routing-key", "#"])
        .success();
    let before = ground.ask(&["binding", "list", "--json"]).json();
    let unbind = ["queue", "unbind", "orders", "--exchange", "events", "--routing-key", "#"];
    ground.say(&unbind).success();
    let tap =
        tap(&ground, "events", &["--routing-key", "order.*", "--count", "2", "--format", "ndjson"]);
    ground
        .say(&["queue", "bind", "orders", "--exchange", "events", "--routing-key", "#"])
        .success();
    for key in ["order.placed", "payment.made", "order.paid"] {
        let publish =
            ["publish", "--exchange", "events", "--routing-key", key, "--header", "n=1", key];
        ground.say(&publish).success();
    }
    let seen = Done::from(tap.wait_with_output().unwrap()).success();
    let seen: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<_> =
        seen.iter().map(|message| message["routing_key"].as_str().unwrap()).collect();
    assert_eq!(
        (keys, &seen[0]["headers"]),
        (vec!["order.placed", "order.paid"], &json!({ "n": 1 }))
    );
    // All three are in the queue, and nothing of the tap is left.
    let all = ground.say(&["consume", "orders", "--count", "3", "--format", "json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(ground.ask(&["binding", "list", "--json"]).json(), before);
    let queues = ground.ask(&["queue", "list", "--json"]).json();
    assert_eq!(queues.as_array().unwrap().len(), 1, "{queues}");
}

#[test]
fn a_tap_ends_cleanly_on_a_signal() {
    let ground = Ground::open();
    ground.say(&["exchange", "declare", "notices", "--kind", "fanout"]).success();
    let mut tap = tap(&ground, "notices", &[]);
    let publish = ["publish", "--exchange", "notices", "--type", "mail", "--message-id", "m1"];
    ground.say(&[&publish[..], &["hello"]].concat()).success();
    let mut output = BufReader::new(tap.stdout.take().unwrap());
    let mut line = String::new();
    for expected in [
        "notices   5 bytes\n",
        "    delivery_mode: 2\n",
        "    message_id: m1\n",
        "    type: mail\n",
        "    hello\n",
    ] {
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    let pid = rustix::process::Pid::from_child(&tap);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(tap.wait().unwrap().code(), Some(0));
    assert_eq!(ground.ask(&["queue", "list", "--json"]).json(), json!([]));
}

#[test]
fn what_can_not_be_tapped_is_said() {
    let missing = run(&["tap", "no-such-exchange"]).failure();
    assert!(missing.contains("NOT_FOUND") && missing.contains("no-such-exchange"), "{missing}");
    let default = run(&["tap", ""]);
    assert_eq!(default.code, Some(2));
    assert!(default.errors.contains("default exchange"), "{}", default.errors);
    let ground = Ground::open();
    ground.add_user("reader", &[]);
    ground.ask(&["permission", "set", "reader", "--read", "^amq"]).success();
    let reader = ground.url.replace("amqp://", "amqp://reader:pw@");
    let refused = run(&["tap", "amq.topic", "--url", &reader]).failure();
    assert!(refused.contains("ACCESS_REFUSED") && refused.contains("--queue"), "{refused}");
    let none = run(&["tap", "amq.direct", "--idle", "100ms"]);
    assert_eq!((none.code, none.output.as_str()), (Some(0), ""));
    assert!(none.errors.contains("--routing-key"), "{}", none.errors);
}

#[test]
fn a_request_gets_its_reply() {
    let queue = Queue::declare("rpc");
    let mut reply = command(&["reply", &queue.0, "--exec", "tr a-z A-Z", "--count", "2"]);
    let reply =
        reply.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(run(&["request", "--queue", &queue.0, "hello"]).success(), "HELLO\n");
    let piped =
        run_with_input(&["request", "--queue", &queue.0, "--format", "raw"], "two\nlines\n");
    assert_eq!(piped.success(), "TWO\nLINES\n");
    Done::from(reply.wait_with_output().unwrap()).success();
    assert_eq!(queue.ready(), 0, "requests are acknowledged");
    let mut echo =
        command(&["reply", &queue.0, "--echo", "--count", "1", "--content-type", "text/plain"]);
    let mut echo = echo.stdin(Stdio::null()).spawn().unwrap();
    let answer = run(&["request", "--queue", &queue.0, "--json", "again"]).json();
    assert_eq!((&answer["body"], &answer["content_type"]), (&json!("again"), &json!("text/plain")));
    assert!(echo.wait().unwrap().success());
}

#[test]
fn a_request_that_nobody_answers_fails() {
    let queue = Queue::declare("rpc.lost");
    let late = run(&["request", "--queue", &queue.0, "--timeout", "200ms", "x"]).failure();
    assert!(late.contains("no reply came within 200ms"), "{late}");
    let nowhere = run(&["request", "--queue", &name("rpc.nowhere"), "x"]).failure();
    assert!(nowhere.contains("was not taken"), "{nowhere}");
    assert_eq!(run(&["request", "x"]).code, Some(2), "to which queue?");
    // It names a place for its reply, and its command fails.
    let failed = run(&["reply", &queue.0, "--exec", "exit 3", "--reject", "--count", "1"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.errors.contains("dead-lettered"), "{}", failed.errors);
    run(&["publish", "--queue", &queue.0, "no request"]).success();
    let unanswerable = run(&["reply", &queue.0, "pong", "--count", "1"]).failure();
    assert!(unanswerable.contains("reply_to"), "{unanswerable}");
    for wrong in [&["reply", &queue.0][..], &["reply", &queue.0, "x", "--echo"]] {
        assert_eq!(run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn the_broker_tells_where_a_message_would_go() {
    let ground = Ground::open();
    ground.say(&["exchange", "declare", "events", "--kind", "topic"]).success();
    ground.say(&["exchange", "declare", "notices", "--kind", "headers"]).success();
    for queue in ["orders", "audit"] {
        ground.say(&["queue", "declare", queue]).success();
        ground
            .say(&[
                "queue",
                "bind",
                queue,
                "--exchange",
                "events",
                "--routing-key",
                &format!("{queue}.#"),
            ])
            .success();
    }
    ground.say(&["queue", "bind", "audit", "--exchange", "events", "--routing-key", "#"]).success();
    ground
        .say(&["queue", "bind", "audit", "--exchange", "notices", "--argument", "kind=mail"])
        .success();
    let route = |words: &[&str]| ground.ask(&[&["route"], words, &["--output", "csv"]].concat());
    let both = route(&["events", "--routing-key", "orders.placed"]).success();
    assert_eq!(both, "vhost,queue\n/,audit\n/,orders\n");
    assert_eq!(route(&["", "--routing-key", "orders"]).success(), "vhost,queue\n/,orders\n");
    assert_eq!(route(&["notices", "--header", "kind=mail"]).success(), "vhost,queue\n/,audit\n");
    let nowhere = ground.ask(&["route", "notices", "--header", "kind=sms"]).failure();
    assert!(nowhere.contains("no queue would take it"), "{nowhere}");
    let missing = ground.ask(&["route", "evnets"]).failure();
    assert!(missing.contains("no exchange `evnets` in vhost `/`"), "{missing}");
    assert!(ground.ask(&["route", "events", "--vhost", "nowhere"]).failure().contains("nowhere"));
}

#[test]
fn messages_go_out_as_lines_of_json_and_come_back_as_they_were() {
    let (from, to) = (Queue::declare("ndjson.from"), Queue::declare("ndjson.to"));
    let properties =
        ["--header", "shop=berlin", "--header", "n=7", "--type", "order", "--priority", "4"];
    run(&[
        &["publish", "--queue", &from.0, "--expires", "1h", "--transient", "größer"],
        &properties[..],
    ]
    .concat())
    .success();
    let directory = tempfile::TempDir::new().unwrap();
    let binary = directory.path().join("binary");
    std::fs::write(&binary, b"\xff\n\0").unwrap();
    run(&["publish", "--queue", &from.0, "--file", binary.to_str().unwrap()]).success();
    let look =
        |queue: &Queue| run(&["consume", &queue.0, "--count", "2", "--format", "ndjson"]).success();
    let lines = look(&from);
    run_with_input(&["publish", "--ndjson", "--queue", &to.0], &lines).success();
    let without_place = |lines: &str| -> Vec<Value> {
        let messages = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let strip = |mut message: Value| {
            message
                .as_object_mut()
                .unwrap()
                .retain(|name, _| name != "routing_key" && name != "redelivered");
            message
        };
        messages.map(strip).collect()
    };
    assert_eq!(without_place(&look(&to)), without_place(&lines));
    // Without a destination each goes to where it came from; a flag goes before what a line says.
    let published =
        run_with_input(&["publish", "--ndjson", "--type", "other", "--json"], &lines).json();
    assert_eq!(published, json!({ "sent": 2, "confirmed": 2, "failed": 0 }));
    let all = run(&["consume", &from.0, "--count", "4", "--format", "json"]).json();
    let types: Vec<_> =
        all.as_array().unwrap().iter().map(|message| message["type"].clone()).collect();
    assert_eq!(types, [json!("order"), json!(null), json!("other"), json!("other")]);
}

#[test]
fn a_line_that_is_no_message_is_named() {
    let queue = Queue::declare("ndjson.bad");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "{\"body\": \"one\"}\n\n{\"bdoy\": \"two\"}\n").unwrap();
    let path = file.path().to_str().unwrap();
    let done = run(&["publish", "--ndjson", "--queue", &queue.0, "--file", path]);
    assert_eq!((done.code, done.output.as_str()), (Some(1), "1 of 1 messages confirmed\n"));
    assert!(done.errors.contains("line 3: `bdoy` is no member"), "{}", done.errors);
    assert_eq!(run(&["publish", "x"]).code, Some(2), "to where?");
    let none = run_with_input(&["publish", "--ndjson", "--queue", &queue.0], "nonsense").failure();
    assert!(none.contains("line 1: "), "{none}");
}

#[test]
fn every_form_of_a_message() {
    let queue = Queue::declare("forms");
    run(&["publish", "--queue", &queue.0, "--message-id", "m\u{1b}1", "a\u{1b}b"]).success();
    let look =
        |format: &str| run(&["consume", &queue.0, "--count", "1", "--format", format]).success();
    assert_eq!(look("body"), "a\u{1b}b\n");
    assert_eq!(look("raw"), "a\u{1b}b");
    let text = look("text");
    assert!(text.starts_with(&format!("(default exchange) {}  3 bytes", queue.0)), "{text}");
    assert!(text.ends_with("    message_id: m\\x1b1\n    a\\x1bb\n"), "{text}");
    let line: Value = serde_json::from_str(&look("ndjson")).unwrap();
    let array: Value = serde_json::from_str(&look("json")).unwrap();
    assert_eq!((&line["body"], &array[0]["message_id"]), (&json!("a\u{1b}b"), &json!("m\u{1b}1")));
    let other = Queue::declare("forms.none");
    assert_eq!(
        run(&["consume", &other.0, "--idle", "100ms", "--format", "json"]).success(),
        "[]\n"
    );
    assert_eq!(run(&["consume", &queue.0, "--format", "xml"]).code, Some(2));
}
