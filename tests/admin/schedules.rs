//! Recurring schedules as their operator sees them: the management API, `forebay schedule`, definitions and
//! metrics.

use crate::command::{complaint, printed, run};
use crate::harness::broker::Broker;
use crate::harness::session::{Session, await_ready, declare_named, get, ready_count};
use crate::http::Admin;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATH: &str = "/api/schedules/%2F/nightly";

/// A broker with a queue `reports`.
async fn with_queue() -> (Broker, Session, TempDir) {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "reports", <_>::default()).await;
    (broker, session, data)
}

fn nightly() -> Value {
    json!({
        "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "routing_key": "reports",
        "payload": "all shops", "properties": { "type": "report", "headers": { "shop": 7 } }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_runs_pauses_and_deletes_by_the_api() {
    let (broker, session, data) = with_queue().await;
    let admin = Admin::guest(&broker);
    assert_eq!(admin.ask("PUT", PATH, &nightly()).status, 201);
    assert_eq!(admin.ask("PUT", PATH, &nightly()).status, 204);
    let shown = admin.get(PATH);
    let next = shown["next_due_at"].as_u64().unwrap();
    let day = 86_400_000;
    assert!([0, day / 24].contains(&(next % day)), "0:00 or 1:00 UTC: {shown}");
    let expected = json!({
        "name": "nightly", "vhost": "/", "cron": "0 2 * * *", "time_zone": "Europe/Berlin",
        "exchange": "", "routing_key": "reports", "catch_up": "last", "paused": false,
        "payload": "all shops", "payload_encoding": "string",
        "properties": { "delivery_mode": 2, "type": "report", "headers": { "shop": 7 } },
        "state": "active", "problem": null, "next_due_at": next, "last_due_at": null,
        "last_fired_at": null, "last_result": null, "last_queues": null,
        "fired": 0, "missed": 0, "failed": 0, "runs": 0
    });
    assert_eq!(shown, expected);
    assert_eq!(admin.get("/api/schedules"), json!([expected]));
    assert_eq!(admin.get("/api/schedules/%2F?columns=name"), json!([{ "name": "nightly" }]));

    let ran = admin.done("POST", &format!("{PATH}/run"), &Value::Null);
    assert_eq!(ran, json!({ "result": "delivered", "queues": 1 }));
    let message = get(&session.channel, "reports").await.unwrap();
    let headers = message.properties.headers().as_ref().unwrap().inner();
    assert_eq!(message.data, b"all shops");
    assert_eq!(headers.get("x-schedule"), Some(&AMQPValue::LongString("nightly".into())));
    assert!(headers.contains_key("x-run-at") && headers.contains_key("shop"), "{headers:?}");
    assert_eq!(message.properties.kind().as_ref().unwrap().as_str(), "report");

    admin.done("POST", &format!("{PATH}/pause"), &Value::Null);
    // Who sets it again to change the message does not set it going.
    let other = json!({ "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "exchange": "none" });
    admin.done("PUT", PATH, &other);
    let ran = admin.done("POST", &format!("{PATH}/run"), &Value::Null);
    assert_eq!(ran, json!({ "result": "no-exchange", "queues": 0 }));
    broker.await_metric("forebay_schedules", 1.0).await;
    broker.await_metric("forebay_schedule_messages_total", 1.0).await;
    broker.await_metric("forebay_schedule_messages_failed_total", 1.0).await;
    broker.await_metric("forebay_schedule_due_times_missed_total", 0.0).await;

    // What was told is durable.
    broker.kill();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let shown = admin.get(PATH);
    let fields = ["state", "next_due_at", "last_result", "exchange"].map(|field| &shown[field]);
    assert_eq!(fields, [&json!("paused"), &Value::Null, &json!("no-exchange"), &json!("none")]);
    assert_eq!([&shown["fired"], &shown["failed"], &shown["runs"]], [1, 1, 2]);
    admin.done("POST", &format!("{PATH}/resume"), &Value::Null);
    assert!(admin.get(PATH)["next_due_at"].as_u64().unwrap() >= next);
    admin.done("DELETE", PATH, &Value::Null);
    for (method, path) in [
        ("GET", PATH.to_owned()),
        ("DELETE", PATH.to_owned()),
        ("POST", format!("{PATH}/run")),
        ("POST", format!("{PATH}/pause")),
        ("POST", format!("{PATH}/resume")),
    ] {
        let (status, reason) = admin.refused(method, &path, &Value::Null);
        assert_eq!(
            (status, &*reason),
            (404, "no schedule 'nightly' in vhost '/'"),
            "{method} {path}"
        );
    }
    assert_eq!(admin.refused("GET", "/api/schedules/none", &Value::Null).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_second_has_its_message_and_the_ids_are_those_of_the_due_times() {
    let (broker, session, _data) = with_queue().await;
    let admin = Admin::guest(&broker);
    let each_second = json!({ "cron": "* * * * * *", "routing_key": "reports", "catch_up": "all" });
    admin.done("PUT", "/api/schedules/%2F/tick", &each_second);
    await_ready(&session.channel, "reports", 3).await;
    admin.done("POST", "/api/schedules/%2F/tick/pause", &Value::Null);
    let count = ready_count(&session.channel, "reports").await;
    let mut times = Vec::new();
    for _ in 0..count {
        let message = get(&session.channel, "reports").await.unwrap();
        let headers = message.properties.headers().as_ref().unwrap().inner();
        let Some(AMQPValue::LongLongInt(due)) = headers.get("x-due-at") else { panic!() };
        let id = message.properties.message_id().as_ref().unwrap().as_str().to_owned();
        assert!(id.starts_with("tick@2") && id.ends_with('Z'), "{id}");
        assert_eq!(*message.properties.timestamp(), Some(due.unsigned_abs() / 1000));
        times.push(due / 1000);
    }
    let first = times[0];
    let expected: Vec<i64> = (first..first + i64::from(count)).collect();
    assert_eq!(times, expected);
    let shown = admin.get("/api/schedules/%2F/tick");
    assert_eq!(shown["last_due_at"].as_i64(), times.last().map(|last| last * 1000));
    assert_eq!(shown["fired"], count);
}

#[test]
fn what_can_not_be_is_refused_with_the_field_and_what_is_allowed() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let with = |field: &str, value: Value| {
        let mut schedule = nightly();
        schedule[field] = value;
        schedule
    };
    let properties = |name: &str, value: Value| with("properties", json!({ name: value }));
    for (schedule, field, expected) in [
        (with("cron", json!("0 25 * * *")), "cron", "'0 25 * * *' can't be read"),
        (with("cron", json!("0 0 31 2 *")), "cron", "is never due"),
        (with("cron", Value::Null), "cron", "missing, expected a string"),
        (with("cron", json!(5)), "cron", "expected a string"),
        (
            with("time_zone", json!("Mars/Olympus")),
            "time_zone",
            "expected a name such as Europe/Berlin",
        ),
        (with("catch_up", json!("some")), "catch_up", "expected one of none, last, all"),
        (with("paused", json!("no")), "paused", "expected true or false"),
        (with("payload", json!("x".repeat(40_000))), "payload", "at most 32768 are allowed"),
        (
            with("payload_encoding", json!("hex")),
            "payload_encoding",
            "expected 'string' or 'base64'",
        ),
        (with("corn", json!("* * * * *")), "corn", "no such field, expected one of catch_up, cron"),
        (properties("message_id", json!("x")), "properties", "message_id is given to each message"),
        (properties("user_id", json!("x")), "properties", "user_id is given to each message"),
        (properties("headers", json!({ "x-due-at": 1 })), "properties", "header 'x-due-at'"),
        (
            properties("headers", json!({ "x-delay": "soon" })),
            "properties",
            "invalid header 'x-delay'",
        ),
        (properties("delivery_mode", json!(3)), "properties", "invalid delivery_mode 3"),
        (properties("expiration", json!("-1")), "properties", "invalid expiration '-1'"),
        (properties("priority", json!(256)), "properties.priority", "256, expected 0 to 255"),
        (properties("prio", json!(1)), "properties.prio", "no such field"),
    ] {
        let (status, reason) = admin.refused("PUT", PATH, &schedule);
        let prefix = format!("{field}: ");
        assert!(status == 400 && reason.starts_with(&prefix), "{field}: {status} {reason}");
        assert!(reason.contains(expected), "{field}: {reason}");
    }
    let long = format!("/api/schedules/%2F/{}", "n".repeat(201));
    let (status, reason) = admin.refused("PUT", &long, &nightly());
    assert!(status == 400 && reason.starts_with("name: 201 bytes long"), "{reason}");
    assert_eq!(admin.refused("PUT", "/api/schedules/none/x", &nightly()).0, 404);
    assert_eq!(admin.get("/api/schedules"), json!([]));
}

#[test]
fn nobody_publishes_by_a_schedule_where_they_may_not() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    for (name, tags) in
        [("maker", "policymaker"), ("looker", "management"), ("writer", "management")]
    {
        admin.done(
            "PUT",
            &format!("/api/users/{name}"),
            &json!({ "password": "pw", "tags": tags }),
        );
        let write = if name == "looker" { "" } else { "^jobs$" };
        let permission = json!({ "configure": "", "write": write, "read": "" });
        admin.done("PUT", &format!("/api/permissions/%2F/{name}"), &permission);
    }
    let [maker, looker, writer] =
        ["maker", "looker", "writer"].map(|name| Admin::user(&broker, name, "pw"));
    // Of the default exchange nothing is said.
    let (status, reason) = maker.refused("PUT", PATH, &nightly());
    assert!(status == 401 && reason.contains("write access to exchange 'amq.default'"), "{reason}");
    let mut to_jobs = nightly();
    to_jobs["exchange"] = json!("jobs");
    assert_eq!(writer.refused("PUT", PATH, &to_jobs).0, 401);
    maker.done("PUT", PATH, &to_jobs);
    assert_eq!(maker.get(PATH)["payload"], "all shops");
    // Who sees the virtual host sees when, but not what.
    let seen = looker.get(PATH);
    assert_eq!((&seen["cron"], &seen["payload"]), (&json!("0 2 * * *"), &Value::Null));
    for action in ["run", "pause", "resume"] {
        assert_eq!(looker.refused("POST", &format!("{PATH}/{action}"), &Value::Null).0, 401);
    }
    assert_eq!(looker.refused("DELETE", PATH, &Value::Null).0, 401);
    // What somebody else set is not run by who may not publish there.
    admin.done("PUT", "/api/schedules/%2F/other", &nightly());
    for action in ["run", "resume"] {
        let path = format!("/api/schedules/%2F/other/{action}");
        assert_eq!(maker.refused("POST", &path, &Value::Null).0, 401, "{action}");
    }
    maker.done("POST", "/api/schedules/%2F/other/pause", &Value::Null);
    maker.done("DELETE", PATH, &Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_runs_and_deletes_by_the_command_line() {
    let (broker, session, _data) = with_queue().await;
    let set = printed(
        &broker,
        &[
            "schedule",
            "set",
            "nightly",
            "0 2 * * *",
            "--time-zone",
            "Europe/Berlin",
            "--queue",
            "reports",
            "all shops",
            "--header",
            "shop=7",
        ],
    );
    let expected = "schedule `nightly` in vhost `/`: set; due next 2";
    assert!(set.starts_with(expected) && set.contains(":00:00Z (in "), "{set}");
    let ran = printed(&broker, &["schedule", "run", "nightly"]);
    assert_eq!(ran, "schedule `nightly` in vhost `/`: published to 1 queue\n");
    assert_eq!(get(&session.channel, "reports").await.unwrap().data, b"all shops");
    let listed = printed(&broker, &["schedule", "list", "--output", "csv"]);
    let (headings, row) = listed.split_once('\n').unwrap();
    assert!(headings.starts_with("vhost,name,cron,time_zone,exchange,"), "{headings}");
    assert!(row.starts_with("/,nightly,0 2 * * *,Europe/Berlin,,reports,all shops,"), "{row}");
    let shown = printed(&broker, &["schedule", "show", "nightly", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["state"], &shown["last_result"]), (&json!("active"), &json!("delivered")));
    assert_eq!(shown["properties"]["headers"], json!({ "shop": 7 }));
    let paused = printed(&broker, &["schedule", "pause", "nightly"]);
    assert_eq!(paused, "schedule `nightly` in vhost `/`: paused\n");
    printed(&broker, &["schedule", "set", "nightly", "@daily", "--exchange", "none", "-k", "x"]);
    let table = printed(&broker, &["schedule", "list"]);
    assert!(table.contains("paused") && table.contains("NEXT DUE"), "{table}");
    let failed = run(&broker, &["schedule", "run", "nightly"]);
    let text = String::from_utf8(failed.stdout).unwrap();
    assert!(!failed.status.success() && text.contains("reached no queue (no-exchange)"), "{text}");
    printed(&broker, &["schedule", "resume", "nightly"]);
    let wrong = complaint(&broker, &["schedule", "set", "x", "never", "--queue", "reports"]);
    assert!(wrong.contains("cron: 'never' can't be read"), "{wrong}");
    printed(&broker, &["schedule", "delete", "nightly", "--yes"]);
    let missing = complaint(&broker, &["schedule", "show", "nightly"]);
    assert!(missing.contains("`forebay schedule list` shows what there is"), "{missing}");
}

#[test]
fn definitions_have_schedules_and_set_them() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    assert_eq!(admin.get("/api/definitions").get("schedules"), None, "as RabbitMQ writes it");
    let mut schedule = nightly();
    schedule["catch_up"] = json!("all");
    schedule["payload"] = json!("//4=");
    schedule["payload_encoding"] = json!("base64");
    admin.done("PUT", PATH, &schedule);
    admin.done("POST", &format!("{PATH}/pause"), &Value::Null);
    let exported = admin.get("/api/definitions");
    let of_vhost = admin.get("/api/definitions/%2F");
    assert_eq!(exported["schedules"][0]["vhost"], "/");
    assert_eq!(of_vhost["schedules"][0].get("vhost"), None);
    let before = admin.get(PATH);
    admin.done("DELETE", PATH, &Value::Null);
    admin.done("POST", "/api/definitions", &exported);
    let after = admin.get(PATH);
    for field in
        ["cron", "time_zone", "payload", "payload_encoding", "properties", "catch_up", "state"]
    {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["state"], "paused");
    admin.done("PUT", "/api/vhosts/copy", &Value::Null);
    admin.done("POST", "/api/definitions/copy", &of_vhost);
    assert_eq!(admin.get("/api/schedules/copy/nightly")["catch_up"], "all");
    // It goes with its virtual host.
    admin.done("DELETE", "/api/vhosts/copy", &Value::Null);
    assert_eq!(admin.get("/api/schedules").as_array().map(Vec::len), Some(1));
    let mut wrong = exported;
    wrong["schedules"][0]["time_zone"] = json!("Europe/Atlantis");
    let (status, reason) = admin.refused("POST", "/api/definitions", &wrong);
    assert!(status == 400 && reason.starts_with("schedules[0].time_zone: "), "{reason}");
}
