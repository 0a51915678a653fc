//! Files as RabbitMQ writes them, and files that are refused.

use super::*;
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
    parse(file.to_string().as_bytes(), None).unwrap()
}

fn refused(file: &Value) -> String {
    let read = parse(file.to_string().as_bytes(), None);
    let checked = read.and_then(|read| forebay_engine::definition::check(&read.definitions));
    checked.unwrap_err().to_string()
}

#[test]
fn files_of_both_generations_are_taken() {
    for (file, count) in [(version_3(), 9), (version_4(), 10)] {
        let read = parsed(&file);
        assert_eq!(read.definitions.len(), count);
        assert_eq!(read.ignored, ["global_parameters"]);
        forebay_engine::definition::check(&read.definitions).unwrap();
    }
}

#[test]
fn a_file_that_is_wrong_is_refused_with_the_path() {
    let cases = [
        ("/users/0/name", json!(1), "users[0].name: 1, expected a string"),
        ("/users/0/password_hash", json!("AAAA"), "users[0].password_hash: has 3 octets"),
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
        ("/queues/0/name", json!("q".repeat(256)), "queues[0].name: 256 octets"),
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
    assert!(parse(b"{", None).unwrap_err().to_string().starts_with("$: is no JSON"));
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
    let file = export(&topology, &access);
    let (again, again_access) = made(&parsed(&file));
    assert_eq!(export(&again, &again_access), file);
    assert_eq!(file["queues"].as_array().map(Vec::len), Some(2));
    assert_eq!(file["users"][0]["tags"], json!(["administrator", "monitoring"]));
    assert_eq!(file["parameters"][0]["component"], "operator_policy");
    // One virtual host's file fits another one.
    let orders = ShortStr::from_static("orders");
    let file = export_vhost(&topology, &access, &orders);
    assert!(file["queues"][0].get("vhost").is_none());
    let other = ShortStr::from_static("/");
    let read = parse(file.to_string().as_bytes(), Some(&other)).unwrap();
    let (topology, _) = made(&read);
    assert!(topology.find_queue(&other, &ShortStr::from_static("o1")).is_some());
}

fn made(read: &Definitions) -> (Topology, AccessControl) {
    forebay_engine::definition::make_all(&read.definitions).unwrap()
}
