//! Users, virtual hosts, permissions and policies changed while the broker runs.

use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::http::Admin;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use std::io::Write;
use tempfile::TempDir;

pub(crate) async fn connect(
    broker: &Broker,
    login: &str,
    vhost: &str,
) -> lapin::Result<Connection> {
    let uri = format!("amqp://{login}@{}/{vhost}", broker.address);
    must("connect", Connection::connect(&uri, ConnectionProperties::default())).await
}

pub(crate) async fn declare(channel: &Channel, queue: &str) -> Result<(), String> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
    must("declare", declared).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_does_what_it_may_and_nothing_else_also_after_a_restart() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/vhosts/orders", &Value::Null);
    admin.done("PUT", "/api/users/bob", &json!({ "password": "pw", "tags": "management" }));
    let refused = connect(&broker, "bob:pw", "orders").await.unwrap_err().to_string();
    assert!(refused.contains("access to vhost 'orders' refused for user 'bob'"), "{refused}");
    let permission = json!({ "configure": "^mine", "write": "^(mine|amq\\.default)", "read": "" });
    assert_eq!(admin.ask("PUT", "/api/permissions/orders/bob", &permission).status, 201);
    broker.kill();

    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let connection = connect(&broker, "bob:pw", "orders").await.unwrap();
    let channel = must("channel", connection.create_channel()).await.unwrap();
    declare(&channel, "mine").await.unwrap();
    let refused = declare(&channel, "other").await.unwrap_err();
    let text = "configure access to queue 'other' in vhost 'orders' refused for user 'bob'";
    assert!(refused.contains(text), "{refused}");
    // The same over HTTP.
    let bob = Admin::user(&broker, "bob", "pw");
    bob.done("PUT", "/api/queues/orders/mine2", &json!({}));
    let (status, reason) = bob.refused("PUT", "/api/queues/orders/other", &json!({}));
    assert!(status == 401 && reason.contains(text), "{reason}");
    assert_eq!(bob.refused("GET", "/api/users", &Value::Null).0, 401);
    assert_eq!(bob.get("/api/vhosts").as_array().map(Vec::len), Some(1));
    // What is taken away is gone for the connection that is open.
    admin.done("DELETE", "/api/permissions/orders/bob", &Value::Null);
    let channel = must("channel", connection.create_channel()).await.unwrap();
    assert!(declare(&channel, "mine").await.unwrap_err().contains("ACCESS_REFUSED"));
    // A user that is deleted is cut off.
    admin.done("DELETE", "/api/users/bob", &Value::Null);
    while connection.status().connected() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    connect(&broker, "bob:pw", "orders").await.unwrap_err();
    assert_eq!(bob.refused("GET", "/api/whoami", &Value::Null).0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_goes_with_all_that_is_in_it() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/vhosts/v", &Value::Null);
    let connection = connect(&broker, "guest:guest", "v").await.unwrap();
    let channel = must("channel", connection.create_channel()).await.unwrap();
    declare(&channel, "q").await.unwrap();
    admin.done("DELETE", "/api/vhosts/v", &Value::Null);
    while connection.status().connected() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let refused = connect(&broker, "guest:guest", "v").await.unwrap_err().to_string();
    assert!(refused.contains("vhost 'v' not found"), "{refused}");
    assert_eq!(admin.get("/api/queues"), json!([]));
    assert_eq!(admin.refused("DELETE", "/api/vhosts/v", &Value::Null).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_counts_at_once_and_after_a_restart() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2F/q", &json!({}));
    let bad = json!({ "pattern": "^q", "definition": { "max-length": "x" } });
    let (status, reason) = admin.refused("PUT", "/api/policies/%2F/p", &bad);
    assert!(status == 400 && reason.starts_with("definition.max-length: 'x'"), "{reason}");
    let policy =
        json!({ "pattern": "^q", "apply-to": "queues", "definition": { "max-length": 2 } });
    assert_eq!(admin.ask("PUT", "/api/policies/%2F/p", &policy).status, 201);
    broker.kill();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    assert_eq!(admin.get("/api/queues/%2F/q")["policy"], "p");
    let message = json!({ "routing_key": "q", "payload": "x", "properties": {} });
    for _ in 0..5 {
        admin.done("POST", "/api/exchanges/%2F/amq.default/publish", &message);
    }
    assert_eq!(admin.get("/api/queues/%2F/q")["messages"], 2);
    admin.done("DELETE", "/api/policies/%2F/p", &Value::Null);
    admin.done("POST", "/api/exchanges/%2F/amq.default/publish", &message);
    assert_eq!(admin.get("/api/queues/%2F/q")["messages"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_can_say_less_than_everything() {
    let directory = TempDir::new().unwrap();
    let made = forebay_server::auth::user::hash_password(b"pw").unwrap();
    let path = directory.path().join("forebay.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    let text = format!(
        "[[users]]\nname = \"all\"\npassword_hash = \"{made}\"\n\
         [[users]]\nname = \"less\"\npassword_hash = \"{made}\"\n\
         permissions = [{{ vhost = \"/\", write = \"^amq\\\\.default$\" }}]\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    let launch = Launch::on(&directory.path().join("data"))
        .argument("--config")
        .argument(path.to_str().unwrap());
    let broker = Broker::launch(&launch);
    let all = connect(&broker, "all:pw", "%2f").await.unwrap();
    declare(&must("channel", all.create_channel()).await.unwrap(), "q").await.unwrap();
    let less = connect(&broker, "less:pw", "%2f").await.unwrap();
    let channel = must("channel", less.create_channel()).await.unwrap();
    let publish = BasicPublishOptions::default();
    let sent =
        channel.basic_publish("".into(), "q".into(), publish, b"x", BasicProperties::default());
    must("publish", sent).await.unwrap();
    assert!(declare(&channel, "q2").await.unwrap_err().contains("ACCESS_REFUSED"));
    // No tag, no admin.
    let reply = Admin::user(&broker, "all", "pw").refused("GET", "/api/overview", &Value::Null);
    assert_eq!(reply, (401, "Not management user".to_owned()));
}

#[test]
fn logins_are_counted_by_address() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    let wrong = Admin::user(&broker, "guest", "wrong");
    assert_eq!(wrong.ask("GET", "/api/whoami", &Value::Null).status, 401);
    let node = format!("forebay@{}", rustix::system::uname().nodename().to_string_lossy());
    let attempts = guest.get(&format!("/api/auth/attempts/{node}/source"));
    assert_eq!(attempts[0]["remote_address"], "127.0.0.1");
    assert_eq!(attempts[0]["auth_attempts_failed"], 1);
    assert_eq!(attempts[0]["auth_attempts_succeeded"], 1);
}
