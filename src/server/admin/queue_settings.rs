//! What holds for a queue, and where each setting comes from: the queue's arguments, a policy, an
//! operator's policy, or the broker's defaults.

use crate::definitions::table_json;
use forebay_engine::shard::QueueDefaults;
use forebay_engine::topology::{Overflow, Policy, PolicyOwner, QueueRecord, RetryType, Topology};
use forebay_lag::Settings as LagSettings;
use forebay_wire::{FieldTable, ShortStr};
use serde_json::{Value, json};

/// The settings of a queue as a list of names, values and sources.
pub(super) fn describe(
    queue: &QueueRecord,
    catalogue: &Topology,
    defaults: QueueDefaults,
    lag: &LagSettings,
) -> Value {
    let sources = Sources::of(queue, catalogue);
    let settings = &queue.settings;
    let holds = defaults.in_force(queue);
    let text = |name: &Option<ShortStr>| name.as_ref().map(|name| json!(name.to_string()));
    let or_none = |limit: Option<Value>| Some(limit.unwrap_or_else(|| json!("none")));
    let has_length = settings.length_max.is_some() || settings.length_bytes_max.is_some();
    let rows = [
        ("delivery-limit", or_none(holds.delivery_limit.map(Value::from))),
        ("consumer-timeout", or_none(holds.consumer_timeout.map(Value::from))),
        ("dead-letter-exchange", text(&settings.dead_letter_exchange)),
        ("dead-letter-routing-key", text(&settings.dead_letter_routing_key)),
        ("dead-letter-queue", text(&holds.dead_letter_queue)),
        ("message-ttl", settings.message_ttl.map(Value::from)),
        ("expires", settings.expires.map(Value::from)),
        (
            "delayed-retry-type",
            (settings.retry_type != RetryType::Disabled).then(|| settings.retry_type.name().into()),
        ),
        ("delayed-retry-min", settings.retry_min.map(Value::from)),
        ("delayed-retry-max", settings.retry_max.map(Value::from)),
        ("delayed-retry-multiplier", settings.retry_multiplier.map(Value::from)),
        ("message-group", settings.message_group.as_ref().map(|key| key.name().to_string().into())),
        ("max-length", settings.length_max.map(Value::from)),
        ("max-length-bytes", settings.length_bytes_max.map(Value::from)),
        ("overflow", has_length.then(|| json!(overflow(settings.overflow)))),
        ("max-in-flight", settings.max_in_flight.map(Value::from)),
        ("rate-limit", settings.rate_limit.map(Value::from)),
        ("rate-burst", holds.rate_burst.map(Value::from)),
        ("dedup-window", settings.dedup_window.map(Value::from)),
        ("dedup-size", holds.dedup_size.map(Value::from)),
        ("trace", settings.trace.map(Value::from)),
        ("max-priority", (settings.priority_max > 0).then(|| settings.priority_max.into())),
        (
            "lag-line-percent",
            Some(
                settings
                    .lag_line_percent
                    .map_or_else(|| json!((100.0 * lag.line_factor).round() as u64), Value::from),
            ),
        ),
        (
            "max-age-slo",
            settings
                .age_max
                .or(lag.age_max_seconds.map(|age| (1000.0 * age) as u64))
                .map(Value::from),
        ),
        ("queue-role", settings.role.map(|role| json!(role.name()))),
        ("single-active-consumer", settings.single_active_consumer.then(|| true.into())),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| {
        let value = value?;
        let (source, policy) = sources.find(name, &value);
        Some(json!({ "name": name, "value": value, "source": source, "policy": policy }))
    });
    rows.collect()
}

const fn overflow(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::DropHead => "drop-head",
        Overflow::RejectPublish => "reject-publish",
        Overflow::RejectPublishDlx => "reject-publish-dlx",
    }
}

/// What may have set something.
struct Sources<'a> {
    arguments: &'a FieldTable,
    policy: Option<&'a Policy>,
    operator_policy: Option<&'a Policy>,
}

impl<'a> Sources<'a> {
    fn of(queue: &'a QueueRecord, catalogue: &'a Topology) -> Self {
        let find = |owner, name: &Option<ShortStr>| {
            let name = name.as_ref()?;
            let mut policies = catalogue.policies(&queue.vhost);
            policies.find(|policy| policy.owner() == owner && policy.name() == name)
        };
        Self {
            arguments: &queue.arguments,
            policy: find(PolicyOwner::User, &queue.policy),
            operator_policy: find(PolicyOwner::Operator, &queue.operator_policy),
        }
    }

    /// The one whose value holds: several may say the same.
    fn find(&self, name: &str, value: &Value) -> (&'static str, Option<String>) {
        let says = |table: &FieldTable, key: &str| {
            let said = table_json::to_json(table).get(key).cloned();
            said.is_some_and(|said| said == *value || is_unlimited(&said) && value == "none")
        };
        let by = |policy: Option<&Policy>| {
            let policy = policy.filter(|policy| says(policy.definition(), name))?;
            Some(policy.name().to_string())
        };
        if says(self.arguments, &format!("x-{name}")) {
            ("argument", None)
        } else if let Some(policy) = by(self.policy) {
            ("policy", Some(policy))
        } else if let Some(policy) = by(self.operator_policy) {
            ("operator_policy", Some(policy))
        } else {
            ("default", None)
        }
    }
}

/// A limit of -1 is none.
fn is_unlimited(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| number < 0)
}
