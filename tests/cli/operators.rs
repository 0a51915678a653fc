//! `status`, `top` and `queue list`: what asks the admin listener.

use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::terminal::{Done, command, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use tempfile::TempDir;

/// A broker with one queue `orders` that holds three messages.
struct Shop {
    _data: TempDir,
    admin: String,
    url: String,
    _broker: Broker,
}

impl Shop {
    fn open() -> Self {
        let data = TempDir::new().unwrap();
        let broker = Broker::start(data.path());
        let (admin, url) = (broker.admin.to_string(), format!("amqp://{}", broker.address));
        run(&["queue", "declare", "orders", "--url", &url]).success();
        run(&["publish", "--queue", "orders", "--count", "3", "x", "--url", &url]).success();
        Self { _data: data, admin, url, _broker: broker }
    }

    fn ask(&self, arguments: &[&str]) -> Done {
        run(&[arguments, &["--admin", &self.admin]].concat())
    }
}

#[test]
fn status_says_what_runs_and_that_it_is_well() {
    let shop = Shop::open();
    let status = shop.ask(&["status", "--json"]).json();
    assert_eq!((&status["product"], &status["queues"]), (&json!("Forebay"), &json!(1)));
    assert_eq!((&status["ready"], &status["alarms"]), (&json!(3), &json!([])));
    let text = shop.ask(&["status"]).success();
    assert!(text.contains("messages     3 ready, 0 unacked"), "{text}");
}

#[test]
fn queues_are_listed() {
    let shop = Shop::open();
    let text = shop.ask(&["queue", "list"]).success();
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    let headings =
        ["QUEUE", "READY", "UNACKED", "PARKED", "CONSUMERS", "OLDEST", "NORMAL", "STATE"];
    assert_eq!(lines[0], headings);
    assert_eq!(lines[1][..5], ["orders", "3", "0", "0", "0"]);
    assert!(lines[1][5].ends_with('s') && lines[1][7] == "running", "{text}");
    assert_eq!(lines[1][6], "-", "its history is too young");
    let queues = shop.ask(&["queue", "list", "--vhost", "/", "--json"]).json();
    assert_eq!((&queues[0]["name"], &queues[0]["ready"]), (&json!("orders"), &json!(3)));
    let missing = shop.ask(&["queue", "list", "--vhost", "nowhere"]).failure();
    assert!(missing.contains("nowhere"), "{missing}");
}

#[test]
fn what_waits_for_a_retry_is_shown() {
    let shop = Shop::open();
    let url = ["--url", &shop.url];
    let wait = "x-delayed-retry-min=3600000";
    run(&[&["queue", "declare", "hooks", "-a", wait], &url[..]].concat()).success();
    run(&[&["publish", "--queue", "hooks", "call"], &url[..]].concat()).success();
    assert!(shop.ask(&["queue", "parked", "hooks"]).success().contains("0 waiting for a retry"));
    let failed =
        run(&[&["consume", "hooks", "--exec", "false", "--count", "1"], &url[..]].concat());
    assert_eq!(failed.code, Some(1), "{}", failed.errors);
    let text = shop.ask(&["queue", "parked", "hooks"]).success();
    assert!(text.starts_with("hooks: 1 waiting for a retry, the next one in "), "{text}");
    let shown = shop.ask(&["queue", "parked", "hooks", "--json"]).json();
    assert_eq!((&shown["attempts"], &shown["last_reason"]), (&json!(1), &json!("nacked")));
    assert_eq!(shown["payload"], json!("call"));
    let due = shown["due_in_ms"].as_u64().unwrap();
    assert!((3_000_000..=3_960_000).contains(&due), "{due}");
    let listed = shop.ask(&["queue", "list", "--json"]).json();
    let hooks = listed.as_array().unwrap().iter().find(|queue| queue["name"] == "hooks").unwrap();
    assert_eq!((&hooks["ready"], &hooks["parked"]), (&json!(0), &json!(1)));
}

/// One look at the only queue.
fn top(shop: &Shop) -> Value {
    let table = shop.ask(&["top", "--count", "1", "--interval", "500ms", "--json"]).json();
    table["queues"][0].clone()
}

#[test]
fn top_shows_backlog_age_and_drain_time() {
    let shop = Shop::open();
    let queue = top(&shop);
    assert_eq!((&queue["name"], &queue["lag"]), (&json!("orders"), &json!(3)));
    assert_eq!((&queue["in_rate"], &queue["out_rate"]), (&json!(0.0), &json!(0.0)));
    assert_eq!(queue["drain_seconds"], Value::Null, "nobody consumes");
    assert!(queue["oldest_age_seconds"].as_f64().unwrap() >= 0.5);
    let text = shop.ask(&["top", "--count", "2", "--interval", "100ms"]).success();
    assert_eq!(text.matches("QUEUE").count(), 2, "one table follows the other: {text}");
    assert!(!text.contains('\u{1b}'), "plain in a pipe");
    let load = ["bench", "--rate", "200", "--duration", "3s", "--queue", "orders", "--json"];
    let load = [&load[..], &["--url", &shop.url]].concat();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| run(&load).success());
        while !load.is_finished() {
            let queue = top(&shop);
            let rate = |name: &str| queue[name].as_f64().unwrap();
            if rate("in_rate") > 0.0 && rate("out_rate") > 0.0 {
                load.join().unwrap();
                return;
            }
        }
        panic!("under load no look showed rates");
    });
}

/// Whoever may declare a queue chooses its name; it must not steer the terminal of who looks at it.
#[test]
fn names_do_not_steer_the_terminal() {
    let shop = Shop::open();
    let name = "bad\u{1b}[31mred\u{1b}]0;pwned\u{7}\u{9b}1m\u{202e}";
    let declared = run(&["queue", "declare", name, "--url", &shop.url]).success();
    let listed = shop.ask(&["queue", "list"]).success();
    let top = shop.ask(&["top", "--count", "1"]).success();
    let missing = run(&["publish", "--queue", &format!("{name}!"), "x", "--url", &shop.url]);
    let json = shop.ask(&["queue", "list", "--json"]).success();
    for text in [&declared, &listed, &top, &missing.errors, &json] {
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
        assert!(text.contains("pwned"), "{text:?}");
    }
    let queues: Value = serde_json::from_str(&json).unwrap();
    let is_there = queues.as_array().unwrap().iter().any(|queue| queue["name"] == name);
    assert!(is_there, "scripts get the name itself: {json}");
}

/// A file of definitions may come from anywhere.
#[test]
fn a_name_in_a_file_of_definitions_does_not_steer_the_terminal() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("definitions.json");
    let name = "bad\u{1b}]0;pwned\u{7}";
    let arguments = json!({ "x-queue-type": name });
    let queue = json!({
        "name": "q", "vhost": "/", "durable": true, "auto_delete": false, "arguments": arguments,
    });
    std::fs::write(&file, json!({ "queues": [queue] }).to_string()).unwrap();
    let done = run(&["definitions", "check", file.to_str().unwrap()]);
    assert_eq!(done.code, Some(1), "{}", done.errors);
    assert!(done.errors.contains("pwned"), "{:?}", done.errors);
    assert!(!done.errors.contains(['\u{1b}', '\u{7}']), "{:?}", done.errors);
}

#[test]
fn top_goes_on_when_the_broker_starts_again() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let (amqp, admin) = (broker.address.to_string(), broker.admin.to_string());
    run(&["queue", "declare", "orders", "--url", &format!("amqp://{amqp}")]).success();
    let mut command = command(&["top", "--interval", "100ms", "--json", "--admin", &admin]);
    let mut top = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(top.stderr.take().unwrap());
    let mut tables = BufReader::new(top.stdout.take().unwrap());
    let mut line = String::new();
    tables.read_line(&mut line).unwrap();
    assert!(line.contains("orders"), "{line}");
    broker.kill();
    let mut told = String::new();
    errors.read_line(&mut told).unwrap();
    assert!(told.contains("asking again"), "{told}");
    let listeners = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let again = listeners.into_iter().fold(Launch::bare(), Launch::argument);
    let again = again.argument("--admin-listen").argument(&admin);
    let again = again.argument("--data-dir").argument(data.path().to_str().unwrap());
    let _broker = Broker::launch(&again);
    told.clear();
    errors.read_line(&mut told).unwrap();
    assert!(told.contains("answers again"), "{told}");
    top.kill().unwrap();
    top.wait().unwrap();
}

#[test]
fn an_admin_address_that_is_none_says_how_to_write_it() {
    for wrong in ["amqp://localhost", "localhost:99999", "", "a/b"] {
        let done = run(&["status", "--admin", wrong]);
        assert_eq!(done.code, Some(2), "{wrong}: {}", done.errors);
        assert!(done.errors.contains("--admin"), "{}", done.errors);
    }
    let shop = Shop::open();
    let tls = format!("https://{}", shop.admin);
    let plain = run(&["status", "--admin", &tls]).failure();
    assert!(plain.contains("speaks no TLS") && plain.contains("http://"), "{plain}");
    assert_eq!(run(&["top", "--interval", "0s"]).code, Some(2));
}

#[test]
fn health_tells_whether_a_broker_is_ready() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let metrics = broker.metrics.to_string();
    assert_eq!(run(&["health", "--metrics", &metrics]).success(), "ready\n");
    broker.kill();
    let gone = run(&["health", "--metrics", &metrics]).failure();
    assert!(gone.contains(&metrics), "{gone}");
}

#[test]
fn a_redrive_that_finds_nothing_fails() {
    let shop = Shop::open();
    let missing = shop.ask(&["dlq", "redrive", "nope"]).failure();
    assert!(missing.contains("nope") && !missing.contains("again"), "{missing}");
    let none = shop.ask(&["dlq", "redrive", "orders", "--from", "elsewhere"]);
    assert_eq!(none.code, Some(1), "{}", none.errors);
    assert!(none.errors.contains("--from elsewhere"), "{}", none.errors);
    assert_eq!(shop.ask(&["dlq", "redrive", "orders", "--reason", "nonsense"]).code, Some(2));
}

#[test]
fn a_wrong_address_or_password_is_one_clear_line() {
    let shop = Shop::open();
    let refused = shop.ask(&["status", "--password", "other"]).failure();
    assert!(refused.contains("--user and --password"), "{refused}");
    for command in [&["status"][..], &["top"], &["queue", "list"]] {
        let amqp = shop.url.strip_prefix("amqp://").unwrap();
        let wrong = run(&[command, &["--admin", amqp]].concat()).failure();
        assert!(wrong.contains(amqp) && wrong.contains("no HTTP"), "{wrong}");
    }
}
