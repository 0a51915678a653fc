//! Properties of messages as JSON, as RabbitMQ's management API has them: of a publish, of messages that are
//! looked at, and of schedules.

use super::table_json;
use forebay_wire::{FieldTable, Properties, ShortStr};
use serde_json::{Map, Value, json};

/// What one may be told, beside `headers`.
pub(crate) const NAMES: [&str; 13] = [
    "app_id",
    "cluster_id",
    "content_encoding",
    "content_type",
    "correlation_id",
    "delivery_mode",
    "expiration",
    "message_id",
    "priority",
    "reply_to",
    "timestamp",
    "type",
    "user_id",
];

/// As JSON, in the order of the names. What is not there is left out.
pub(crate) fn to_json(properties: &Properties) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        shown.extend(value.map(|value| (name.to_owned(), value)));
    };
    let text = |value: &Option<ShortStr>| value.as_ref().map(|text| json!(text.to_string()));
    put("app_id", text(&properties.app_id));
    put("cluster_id", text(&properties.cluster_id));
    put("content_encoding", text(&properties.content_encoding));
    put("content_type", text(&properties.content_type));
    put("correlation_id", text(&properties.correlation_id));
    put("delivery_mode", properties.delivery_mode.map(Value::from));
    put("expiration", text(&properties.expiration));
    put("message_id", text(&properties.message_id));
    put("priority", properties.priority.map(Value::from));
    put("reply_to", text(&properties.reply_to));
    put("timestamp", properties.timestamp.map(Value::from));
    put("type", text(&properties.kind));
    put("user_id", text(&properties.user_id));
    put("headers", properties.headers.as_ref().map(table_json::to_json));
    shown
}

/// From JSON: `text` and `number` read a member, the latter from 0 to what it is told; `None`: it is not there.
///
/// # Errors
/// Those of `text` and `number`.
pub(crate) fn read<E>(
    headers: FieldTable,
    text: impl Fn(&str) -> Result<Option<ShortStr>, E>,
    number: impl Fn(&str, i64) -> Result<Option<i64>, E>,
) -> Result<Properties, E> {
    let byte = |name: &str| number(name, 255).map(|number| number.map(|number| number as u8));
    Ok(Properties {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: Some(headers).filter(|headers| !headers.is_empty()),
        delivery_mode: byte("delivery_mode")?,
        priority: byte("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp: number("timestamp", i64::MAX)?.map(|seconds| seconds as u64),
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    })
}
