//! `vhost`, `policy`, `parameter`, `connection`, `channel`, `consumer`, `exchange list`, `binding list`, `health`.

use crate::ground::Ground;
use crate::terminal::{command, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

#[test]
fn a_virtual_host_is_made_described_and_deleted() {
    let ground = Ground::open();
    let add = ["vhost", "add", "shop", "--description", "orders", "--tag", "prod", "--tag", "eu"];
    ground.ask(&add).success();
    assert!(ground.ask(&add).failure().contains("vhost `shop` exists already"));
    ground.ask(&["vhost", "set", "shop", "--default-queue-type", "quorum"]).success();
    let shown = ground.ask(&["vhost", "show", "shop", "--json"]).json();
    assert_eq!((&shown["description"], &shown["tags"]), (&json!("orders"), &json!(["prod", "eu"])));
    assert_eq!((&shown["default_queue_type"], &shown["ready"]), (&json!("quorum"), &json!(0)));
    let wrong = ground.ask(&["vhost", "set", "shop", "--default-queue-type", "stream"]).failure();
    assert!(wrong.contains("default_queue_type"), "{wrong}");
    let listed = ground.ask(&["vhost", "list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    // A script says that it means it: what is in the queues has no other copy.
    let unsaid = ground.ask(&["vhost", "delete", "shop"]).failure();
    assert!(unsaid.contains("--yes") && unsaid.contains("nothing was deleted"), "{unsaid}");
    ground.ask(&["vhost", "delete", "shop", "--yes"]).success();
    let missing = ground.ask(&["vhost", "delete", "shop", "--yes"]).failure();
    assert_eq!(missing, "no vhost `shop`; `forebay vhost list` shows what there is");
    ground.ask(&["vhost", "delete", "shop", "--yes", "--if-exists"]).success();
}

#[test]
fn policies_are_set_and_deleted() {
    let ground = Ground::open();
    let set = [
        "policy",
        "set",
        "bounded",
        "max-length=3",
        "overflow=reject-publish",
        "--pattern",
        "^orders",
    ];
    ground.ask(&[&set[..], &["--apply-to", "queues", "--priority", "-2"]].concat()).success();
    let shown = ground.ask(&["policy", "show", "bounded", "--json"]).json();
    assert_eq!(shown["definition"], json!({ "max-length": 3, "overflow": "reject-publish" }));
    assert_eq!((&shown["apply_to"], &shown["priority"]), (&json!("queues"), &json!(-2)));
    ground.say(&["queue", "declare", "orders"]).success();
    assert_eq!(ground.say(&["publish", "--queue", "orders", "--count", "4", "x"]).code, Some(1));
    let operator = ["policy", "set", "ceiling", "--pattern", ".*", "--operator"];
    ground.ask(&[&operator[..], &["--definition", "{\"max-length\": 2}"]].concat()).success();
    let listed = ground.ask(&["policy", "list", "--operator", "--output", "csv"]).success();
    let row = "/,ceiling,.*,queues,0,\"{\"\"max-length\"\":2}\"";
    assert_eq!(listed, format!("vhost,name,pattern,apply_to,priority,definition\n{row}\n"));
    let table = ground.ask(&["policy", "list", "--vhost", "/"]).success();
    assert!(
        table.starts_with("VHOST  NAME     PATTERN  APPLY TO  PRIORITY  DEFINITION\n"),
        "{table}"
    );
    for (wrong, named) in [
        (&["policy", "set", "p", "max-lenght=1", "--pattern", "x"][..], "max-lenght"),
        (&["policy", "set", "p", "max-length=few", "--pattern", "x"], "max-length"),
        (&["policy", "set", "p", "max-length=1", "--pattern", "("], "pattern"),
        (
            &["policy", "set", "p", "max-length=1", "--pattern", "x", "--vhost", "nowhere"],
            "nowhere",
        ),
    ] {
        let refused = ground.ask(wrong).failure();
        assert!(refused.contains(named), "{wrong:?}: {refused}");
    }
    for usage in [
        &["policy", "set", "p", "--pattern", "x"][..],
        &["policy", "set", "p", "--definition", "[]"],
    ] {
        assert_eq!(ground.ask(usage).code, Some(2), "{usage:?}");
    }
    ground.ask(&["policy", "delete", "ceiling", "--operator"]).success();
    ground.ask(&["policy", "delete", "bounded", "--yes"]).success();
    let missing = ground.ask(&["policy", "delete", "bounded"]).failure();
    assert!(missing.contains("no policy `bounded` in vhost `/`"), "{missing}");
    let missing = ground.ask(&["policy", "show", "ceiling", "--operator"]).failure();
    assert!(missing.contains("no operator policy `ceiling`"), "{missing}");
}

#[test]
fn parameters_are_those_that_the_broker_has() {
    let ground = Ground::open();
    let place = ["--component", "vhost-limits"];
    let with = |words: &[&'static str]| ground.ask(&[words, &place[..]].concat());
    with(&["parameter", "set", "limits", "{\"max-queues\": 9}"]).success();
    let shown = with(&["parameter", "show", "limits", "--json"]).json();
    assert_eq!(shown["value"], json!({ "max-queues": 9 }));
    let listed = ground.ask(&["parameter", "list", "--vhost", "/", "--json"]).json();
    assert_eq!(listed[0]["component"], "vhost-limits");
    assert_eq!(with(&["parameter", "set", "limits", "{"]).code, Some(2), "no JSON");
    with(&["parameter", "delete", "limits"]).success();
    assert!(with(&["parameter", "delete", "limits"]).failure().contains("no parameter `limits`"));
    let other = ground
        .ask(&["parameter", "set", "up", "{}", "--component", "federation-upstream"])
        .failure();
    assert!(other.contains("operator_policy"), "{other}");
    assert_eq!(ground.ask(&["parameter", "list", "--global", "--json"]).json(), json!([]));
    let global = ground.ask(&["parameter", "set", "x", "1", "--global"]).failure();
    assert!(global.contains("global parameters"), "{global}");
    assert!(
        ground
            .ask(&["parameter", "show", "x", "--global"])
            .failure()
            .contains("no global parameter `x`")
    );
    assert_eq!(ground.ask(&["parameter", "show", "x"]).code, Some(2), "of which component?");
}

/// A consumer that has shown one message.
fn consume(ground: &Ground) -> (Child, BufReader<std::process::ChildStdout>) {
    ground.say(&["queue", "declare", "orders"]).success();
    ground.say(&["publish", "--queue", "orders", "x"]).success();
    let mut consume = command(&["consume", "orders", "--count", "2", "--url", &ground.url]);
    let mut consume = consume.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(consume.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    (consume, output)
}

#[test]
fn connections_channels_and_consumers_are_listed_and_connections_closed() {
    let ground = Ground::open();
    let (mut consume, _output) = consume(&ground);
    let connections = ground.ask(&["connection", "list", "--json"]).json();
    let name = connections[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        (&connections[0]["user"], connections.as_array().unwrap().len()),
        (&json!("guest"), 1)
    );
    let shown = ground.ask(&["connection", "show", &name]).success();
    assert!(shown.contains("forebay command line") && shown.contains(" ago\n"), "{shown}");
    let channels = ground.ask(&["channel", "list", "--connection", &name, "--json"]).json();
    let consuming: &Value =
        channels.as_array().unwrap().iter().find(|channel| channel["consumers"] == 1).unwrap();
    assert_eq!((&consuming["unacked"], &consuming["prefetch"]), (&json!(1), &json!(2)));
    let channel =
        ground.ask(&["channel", "show", consuming["name"].as_str().unwrap(), "--json"]).json();
    assert_eq!(channel["connection"], name);
    let consumers = ground.ask(&["consumer", "list", "--queue", "orders", "--json"]).json();
    assert_eq!((&consumers[0]["queue"], &consumers[0]["unacked"]), (&json!("orders"), &json!(1)));
    assert_eq!(ground.ask(&["consumer", "list", "--queue", "other", "--json"]).json(), json!([]));
    for (what, name) in [("connection", "127.0.0.1:1 -> 9"), ("channel", "127.0.0.1:1 -> 9 (1)")] {
        let missing = ground.ask(&[what, "show", name]).failure();
        assert_eq!(
            missing,
            format!("no {what} `{name}`; `forebay {what} list` shows what there is")
        );
    }
    assert_eq!(ground.ask(&["connection", "close", &name, "--reason", "é"]).code, Some(2));
    ground.ask(&["connection", "close", &name, "--reason", "too many"]).success();
    let gone = ground.ask(&["connection", "close", &name]).failure();
    assert!(gone.contains("no connection"), "{gone}");
    ground.ask(&["connection", "close", &name, "--if-exists"]).success();
    consume.kill().unwrap();
    consume.wait().unwrap();
    let none = ground.ask(&["connection", "close", "--of-user", "nobody"]).failure();
    assert!(none.contains("user `nobody` has no connections"), "{none}");
}

#[test]
fn all_connections_of_a_user_are_closed() {
    let ground = Ground::open();
    let (mut consume, mut output) = consume(&ground);
    let closed = ground.ask(&["connection", "close", "--of-user", "guest", "--json"]).json();
    assert_eq!(closed, json!({ "user": "guest", "connections_closed": 1 }));
    // It connects again, and is given the message once more.
    let mut again = String::new();
    output.read_line(&mut again).unwrap();
    assert_eq!(again, "x\n");
    assert_eq!(consume.wait().unwrap().code(), Some(0));
}

#[test]
fn exchanges_and_bindings_are_listed() {
    let ground = Ground::open();
    ground.say(&["exchange", "declare", "events", "--kind", "topic"]).success();
    ground.say(&["queue", "declare", "orders"]).success();
    ground
        .say(&["queue", "bind", "orders", "--exchange", "events", "--routing-key", "order.*"])
        .success();
    let exchanges = ground.ask(&["exchange", "list", "--vhost", "/", "--json"]).json();
    let events =
        exchanges.as_array().unwrap().iter().find(|exchange| exchange["name"] == "events").unwrap();
    assert_eq!((&events["type"], &events["durable"]), (&json!("topic"), &json!(true)));
    let csv = ground.ask(&["binding", "list", "--source", "events", "--output", "csv"]).success();
    assert_eq!(
        csv,
        "vhost,source,destination,type,routing_key,arguments\n/,events,orders,queue,order.*,{}\n"
    );
    assert_eq!(
        ground.ask(&["binding", "list", "--destination", "other", "--json"]).json(),
        json!([])
    );
    assert!(ground.ask(&["exchange", "list", "--vhost", "nowhere"]).failure().contains("nowhere"));
}

#[test]
fn the_listeners_checks_can_be_asked_for() {
    let ground = Ground::open();
    let port = ground.url.rsplit(':').next().unwrap();
    for check in [
        &["health", "alarms"][..],
        &["health", "local-alarms"],
        &["health", "virtual-hosts"],
        &["health", "quorum-critical"],
        &["health", "port", port],
        &["health", "protocol", "amqp"],
        &["health", "certificate-expiration", "2", "weeks"],
        &["health", "aliveness"],
    ] {
        assert_eq!(ground.ask(check).success(), "ok\n", "{check:?}");
    }
    let port = ground.ask(&["health", "port", "1"]).failure();
    assert!(port.contains("No active listener"), "{port}");
    assert!(ground.ask(&["health", "protocol", "mqtt"]).failure().contains("No active listener"));
    assert!(
        ground.ask(&["health", "aliveness", "--vhost", "nowhere"]).failure().contains("nowhere")
    );
    assert_eq!(ground.ask(&["health", "certificate-expiration", "2", "moons"]).code, Some(2));
    assert_eq!(
        run(&["health", "--metrics", "x", "alarms"]).code,
        Some(2),
        "one listener or the other"
    );
}
