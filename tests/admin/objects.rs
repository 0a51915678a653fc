//! Queues, exchanges, bindings, messages and connections over the admin listener, with the paths
//! and fields that rabbitmqadmin and KEDA use.

use crate::harness::broker::{Broker, http_get};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{
    Session, confirmed, consume, consume_with, declare_named, next_bodies, publish,
};
use crate::http::Admin;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use serde_json::{Value, json};
use tempfile::TempDir;

fn broker() -> (Broker, TempDir) {
    let data = TempDir::new().unwrap();
    (Broker::start(data.path()), data)
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2F/q", &json!({}));
    admin.done("PUT", "/api/exchanges/%2F/x", &json!({ "type": "fanout" }));
    admin.done("POST", "/api/bindings/%2F/e/x/q/q", &json!({}));
    let letters = "/api/forebay/dead-letters/%2F/q";
    let no_object = json!({
        "routing_key": "", "payload": "", "payload_encoding": "string", "properties": 5
    });
    let refused: [(&str, &str, Value, &str); 8] = [
        ("DELETE", "/api/queues/%2F/q?if-empty=maybe", Value::Null, "if-empty: 'maybe', expected"),
        ("DELETE", "/api/queues/%2F/q?if-unused=1", Value::Null, "if-unused: '1', expected"),
        ("DELETE", "/api/exchanges/%2F/x?if-unused=1", Value::Null, "if-unused: '1', expected"),
        ("PUT", "/api/queues/%2F/e", json!({ "exclusive": true }), "exclusive: true, expected"),
        ("POST", "/api/exchanges/%2F/x/publish", no_object, "properties: 5, expected an object"),
        ("POST", &format!("{letters}/peek"), json!({ "limit": 5 }), "limit: no such field"),
        (
            "POST",
            &format!("{letters}/redrive"),
            json!({ "truncate": 5 }),
            "truncate: no such field",
        ),
        (
            "POST",
            &format!("{letters}/redrive"),
            json!({ "reason": "no" }),
            "reason: 'no', expected",
        ),
    ];
    for (method, path, body, expected) in refused {
        let (status, reason) = admin.refused(method, path, &body);
        assert_eq!(status, 400, "{method} {path}: {reason}");
        assert!(reason.starts_with(expected), "{method} {path}: {reason}");
    }
    assert_eq!(admin.get("/api/queues/%2F/q")["name"], "q");
    assert_eq!(admin.refused("GET", "/api/users/nobody/permissions", &Value::Null).0, 404);
}

#[test]
fn what_is_declared_over_http_is_there() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let queue = json!({ "durable": "true", "auto_delete": "false", "arguments": {} });
    assert_eq!(admin.ask("PUT", "/api/queues/%2F/q%2F1", &queue).status, 201);
    assert_eq!(admin.ask("PUT", "/api/queues/%2F/q%2F1", &queue).status, 204);
    let other = json!({ "durable": false });
    let (status, reason) = admin.refused("PUT", "/api/queues/%2F/q%2F1", &other);
    assert_eq!(status, 400);
    assert!(reason.contains("inequivalent arg 'durable' for queue 'q/1'"), "{reason}");
    admin.done("PUT", "/api/exchanges/%2F/x", &json!({ "type": "topic" }));
    let binding = json!({ "routing_key": "a.#", "arguments": {} });
    admin.done("POST", "/api/bindings/%2F/e/x/q/q%2F1", &binding);
    let message = json!({
        "routing_key": "a.b", "payload": "aGVsbG8=", "payload_encoding": "base64",
        "properties": { "delivery_mode": 2, "headers": { "n": 1 }, "content_type": "text/plain" }
    });
    let routed = |key: &str| {
        let mut message = message.clone();
        message["routing_key"] = json!(key);
        admin.done("POST", "/api/exchanges/%2F/x/publish", &message)["routed"].clone()
    };
    assert_eq!(routed("a.b"), json!(true));
    assert_eq!(routed("b.a"), json!(false));
    let get = json!({ "count": 5, "ackmode": "ack_requeue_true", "encoding": "auto" });
    for _ in 0..5 {
        // To look is no failed delivery.
        let got = admin.done("POST", "/api/queues/%2F/q%2F1/get", &get);
        assert_eq!(got[0]["payload"], "hello");
        assert_eq!(got[0]["properties"]["headers"], json!({ "n": 1 }));
        assert_eq!(got[0]["exchange"], "x");
        assert_eq!(got.as_array().map(Vec::len), Some(1));
    }
    let queue = admin.get("/api/queues/%2F/q%2F1");
    assert_eq!(queue["messages"], 1);
    assert_eq!(queue["messages_ready"], 1);
    assert_eq!(queue["message_stats"]["publish"], 1);
    assert!(queue["message_stats"]["publish_details"]["rate"].is_number());
    admin.done("DELETE", "/api/queues/%2F/q%2F1/contents", &Value::Null);
    assert_eq!(admin.get("/api/queues/%2F/q%2F1")["messages"], 0);
    let bindings = admin.get("/api/queues/%2F/q%2F1/bindings");
    // Every queue is bound to the default exchange by its name.
    assert_eq!(bindings[0]["source"], "");
    assert_eq!(bindings[0]["properties_key"], "q%2F1");
    assert_eq!(bindings[1]["properties_key"], "a.%23");
    admin.done("DELETE", "/api/bindings/%2F/e/x/q/q%2F1/a.%2523", &Value::Null);
    assert_eq!(routed("a.b"), json!(false));
    admin.done("DELETE", "/api/queues/%2F/q%2F1", &Value::Null);
    assert_eq!(admin.refused("GET", "/api/queues/%2F/q%2F1", &Value::Null).0, 404);
    assert_eq!(admin.refused("DELETE", "/api/exchanges/%2F/y", &Value::Null).0, 404);
}

#[test]
fn a_message_goes_by_its_further_routing_keys_too() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    for queue in ["copy", "blind"] {
        admin.done("PUT", &format!("/api/queues/%2F/{queue}"), &json!({}));
    }
    let publish = |headers: &Value| {
        let message = json!({
            "routing_key": "nowhere", "payload": "x", "payload_encoding": "string",
            "properties": { "headers": headers },
        });
        admin.ask("POST", "/api/exchanges/%2F/amq.default/publish", &message)
    };
    let both = json!({ "CC": ["copy"], "BCC": ["blind", "none"] });
    assert_eq!(publish(&both).json["routed"], json!(true));
    assert_eq!(publish(&json!({ "CC": ["none"] })).json["routed"], json!(false));
    let refused = publish(&json!({ "CC": "copy" }));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.json["reason"].as_str().unwrap().contains("must be an array"), "{refused:?}");
    for queue in ["copy", "blind"] {
        let get = json!({ "count": 5, "ackmode": "ack_requeue_false", "encoding": "auto" });
        let got = admin.done("POST", &format!("/api/queues/%2F/{queue}/get"), &get);
        assert_eq!(got.as_array().map(Vec::len), Some(1), "{queue}: {got}");
        // The keys of BCC are shown to no consumer.
        assert_eq!(got[0]["properties"]["headers"], json!({ "CC": ["copy"] }), "{queue}");
    }
}

#[test]
fn properties_are_refused_that_are_refused_over_amqp() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/queues/%2F/q", &json!({}));
    for (properties, reason) in [
        (json!({ "delivery_mode": 3 }), "invalid delivery_mode 3"),
        (json!({ "expiration": "soon" }), "invalid expiration 'soon'"),
        (json!({ "user_id": "other" }), "'other' but authenticated user was 'guest'"),
    ] {
        let message = json!({
            "routing_key": "q", "payload": "x", "payload_encoding": "string",
            "properties": properties,
        });
        let path = "/api/exchanges/%2F/amq.default/publish";
        let (status, text) = admin.refused("POST", path, &message);
        assert!(status == 400 && text.contains(reason), "{status} {text}");
    }
    assert_eq!(admin.get("/api/queues/%2F/q")["messages"], 0);
}

#[test]
fn what_is_not_there_yet_is_refused_over_http_too() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    for (path, body, named) in [
        ("queues/%2F/q", json!({ "arguments": { "x-queue-type": "stream" } }), "x-queue-type"),
        ("queues/%2F/q", json!({ "arguments": { "x-retry-delay": 5 } }), "x-retry-delay"),
        ("exchanges/%2F/x", json!({ "type": "x-delayed-message" }), "x-delayed-type"),
        ("exchanges/%2F/x", json!({ "type": "x-strange" }), "x-strange"),
    ] {
        let path = format!("/api/{path}");
        let (status, reason) = admin.refused("PUT", &path, &body);
        assert!(status == 400 && reason.contains(named), "{path} {body}: {status} {reason}");
        assert_eq!(admin.refused("GET", &path, &Value::Null).0, 404);
    }
}

#[test]
fn who_we_say_we_are_is_said_everywhere() {
    for (product, name, version, spoken) in [
        ("RabbitMQ 3.10.8", "RabbitMQ", "3.10.8", "3.10.8"),
        ("Our \"Broker\" 7.1", "Our \"Broker\"", "7.1", "3.13.0"),
    ] {
        let data = TempDir::new().unwrap();
        let launch = Launch::on(data.path()).argument("--product").argument(product);
        let broker = Broker::launch(&launch);
        let admin = Admin::guest(&broker);
        let (overview, file) = (admin.get("/api/overview"), admin.get("/api/definitions"));
        for shown in [&overview, &file] {
            assert_eq!(shown["product_name"], name);
            assert_eq!(shown["product_version"], version);
            assert_eq!(shown["rabbitmq_version"], spoken);
        }
        assert_eq!(overview["management_version"], spoken);
        assert_eq!(file["rabbit_version"], spoken);
        let info = format!(
            "rabbitmq_build_info{{rabbitmq_version=\"{spoken}\",product_name=\"{}\",\
             product_version=\"{version}\"}} 1\n",
            name.replace('"', "\\\"")
        );
        for path in ["/metrics", "/metrics/per-object", "/metrics/detailed"] {
            let page = http_get(broker.metrics, path);
            assert!(page.contains(&info), "{path} has no {info}");
        }
    }
}

/// Several brokers can be told apart by it.
#[test]
fn a_node_has_the_name_of_its_machine_over_http_and_in_metrics() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let name = format!("forebay@{}", rustix::system::uname().nodename().to_string_lossy());
    assert_eq!(admin.get("/api/overview")["node"], *name);
    assert_eq!(admin.get("/api/nodes")[0]["name"], *name);
    assert_eq!(admin.get("/api/vhosts/%2F")["cluster_state"], json!({ (&name): "running" }));
    let page = http_get(broker.metrics, "/metrics");
    assert!(page.contains(&format!("rabbitmq_node=\"{name}\"")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_tells_how_long_it_may_hold_a_message() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let session = Session::open_at(broker.address).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-consumer-timeout".into(), 5000.into());
    declare_named(&session.channel, "own", arguments).await;
    declare_named(&session.channel, "default", <_>::default()).await;
    let _own = consume(&session.channel, "own").await;
    let _default = consume(&session.channel, "default").await;
    let no_ack = BasicConsumeOptions { no_ack: true, ..<_>::default() };
    let _no_ack = consume_with(&session.channel, "own", no_ack).await;
    let timeouts = |queue: &str| {
        let queue = admin.get(&format!("/api/queues/%2F/{queue}"));
        let consumers = queue["consumer_details"].as_array().unwrap().iter();
        consumers.map(|consumer| consumer["consumer_timeout"].clone()).collect::<Vec<_>>()
    };
    // Without acknowledgements nothing is held.
    assert_eq!(timeouts("own"), [json!(5000), json!(0)]);
    assert_eq!(timeouts("default"), [json!(1_800_000)]);
    let policy = json!({ "pattern": "^default$", "definition": { "consumer-timeout": 60_000 } });
    admin.done("PUT", "/api/policies/%2F/p", &policy);
    assert_eq!(timeouts("default"), [json!(60_000)]);
}

#[test]
fn lists_come_in_pages_and_columns() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    for number in 0..5 {
        admin.done("PUT", &format!("/api/queues/%2F/q{number}"), &json!({}));
    }
    let page = admin.get("/api/queues?page=2&page_size=2&name=%5Eq%5B0-3%5D&use_regex=true");
    assert_eq!(page["filtered_count"], 4);
    assert_eq!(page["total_count"], 5);
    assert_eq!(page["items"][0]["name"], "q2");
    let columns = admin.get("/api/queues?columns=name,message_stats.publish&sort=name");
    assert_eq!(columns[4], json!({ "name": "q4", "message_stats": { "publish": 0 } }));
    assert_eq!(admin.refused("GET", "/api/queues?page=1&page_size=501", &Value::Null).0, 400);
    assert_eq!(admin.refused("GET", "/api/queues?page=x", &Value::Null).0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_listed_and_closed() {
    let (broker, _data) = broker();
    let session = Session::open_at(broker.address).await;
    let admin = Admin::guest(&broker);
    let connections = admin.get("/api/connections");
    assert_eq!(connections.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&connections[0]["user"], &connections[0]["channels"]),
        (&json!("guest"), &json!(1))
    );
    let name = connections[0]["name"].as_str().unwrap();
    let path = format!("/api/connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
    admin.done("DELETE", &path, &Value::Null);
    let closed = async {
        while session.connection.status().connected() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    must("the connection closes", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_listed_whatever_they_do() {
    let (broker, _data) = broker();
    let session = Session::open_at(broker.address).await;
    let admin = Admin::guest(&broker);
    declare_named(&session.channel, "q", <_>::default()).await;
    let publisher = session.confirm_channel().await;
    for body in ["1", "2", "3"] {
        confirmed(publish(&publisher, "", "q", body).await).await;
    }
    let consumer = session.connection.create_channel().await.unwrap();
    consumer.basic_qos(2, <_>::default()).await.unwrap();
    let mut deliveries = consume(&consumer, "q").await;
    next_bodies(&mut deliveries, 2).await;
    let figures = |channel: &Value| {
        ["number", "consumer_count", "messages_unacknowledged", "prefetch_count", "confirm"]
            .map(|field| channel[field].clone())
    };
    let channels = admin.get("/api/channels");
    let all: Vec<_> = channels.as_array().unwrap().iter().map(figures).collect();
    let expected = [
        [json!(1), json!(0), json!(0), json!(0), json!(false)],
        [json!(2), json!(0), json!(0), json!(0), json!(true)],
        [json!(3), json!(1), json!(2), json!(2), json!(false)],
    ];
    assert_eq!(all, expected);
    let escaped = |name: &Value| {
        let name = name.as_str().unwrap().to_owned();
        [(' ', "%20"), ('>', "%3E")].iter().fold(name, |name, (from, to)| name.replace(*from, to))
    };
    let name = &channels[2]["name"];
    assert_eq!(&admin.get(&format!("/api/channels/{}", escaped(name)))["name"], name);
    let connection = escaped(&channels[2]["connection_details"]["name"]);
    assert_eq!(admin.get(&format!("/api/connections/{connection}/channels")), channels);
    assert_eq!(admin.get("/api/vhosts/%2F/channels"), channels);
    assert_eq!(admin.refused("GET", "/api/channels/none", &Value::Null).0, 404);
}

/// What RabbitMQ 3.10.8 answers.
#[test]
fn health_checks_answer_what_they_answer_elsewhere() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    let check = |what: &str| admin.ask("GET", &format!("/api/health/checks/{what}"), &Value::Null);
    let ok = json!({ "status": "ok" });
    for what in ["alarms", "local-alarms", "virtual-hosts", "certificate-expiration/1/months"] {
        assert_eq!(check(what).json, ok, "{what}");
    }
    let alone = json!({ "status": "ok", "reason": "single node cluster" });
    for what in ["node-is-quorum-critical", "node-is-mirror-sync-critical"] {
        assert_eq!(check(what).json, alone, "{what}");
    }
    for address in [broker.address, broker.admin, broker.metrics] {
        let port = address.port();
        let expected = json!({ "status": "ok", "port": port });
        assert_eq!(check(&format!("port-listener/{port}")).json, expected);
    }
    let missing = check("port-listener/1");
    assert_eq!((missing.status, &missing.json["missing"]), (503, &json!(1)));
    assert_eq!(missing.json["reason"], "No active listener");
    assert_eq!(missing.json["ports"].as_array().map(Vec::len), Some(3));
    for (asked, answered) in [
        ("amqp", "amqp"),
        ("AMQP", "amqp"),
        ("amqp091", "amqp"),
        ("http", "http"),
        ("http%2Fprometheus", "http/prometheus"),
    ] {
        let expected = json!({ "status": "ok", "protocol": answered });
        assert_eq!(check(&format!("protocol-listener/{asked}")).json, expected, "{asked}");
    }
    for (asked, answered) in [("amqps", "amqp/ssl"), ("https", "https"), ("bogus", "bogus")] {
        let missing = check(&format!("protocol-listener/{asked}"));
        assert_eq!((missing.status, &missing.json["status"]), (503, &json!("failed")));
        assert_eq!(missing.json["missing"], answered);
        assert_eq!(missing.json["protocols"], json!(["amqp", "http", "http/prometheus"]));
    }
    assert_eq!(check("certificate-expiration/x/months").status, 400);
    assert_eq!(check("certificate-expiration/1/foo").status, 400);
    assert_eq!(admin.get("/api/healthchecks/node"), ok);
    let node = admin.get("/api/overview")["node"].as_str().unwrap().to_owned();
    assert_eq!(admin.get(&format!("/api/healthchecks/node/{node}")), ok);
    assert_eq!(admin.refused("GET", "/api/healthchecks/node/other", &Value::Null).0, 404);
}

#[test]
fn tools_find_a_broker_that_is_alive() {
    let (broker, _data) = broker();
    let admin = Admin::guest(&broker);
    assert_eq!(admin.get("/api/whoami"), json!({ "name": "guest", "tags": ["administrator"] }));
    assert_eq!(admin.get("/api/aliveness-test/%2F")["status"], "ok");
    assert_eq!(admin.get("/api/health/checks/alarms")["status"], "ok");
    let overview = admin.get("/api/overview");
    assert_eq!(overview["object_totals"]["queues"], 1);
    assert_eq!(admin.refused("GET", "/api/nothing", &Value::Null).0, 404);
    assert_eq!(admin.send("PUT", "/api/queues/%2F/q", b"{").status, 400);
    assert_eq!(admin.send("PUT", "/api/queues/%2F/q", b"[]").status, 400);
}
