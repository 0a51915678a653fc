//! From what is there to JSON, as RabbitMQ writes it. Users of the configuration stay there.

use super::{object_json, schedule_json, table_json};
use crate::auth::password;
use crate::config::product::Product;
use forebay_engine::access::{AccessSnapshot, Limit, Limits};
use forebay_engine::model::{Binding, Destination};
use forebay_engine::topology::{ExchangeRecord, PolicyOwner, QueueRecord, Topology, VhostMetadata};
use forebay_wire::ShortStr;
use serde_json::{Map, Value, json};

/// Exchanges that every virtual host has anyway.
const RESERVED_PREFIX: &[u8] = b"amq.";

/// The whole broker.
#[must_use]
pub fn export(topology: &Topology, access: &AccessSnapshot, product: &Product) -> Value {
    let vhosts: Vec<&ShortStr> = topology.vhosts().collect();
    let mut file = objects(topology, access.limits(), product, &vhosts, true);
    let named = vhosts.iter().map(|vhost| describe_vhost(vhost, topology.vhost_metadata(vhost)));
    let users = access.users().iter().map(|(name, user)| {
        let hash = password::exported(&user.password);
        object_json::user(name, &user.tags, hash, access.limits())
    });
    let permissions = access
        .permissions()
        .iter()
        .map(|(user, vhost, permission)| object_json::permission(user, vhost, permission));
    file.insert("vhosts".to_owned(), named.collect());
    file.insert("users".to_owned(), users.collect());
    file.insert("permissions".to_owned(), permissions.collect());
    file.insert("topic_permissions".to_owned(), json!([]));
    file.insert("global_parameters".to_owned(), json!([]));
    Value::Object(file)
}

/// A virtual host and what is said of it, both ways in which RabbitMQ's versions write it.
fn describe_vhost(name: &ShortStr, metadata: Option<&VhostMetadata>) -> Value {
    let mut shown = Map::new();
    if let Some(VhostMetadata { description, tags, default_queue_type }) = metadata {
        if !description.is_empty() {
            shown.insert("description".to_owned(), json!(description));
        }
        if !tags.is_empty() {
            shown.insert("tags".to_owned(), json!(tags));
        }
        if let Some(kind) = default_queue_type {
            shown.insert("default_queue_type".to_owned(), json!(kind.name()));
        }
    }
    if !shown.is_empty() {
        let metadata = Value::Object(shown.clone());
        shown.insert("metadata".to_owned(), metadata);
    }
    shown.insert("name".to_owned(), json!(name.to_string()));
    Value::Object(shown)
}

/// The objects of one virtual host, which they don't name.
#[must_use]
pub fn export_vhost(
    topology: &Topology,
    access: &AccessSnapshot,
    product: &Product,
    vhost: &ShortStr,
) -> Value {
    Value::Object(objects(topology, access.limits(), product, &[vhost], false))
}

fn objects(
    topology: &Topology,
    limits: &Limits,
    product: &Product,
    vhosts: &[&ShortStr],
    names_vhost: bool,
) -> Map<String, Value> {
    let each = |of_vhost: &dyn Fn(&ShortStr) -> Vec<Value>| -> Value {
        let of_vhost = |vhost: &&ShortStr| {
            let mut values = of_vhost(vhost);
            for object in values.iter_mut().filter_map(Value::as_object_mut) {
                match names_vhost {
                    true => drop(object.insert("vhost".to_owned(), json!(vhost.to_string()))),
                    false => drop(object.remove("vhost")),
                }
            }
            values
        };
        vhosts.iter().flat_map(of_vhost).collect()
    };
    let mut file = Map::new();
    let mut put = |key: &str, value: Value| drop(file.insert(key.to_owned(), value));
    put("rabbit_version", json!(product.rabbitmq_version()));
    put("rabbitmq_version", json!(product.rabbitmq_version()));
    put("product_name", json!(product.name));
    put("product_version", json!(product.version));
    put("policies", each(&|vhost| policies(topology, vhost)));
    put("parameters", each(&|vhost| parameters(topology, limits, vhost)));
    put(
        "exchanges",
        each(&|vhost| topology.exchanges(vhost).filter(|x| is_exported(x)).map(exchange).collect()),
    );
    put(
        "queues",
        each(&|vhost| {
            let shared = topology.queues_of(vhost).filter(|queue| queue.exclusive_owner.is_none());
            shared.map(queue).collect()
        }),
    );
    put("bindings", each(&|vhost| bindings(topology, vhost)));
    // RabbitMQ has none: a broker without schedules writes the same file.
    let schedules = each(&|vhost| schedules(topology, vhost));
    if schedules.as_array().is_some_and(|schedules| !schedules.is_empty()) {
        put("schedules", schedules);
    }
    file
}

fn is_exported(exchange: &ExchangeRecord) -> bool {
    !exchange.name.as_bytes().starts_with(RESERVED_PREFIX)
}

fn policies(topology: &Topology, vhost: &ShortStr) -> Vec<Value> {
    let users = topology.policies(vhost).filter(|policy| policy.owner() == PolicyOwner::User);
    users.map(|policy| object_json::policy(vhost, policy)).collect()
}

fn schedules(topology: &Topology, vhost: &ShortStr) -> Vec<Value> {
    topology.schedules(vhost).map(|schedule| schedule_json::to_json(vhost, schedule)).collect()
}

/// What RabbitMQ keeps as parameters of a virtual host.
pub(crate) fn parameters(topology: &Topology, limits: &Limits, vhost: &ShortStr) -> Vec<Value> {
    let mut parameters = operator_policies(topology, vhost);
    parameters.extend(vhost_limits(limits, vhost));
    parameters
}

fn operator_policies(topology: &Topology, vhost: &ShortStr) -> Vec<Value> {
    let policies = topology.policies(vhost);
    let operators = policies.filter(|policy| policy.owner() == PolicyOwner::Operator);
    let parameter = |policy| {
        let mut value = object_json::policy(vhost, policy);
        let name = value.as_object_mut().and_then(|value| {
            value.remove("vhost");
            value.remove("name")
        });
        json!({ "component": "operator_policy", "name": name, "value": value })
    };
    operators.map(parameter).collect()
}

fn vhost_limits(limits: &Limits, vhost: &ShortStr) -> Option<Value> {
    let value = object_json::limits_of(limits, Limit::OF_VHOST, vhost);
    let parameter = || json!({ "component": "vhost-limits", "name": "limits", "value": value });
    (!value.is_empty()).then(parameter)
}

fn exchange(exchange: &ExchangeRecord) -> Value {
    json!({
        "arguments": table_json::to_json(&exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name.to_string(),
        "type": exchange.kind.name(),
    })
}

fn queue(queue: &QueueRecord) -> Value {
    json!({
        "arguments": table_json::to_json(&queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "name": queue.name.to_string(),
        "type": queue.settings.kind.name(),
    })
}

/// Those between ends that are exported, or that every virtual host has.
fn bindings(topology: &Topology, vhost: &ShortStr) -> Vec<Value> {
    let binding = |binding: Binding| {
        let (kind, name) = match &binding.destination {
            Destination::Queue(name) => ("queue", name),
            Destination::Exchange(name) => ("exchange", name),
        };
        let queue = topology.find_queue(vhost, name).filter(|_| kind == "queue");
        if queue.is_some_and(|queue| queue.exclusive_owner.is_some()) {
            return None;
        }
        Some(json!({
            "arguments": table_json::to_json(&binding.arguments),
            "destination": name.to_string(),
            "destination_type": kind,
            "routing_key": binding.routing_key.to_string(),
            "source": binding.source.to_string(),
        }))
    };
    topology.bindings(vhost).filter_map(binding).collect()
}
