//! Limits of virtual hosts, users, addresses and messages.

use crate::access::{connect, declare};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::http::Admin;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MAX_CONNECTIONS: &str = "/api/vhost-limits/shop/max-connections";

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_has_so_many_connections_and_queues_also_after_a_restart() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/vhosts/shop", &Value::Null);
    admin.done("PUT", MAX_CONNECTIONS, &json!({ "value": 1 }));
    admin.done("PUT", "/api/vhost-limits/shop/max-queues", &json!({ "value": 2 }));
    broker.kill();

    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    let value = json!({ "max-connections": 1, "max-queues": 2 });
    let listed = json!([{ "vhost": "shop", "value": value }]);
    assert_eq!(admin.get("/api/vhost-limits"), listed);
    assert_eq!(admin.get("/api/vhost-limits/shop"), listed);
    let parameter = json!(
        { "component": "vhost-limits", "name": "limits", "vhost": "shop", "value": value }
    );
    assert_eq!(admin.get("/api/parameters"), json!([parameter]));
    assert_eq!(admin.get("/api/parameters/vhost-limits/shop/limits"), parameter);
    assert_eq!(admin.get("/api/parameters/operator_policy"), json!([]));
    let connection = connect(&broker, "guest:guest", "shop").await.unwrap();
    let refused = connect(&broker, "guest:guest", "shop").await.unwrap_err().to_string();
    let text = "access to vhost 'shop' refused for user 'guest': connection limit (1) is reached";
    assert!(refused.contains(text), "{refused}");
    connect(&broker, "guest:guest", "%2f").await.unwrap();

    let channel = must("channel", connection.create_channel()).await.unwrap();
    declare(&channel, "one").await.unwrap();
    declare(&channel, "two").await.unwrap();
    declare(&channel, "two").await.unwrap();
    let refused = declare(&channel, "three").await.unwrap_err();
    let text = "cannot declare queue 'three': queue limit in vhost 'shop' (2) is reached";
    assert!(refused.contains(text), "{refused}");

    admin.done("DELETE", MAX_CONNECTIONS, &Value::Null);
    admin.done("PUT", "/api/vhost-limits/shop/max-queues", &json!({ "value": -1 }));
    connect(&broker, "guest:guest", "shop").await.unwrap();
    assert_eq!(admin.get("/api/vhost-limits"), json!([]));
    let (status, reason) = admin.refused("PUT", "/api/vhost-limits/shop/x", &json!({ "value": 1 }));
    assert!(status == 400 && reason.contains("max-queues"), "{reason}");
    assert_eq!(admin.refused("PUT", MAX_CONNECTIONS, &json!({})).0, 400);
    let nowhere = "/api/vhost-limits/nowhere/max-queues";
    assert_eq!(admin.refused("PUT", nowhere, &json!({ "value": 1 })).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_connections_and_channels() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/user-limits/guest/max-connections", &json!({ "value": 2 }));
    admin.done("PUT", "/api/user-limits/guest/max-channels", &json!({ "value": 3 }));
    let first = connect(&broker, "guest:guest", "%2f").await.unwrap();
    let second = connect(&broker, "guest:guest", "%2f").await.unwrap();
    let refused = connect(&broker, "guest:guest", "%2f").await.unwrap_err().to_string();
    let text = "connection refused for user 'guest': user connection limit (2) is reached";
    assert!(refused.contains(text), "{refused}");
    let mut channels = Vec::new();
    for connection in [&first, &first, &second] {
        channels.push(must("channel", connection.create_channel()).await.unwrap());
    }
    // The fourth closes the connection that opens it, as in RabbitMQ.
    let _ = must("channel", second.create_channel()).await;
    while second.status().connected() {
        tokio::task::yield_now().await;
    }
    assert!(first.status().connected());
    must("channel", first.create_channel()).await.unwrap();
    assert_eq!(
        admin.refused("PUT", "/api/user-limits/no/max-channels", &json!({"value": 1})).0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_go_out_and_in_with_definitions() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let broker = Broker::start(from.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/users/app", &json!({ "password": "pw", "tags": "" }));
    admin.done("PUT", "/api/user-limits/app/max-channels", &json!({ "value": 7 }));
    admin.done("PUT", "/api/vhost-limits/%2f/max-queues", &json!({ "value": 1000 }));
    let file = admin.get("/api/definitions");
    let limits = json!({ "max-queues": 1000 });
    let parameter =
        json!({ "component": "vhost-limits", "name": "limits", "value": limits, "vhost": "/" });
    assert_eq!(file["parameters"], json!([parameter]));
    assert_eq!(file["users"][0]["limits"], json!({ "max-channels": 7 }));

    let other = Broker::start(to.path());
    let admin = Admin::guest(&other);
    admin.done("POST", "/api/definitions", &file);
    assert_eq!(admin.get("/api/definitions"), file);
    // A user takes its limits along.
    admin.done("DELETE", "/api/users/app", &Value::Null);
    assert_eq!(admin.get("/api/user-limits"), json!([]));
    let mut wrong = file;
    wrong["users"][0]["limits"] = json!({ "max-queues": 1 });
    let (status, reason) = admin.refused("POST", "/api/definitions", &wrong);
    assert!(status == 400 && reason.contains("users[0].limits.max-queues"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_messages_are_limited_by_the_configuration() {
    let data = TempDir::new().unwrap();
    let config = data.path().join("forebay.toml");
    std::fs::write(&config, "connections_per_address_max = 1\nmax_message_size = 10\n").unwrap();
    let launch = Launch::on(&data.path().join("data")).argument("--config");
    let broker = Broker::launch(&launch.argument(config.to_str().unwrap()));
    let connection = connect(&broker, "guest:guest", "%2f").await.unwrap();
    connect(&broker, "guest:guest", "%2f").await.unwrap_err();
    let channel = must("channel", connection.create_channel()).await.unwrap();
    declare(&channel, "q").await.unwrap();
    for body in ["0123456789", "0123456789x"] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let published =
            channel.basic_publish("".into(), "q".into(), options, body.as_bytes(), properties);
        let _ = must("publish", published).await;
    }
    while channel.status().connected() {
        tokio::task::yield_now().await;
    }
    let channel = must("channel", connection.create_channel()).await.unwrap();
    declare(&channel, "q").await.unwrap();
    must("close", connection.close(200, "bye".into())).await.unwrap();
    while connect(&broker, "guest:guest", "%2f").await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A connection that publishes so many messages to `q` as fast as it can, and how long that took.
async fn publish_all(broker: &Broker, login: &str, messages: u64) -> Duration {
    let connection = connect(broker, login, "%2f").await.unwrap();
    let channel = must("channel", connection.create_channel()).await.unwrap();
    must("confirms", channel.confirm_select(<_>::default())).await.unwrap();
    let begin = Instant::now();
    let mut confirms = Vec::new();
    for _ in 0..messages {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let published = channel.basic_publish("".into(), "q".into(), options, b"x", properties);
        confirms.push(must("publish", published).await.unwrap());
    }
    for confirm in confirms {
        must("confirm", confirm).await.unwrap();
    }
    begin.elapsed()
}

/// The limit is a least time for what is above it, which no machine is too slow for.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_is_held_to_a_rate_of_the_user_and_of_the_virtual_host() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2f/q", &json!({}));
    admin.done("PUT", "/api/users/app", &json!({ "password": "pw", "tags": "" }));
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    admin.done("PUT", "/api/permissions/%2f/app", &all);
    // A second's worth passes at once, the rest takes its time; whoever else is there has none.
    admin.done("PUT", "/api/user-limits/app/max-publish-rate", &json!({ "value": 100 }));
    let (limited, _) =
        tokio::join!(publish_all(&broker, "app:pw", 250), publish_all(&broker, "guest:guest", 250));
    assert!(limited >= Duration::from_millis(1_400), "{limited:?}");
    admin.done("DELETE", "/api/user-limits/app/max-publish-rate", &Value::Null);

    // All share what a virtual host has.
    admin.done("PUT", "/api/vhost-limits/%2f/max-publish-rate", &json!({ "value": 200 }));
    let (one, other) =
        tokio::join!(publish_all(&broker, "app:pw", 300), publish_all(&broker, "guest:guest", 300));
    assert!(one.max(other) >= Duration::from_millis(1_900), "{one:?}, {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_nothing_holds_publishers_until_it_is_lifted_and_nobody_else() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2f/q", &json!({}));
    admin.done("PUT", "/api/vhost-limits/%2f/max-publish-rate", &json!({ "value": 0 }));
    let held = publish_all(&broker, "guest:guest", 3);
    let mut held = std::pin::pin!(held);
    let seen = async {
        broker.await_metric("forebay_connections_paced", 1.0).await;
        let connections = admin.get("/api/connections");
        assert_eq!(connections[0]["state"], "flow", "{connections}");
        // Who does not publish is not held.
        let connection = connect(&broker, "guest:guest", "%2f").await.unwrap();
        let channel = must("channel", connection.create_channel()).await.unwrap();
        declare(&channel, "another").await.unwrap();
    };
    tokio::select! {
        () = seen => {}
        _ = &mut held => panic!("it published"),
    }
    admin.done("DELETE", "/api/vhost-limits/%2f/max-publish-rate", &Value::Null);
    held.await;
    broker.await_metric("forebay_connections_paced", 0.0).await;
}
