//! Files as RabbitMQ writes them, and files that are refused.

use super::*;
use crate::config::product::Product;
use crate::definitions::{export, export_vhost};
use forebay_engine::access::AccessControl;
use forebay_engine::topology::Topology;
use serde_json::json;

/// As RabbitMQ 3.x writes it: tags as text, no types of queues.
fn version_3() -> Value {
    json!({
        "rabbit_version": "3.8.9",
        "rabbitmq_version": "3.8.9",
        "product_name": "RabbitMQ",
        "product_version": "3.8.9",
        "users": [{
            "name": "app",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "administrator,monitoring"
        }],
        "vhosts": [{ "name": "/" }, { "name": "orders" }],
        "permissions": [
            { "user": "app", "vhost": "orders", "configure": "", "write": ".*", "read": "^o" }
        ],
        "topic_permissions": [],
        "parameters": [{
            "component": "operator_policy",
            "name": "limits",
            "vhost": "orders",
            "value": {
                "apply-to": "queues", "definition": { "max-length": 10 }, "pattern": ".*",
                "priority": 1
            }
        }],
        "global_parameters": [{ "name": "cluster_name", "value": "rabbit@host" }],
        "policies": [{
            "vhost": "orders", "name": "ttl", "pattern": "^o", "apply-to": "queues",
            "definition": { "message-ttl": 1000, "ha-mode": "all" }, "priority": 0
        }],
        "queues": [{
            "name": "o1", "vhost": "orders", "durable": true, "auto_delete": false,
            "arguments": { "x-max-priority": 5 }
        }],
        "exchanges": [{
            "name": "events", "vhost": "orders", "type": "topic", "durable": true,
            "auto_delete": false, "internal": false, "arguments": {}
        }],
        "bindings": [{
            "source": "events", "vhost": "orders", "destination": "o1",
            "destination_type": "queue", "routing_key": "a.#", "arguments": { "x": 1 }
        }]
    })
}

/// As RabbitMQ 4.x writes it: tags as a list, metadata, types of queues.
fn version_4() -> Value {
    let mut file = version_3();
    file["rabbitmq_version"] = json!("4.1.0");
    file["rabbitmq_definition_format"] = json!("cluster");
    file["original_cluster_name"] = json!("rabbit@host");
    file["explanation"] = json!("Definitions of cluster 'rabbit@host'");
    file["users"][0]["tags"] = json!(["administrator", "monitoring"]);
    file["users"][0]["limits"] = json!({});
    file["vhosts"][1] = json!({
        "name": "orders", "description": "", "tags": [], "default_queue_type": "classic",
        "metadata": { "description": "", "tags": [], "default_queue_type": "classic" }
    });
    file["queues"][0]["type"] = json!("classic");
    file["queues"].as_array_mut().unwrap().push(json!({
        "name": "o2", "vhost": "orders", "durable": true, "auto_delete": false,
        "type": "quorum", "arguments": { "x-queue-type": "quorum" }
    }));
    file
}

fn parsed(file: &Value) -> Definitions {
    parse(file.to_string().as_bytes(), ReadOptions::default()).unwrap()
}

fn skipping(file: &Value) -> Definitions {
    let options = ReadOptions { skip_unsupported: true, ..ReadOptions::default() };
    parse(file.to_string().as_bytes(), options).unwrap()
}

fn empty() -> Topology {
    let mut topology = Topology::new();
    topology.create_vhost(&ShortStr::from_static("/"));
    topology
}

fn flaws(file: &Value) -> Vec<String> {
    let flaws = match parse(file.to_string().as_bytes(), ReadOptions::default()) {
        Err(flaws) => flaws.all().to_vec(),
        Ok(read) => forebay_engine::definition::check(empty(), &read.definitions),
    };
    flaws.iter().map(ToString::to_string).collect()
}

fn refused(file: &Value) -> String {
    flaws(file).into_iter().next().expect("a flaw")
}

#[test]
fn files_of_both_generations_are_taken() {
    for (file, count) in [(version_3(), 9), (version_4(), 10)] {
        let read = parsed(&file);
        assert_eq!(read.definitions.len(), count);
        // RabbitMQ's own global parameters are no news.
        assert_eq!(read.ignored, Vec::<String>::new());
        assert_eq!(forebay_engine::definition::check(empty(), &read.definitions), []);
    }
}

#[test]
fn a_file_that_is_wrong_is_refused_with_the_path() {
    let cases = [
        ("/users/0/name", json!(1), "users[0].name: 1, expected a string"),
        ("/users/0/password_hash", json!("AAAA"), "users[0].password_hash: has 3 bytes"),
        ("/users/0/tags", json!(5), "users[0].tags: expected"),
        ("/users/0/hashing_algorithm", json!("rabbit_password_hashing_md5"), "users[0].password_"),
        ("/permissions/0/read", json!("("), "permissions[0].read: '(' is no regular expression"),
        ("/permissions/0/vhost", json!("nowhere"), "permissions[0]: vhost nowhere not found"),
        ("/policies/0/definition", json!({"max-length": "x"}), "policies[0].definition.max-length"),
        ("/policies/0/apply-to", json!("x"), "policies[0].apply-to: 'x'"),
        ("/policies/0/pattern", json!("["), "policies[0].pattern: "),
        ("/parameters/0/value/definition", json!({}), "parameters[0].value.definition: "),
        ("/queues/0/arguments", json!({"x-max-priority": 999}), "queues[0].arguments.x-max-pri"),
        ("/queues/0/arguments", json!(1), "queues[0].arguments: 1, expected an object"),
        ("/queues/0/durable", json!("yes"), "queues[0].durable: 'yes', expected true or false"),
        ("/queues/0/name", json!("q".repeat(256)), "queues[0].name: 256 bytes"),
        ("/exchanges/0/type", json!("x"), "exchanges[0]: unknown exchange type 'x'"),
        ("/bindings/0/destination", json!("o9"), "bindings[0]: no queue 'o9' in vhost 'orders'"),
        ("/bindings/0/destination_type", json!("x"), "bindings[0].destination_type: 'x'"),
        ("/topic_permissions", json!([{}]), "topic_permissions[0]: there are no topic perm"),
        ("/vhosts", json!({}), "vhosts: an object, expected a list"),
        ("/vhosts/1", json!("x"), "vhosts[1]: 'x', expected an object"),
    ];
    for (pointer, value, expected) in cases {
        let mut file = version_4();
        // The file of version 3 has no type beside the arguments, nor does it need one.
        *file.pointer_mut(pointer).unwrap() = value;
        let text = refused(&file);
        assert!(text.starts_with(expected), "{text}\nexpected {expected}");
    }
    assert!(refused(&json!([])).starts_with("$: a list"));
    let cut = parse(b"{", ReadOptions::default()).unwrap_err().to_string();
    assert!(cut.starts_with("$: is no JSON"), "{cut}");
}

#[test]
fn streams_are_refused_not_turned_into_queues() {
    let mut file = version_4();
    file["queues"][1]["arguments"] = json!({ "x-queue-type": "stream" });
    let text = refused(&file);
    assert!(text.starts_with("queues[1]") && text.contains("stream"), "{text}");
}

#[test]
fn what_is_exported_is_taken_back_and_the_same() {
    let read = parsed(&version_4());
    let (topology, access) = made(&read);
    let file = export(&topology, access.snapshot(), &Product::default());
    let (topology_again, access_again) = made(&parsed(&file));
    let again = export(&topology_again, access_again.snapshot(), &Product::default());
    assert_eq!(again, file);
    assert_eq!(file["queues"].as_array().map(Vec::len), Some(2));
    assert_eq!(file["users"][0]["tags"], json!(["administrator", "monitoring"]));
    assert_eq!(file["parameters"][0]["component"], "operator_policy");
    // One virtual host's file fits another one.
    let orders = ShortStr::from_static("orders");
    let file = export_vhost(&topology, access.snapshot(), &Product::default(), &orders);
    assert!(file["queues"][0].get("vhost").is_none());
    let other = ShortStr::from_static("/");
    let options = ReadOptions { vhost: Some(&other), ..ReadOptions::default() };
    let read = parse(file.to_string().as_bytes(), options).unwrap();
    let (topology, _) = made(&read);
    assert!(topology.find_queue(&other, &ShortStr::from_static("o1")).is_some());
}

fn made(read: &Definitions) -> (Topology, AccessControl) {
    forebay_engine::definition::make_all(&read.definitions).unwrap()
}

#[test]
fn all_flaws_are_named_at_once() {
    let mut file = version_4();
    file["users"][0]["name"] = json!(1);
    file["policies"][0]["pattern"] = json!("[");
    file["queues"][0]["arguments"] = json!({ "x-max-priority": 999 });
    file["queues"][1]["arguments"] = json!({ "x-max-length": "many" });
    let paths: Vec<String> =
        flaws(&file).iter().map(|flaw| flaw.split(':').next().unwrap().to_owned()).collect();
    let expected = [
        "users[0].name",
        "policies[0].pattern",
        "queues[0].arguments.x-max-priority",
        "queues[1].arguments.x-max-length",
    ];
    assert_eq!(paths, expected);
    let of_queue = &flaws(&file)[2];
    assert!(of_queue.ends_with(" (of 'o1' in vhost 'orders')"), "{of_queue}");
    let mut file = version_4();
    file["bindings"].as_array_mut().unwrap().push(json!({
        "source": "nox", "vhost": "orders", "destination": "o1", "destination_type": "queue",
        "routing_key": "", "arguments": {}
    }));
    file["permissions"][0]["vhost"] = json!("nowhere");
    let flaws = flaws(&file);
    assert_eq!(flaws.len(), 2, "{flaws:?}");
}

/// What RabbitMQ has and we have not.
fn with_plugins() -> Value {
    let mut file = version_4();
    file["parameters"].as_array_mut().unwrap().push(json!(
        { "component": "shovel", "name": "move", "vhost": "orders", "value": {} }
    ));
    file["policies"] = json!([
        { "vhost": "orders", "name": "fed", "pattern": "", "definition": {
            "federation-upstream-set": "all" } },
        { "vhost": "orders", "name": "both", "pattern": "", "definition": {
            "federation-upstream": "up", "max-length": 5 } },
    ]);
    file["queues"].as_array_mut().unwrap().push(json!({
        "name": "log", "vhost": "orders", "durable": true, "auto_delete": false,
        "type": "stream", "arguments": { "x-queue-type": "stream" }
    }));
    file["exchanges"].as_array_mut().unwrap().push(json!({
        "name": "lvc", "vhost": "orders", "type": "x-recent-history", "durable": true,
        "auto_delete": false, "internal": false, "arguments": {}
    }));
    for (source, destination) in [("events", "log"), ("lvc", "o1")] {
        file["bindings"].as_array_mut().unwrap().push(json!({
            "source": source, "vhost": "orders", "destination": destination,
            "destination_type": "queue", "routing_key": "", "arguments": {}
        }));
    }
    file["topic_permissions"] = json!([
        { "user": "app", "vhost": "orders", "exchange": "events", "write": "", "read": "^a" }
    ]);
    file["vhosts"][1]["default_queue_type"] = json!("stream");
    file["vhosts"][1]["metadata"] = Value::Null;
    file
}

#[test]
fn what_there_is_not_is_named_and_can_be_passed_over() {
    let file = with_plugins();
    let flaws = flaws(&file);
    let paths: Vec<&str> = flaws.iter().map(|flaw| flaw.split(':').next().unwrap()).collect();
    let expected = [
        "vhosts[1].default_queue_type",
        "policies[0].definition.federation-upstream-set",
        "policies[1].definition.federation-upstream",
        "exchanges[1]",
        "queues[2].arguments.x-queue-type",
        "topic_permissions[0]",
    ];
    assert_eq!(paths, expected, "{flaws:#?}");
    let read = skipping(&file);
    let expected = [
        "default queue type 'stream' of vhost 'orders'",
        "federation-upstream-set of policy 'fed' in vhost 'orders'",
        "federation-upstream of policy 'both' in vhost 'orders'",
        "parameter 'move' of 'shovel' in vhost 'orders'",
        "exchange 'lvc' of type 'x-recent-history' in vhost 'orders'",
        "stream 'log' in vhost 'orders'",
        "binding from 'events' to 'log' in vhost 'orders'",
        "binding from 'lvc' to 'o1' in vhost 'orders'",
    ];
    assert_eq!(read.ignored[..8], expected, "{:#?}", read.ignored);
    assert!(read.ignored[8].starts_with("topic permission of user 'app' for exchange 'events'"));
    let (topology, _) = made(&read);
    let orders = ShortStr::from_static("orders");
    let policies: Vec<_> = topology.policies(&orders).map(|it| it.name().to_string()).collect();
    assert_eq!(policies, ["both", "limits"]);
}

#[test]
fn what_is_said_of_virtual_hosts_is_kept() {
    let mut file = version_4();
    file["vhosts"][1] = json!({
        "name": "orders", "description": "the shop", "tags": ["prod"],
        "default_queue_type": "quorum"
    });
    let (topology, access) = made(&parsed(&file));
    let exported = export(&topology, access.snapshot(), &Product::default());
    assert_eq!(exported["vhosts"][0], json!({ "name": "/" }));
    let shop = &exported["vhosts"][1];
    assert_eq!((&shop["description"], &shop["tags"]), (&json!("the shop"), &json!(["prod"])));
    assert_eq!(shop["default_queue_type"], "quorum");
    assert_eq!(shop["metadata"]["default_queue_type"], "quorum");
    // A file says of each queue what it is: the default is for queues to come.
    assert_eq!(exported["queues"][0]["type"], "classic");
    let only_metadata = json!({ "vhosts": [{ "name": "v", "metadata": shop["metadata"] }] });
    let (topology, _) = made(&parsed(&only_metadata));
    let metadata = topology.vhost_metadata(&ShortStr::from_static("v")).unwrap();
    assert_eq!(metadata.description, "the shop");
}

#[test]
fn a_file_of_one_virtual_host_asks_which_it_is_for() {
    let (topology, access) = made(&parsed(&version_4()));
    let orders = ShortStr::from_static("orders");
    let flaws = flaws(&export_vhost(&topology, access.snapshot(), &Product::default(), &orders));
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    assert!(flaws[0].contains("--vhost"), "{flaws:?}");
}
