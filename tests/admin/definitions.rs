//! Files of definitions: at the start, by command, and refused whole.

use crate::command::run;
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::http::Admin;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// As RabbitMQ writes it; the password is `test12`.
fn file() -> Value {
    json!({
        "rabbitmq_version": "3.12.1", "product_name": "RabbitMQ",
        "users": [{
            "name": "app", "tags": ["administrator"], "limits": {},
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256"
        }],
        "vhosts": [{ "name": "/" }, { "name": "orders" }],
        "permissions": [
            { "user": "app", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" },
            { "user": "app", "vhost": "orders", "configure": ".*", "write": ".*", "read": ".*" }
        ],
        "topic_permissions": [], "parameters": [], "global_parameters": [],
        "policies": [{
            "vhost": "orders", "name": "short", "pattern": "^o", "apply-to": "queues",
            "definition": { "max-length": 7 }, "priority": 0
        }],
        "queues": [{
            "name": "o", "vhost": "orders", "durable": true, "auto_delete": false,
            "arguments": { "x-queue-type": "quorum" }
        }],
        "exchanges": [{
            "name": "x", "vhost": "orders", "type": "fanout", "durable": true,
            "auto_delete": false, "internal": false, "arguments": {}
        }],
        "bindings": [{
            "source": "x", "vhost": "orders", "destination": "o", "destination_type": "queue",
            "routing_key": "", "arguments": {}
        }]
    })
}

fn write(path: &Path, file: &Value) -> String {
    std::fs::write(path, file.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn has_everything(admin: &Admin) {
    let queue = admin.get("/api/queues/orders/o");
    assert_eq!((&queue["policy"], &queue["type"]), (&json!("short"), &json!("quorum")));
    let message =
        json!({ "routing_key": "", "payload": "x", "properties": { "delivery_mode": 2 } });
    let routed = admin.done("POST", "/api/exchanges/orders/x/publish", &message);
    assert_eq!(routed["routed"], json!(true));
}

#[test]
fn a_file_of_rabbitmq_goes_in_at_the_start_and_again() {
    let directory = TempDir::new().unwrap();
    let definitions = write(&directory.path().join("definitions.json"), &file());
    let config = directory.path().join("forebay.toml");
    std::fs::write(&config, format!("load_definitions = {definitions:?}\n")).unwrap();
    let launch = Launch::on(&directory.path().join("data"))
        .argument("--config")
        .argument(config.to_str().unwrap());
    for messages in 1..3 {
        let broker = Broker::launch(&launch);
        let admin = Admin::user(&broker, "app", "test12");
        has_everything(&admin);
        assert_eq!(admin.get("/api/queues/orders/o")["messages"], messages);
        broker.kill();
    }
    let mut wrong = file();
    wrong["queues"][0]["arguments"]["x-max-length"] = json!("many");
    write(Path::new(&definitions), &wrong);
    let output = launch.output();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("queues[0].arguments.x-max-length: 'many'"), "{text}");
}

#[test]
fn what_one_broker_exports_another_imports() {
    let data = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [one, two] = [Broker::start(data[0].path()), Broker::start(data[1].path())];
    let path = write(&data[0].path().join("in.json"), &file());
    let output = run(&one, &["definitions", "check", &path]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&one, &["definitions", "import", &path]);
    assert!(output.status.success(), "{output:?}");
    let exported = data[0].path().join("out.json");
    let exported = exported.to_str().unwrap();
    assert!(run(&one, &["definitions", "export", exported]).status.success());
    let output = run(&two, &["definitions", "import", exported]);
    assert!(output.status.success(), "{output:?}");
    let [one, two] = [&one, &two].map(|broker| Admin::user(broker, "app", "test12"));
    assert_eq!(one.get("/api/definitions"), two.get("/api/definitions"));
    has_everything(&two);
}

#[test]
fn a_file_that_does_not_fit_changes_nothing() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let before = admin.get("/api/definitions");
    let mut wrong = file();
    wrong["bindings"][0]["destination"] = json!("nowhere");
    let path = write(&data.path().join("in.json"), &wrong);
    let output = run(&broker, &["definitions", "import", &path]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("bindings[0]: no queue 'nowhere' in vhost 'orders'"), "{text}");
    assert_eq!(admin.get("/api/definitions"), before);
    let output = run(&broker, &["definitions", "import", &path, "--password", "wrong"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--password"));
}
