//! `--output`: every list and object as a table, as JSON and as CSV.

use crate::ground::Ground;
use crate::terminal::run;
use serde_json::Value;

/// Commands that print a list or an object, with a broker that has something to show.
const SHOWING: &[&[&str]] = &[
    &["binding", "list"],
    &["channel", "list"],
    &["connection", "list"],
    &["consumer", "list"],
    &["dlq", "list"],
    &["exchange", "list"],
    &["health", "alarms"],
    &["limit", "list"],
    &["parameter", "list"],
    &["permission", "list"],
    &["permission", "show", "app"],
    &["permission", "topic", "list"],
    &["policy", "list"],
    &["policy", "show", "p"],
    &["queue", "list"],
    &["route", "amq.fanout"],
    &["status"],
    &["user", "list"],
    &["user", "show", "app"],
    &["user", "whoami"],
    &["vhost", "list"],
    &["vhost", "show", "/"],
];

#[test]
fn every_list_and_object_has_three_forms() {
    let ground = Ground::open();
    ground.add_user("app", &["management"]);
    ground.ask(&["permission", "set", "app", "--all"]).success();
    ground.ask(&["policy", "set", "p", "max-length=5", "--pattern", "a,b"]).success();
    ground.ask(&["limit", "set", "max-queues", "70", "--vhost", "/"]).success();
    ground.say(&["queue", "declare", "q\u{1b},\"1\""]).success();
    ground.say(&["queue", "bind", "q\u{1b},\"1\"", "--exchange", "amq.fanout"]).success();
    for command in SHOWING {
        let form =
            |output: &str| ground.ask(&[command, &["--output", output][..]].concat()).success();
        let json: Value = serde_json::from_str(&form("json")).unwrap();
        assert!(!ground.ask(&[command, &["--json"][..]].concat()).success().is_empty());
        let csv = form("csv");
        let columns = csv.lines().next().unwrap_or_default();
        let rows = match &json {
            Value::Array(items) => items.as_slice(),
            object => std::slice::from_ref(object),
        };
        assert_eq!(
            csv.lines().count(),
            if columns.is_empty() { 1 } else { rows.len() + 1 },
            "{command:?}: {csv}"
        );
        if let Some(first) = rows.first() {
            let names: Vec<_> = first.as_object().unwrap().keys().map(String::as_str).collect();
            let mut headings: Vec<_> = columns.split(',').collect();
            headings.sort_unstable();
            assert_eq!(headings, names, "{command:?}: JSON and CSV have the same members");
        }
        for text in [form("table"), csv] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{command:?}: {text:?}");
        }
    }
    let both = ground.ask(&["user", "list", "--json", "--output", "csv"]);
    assert_eq!(both.code, Some(2), "{}", both.errors);
}

#[test]
fn top_prints_csv_that_goes_on() {
    let ground = Ground::open();
    ground.say(&["queue", "declare", "orders"]).success();
    let csv =
        ground.ask(&["top", "--count", "2", "--interval", "100ms", "--output", "csv"]).success();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "one line of headings: {csv}");
    assert!(
        lines[0].starts_with("unix_time,vhost,name,lag,") && lines[2].contains(",/,orders,0,"),
        "{csv}"
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let told = run(&["man", path]).success();
    let pages = std::fs::read_dir(path).unwrap().count();
    assert_eq!(told, format!("{path}: {pages} pages\n"));
    for page in [
        "forebay.1",
        "forebay-queue.1",
        "forebay-queue-declare.1",
        "forebay-permission-topic-set.1",
    ] {
        let text = std::fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(
            text.contains(".SH NAME")
                && text.contains(".SH OPTIONS")
                && text.contains(".SH EXAMPLES"),
            "{page}"
        );
    }
    assert!(!directory.path().join("forebay-demo-consumer.1").exists(), "it is hidden");
    let missing = run(&["man", "/no/such/directory"]).failure();
    assert!(missing.contains("/no/such/directory"), "{missing}");
}
