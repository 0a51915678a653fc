//! Schedules as JSON, in files of definitions and in the management API.

use super::message_properties;
use super::node::{Node, Read, wrong};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay_engine::definition::DefinitionError;
use forebay_engine::model::ObjectName;
use forebay_engine::schedules::{CatchUp, Schedule, ScheduleRequest};
use forebay_wire::{Properties, ShortStr};
use serde_json::{Map, Value, json};

/// What one may be told.
const FIELDS: [&str; 11] = [
    "catch_up",
    "cron",
    "exchange",
    "name",
    "paused",
    "payload",
    "payload_encoding",
    "properties",
    "routing_key",
    "time_zone",
    "vhost",
];

/// The zone of a schedule that says none.
const TIME_ZONE_DEFAULT: &str = "UTC";

/// What it says of when and where to.
pub(crate) fn times(vhost: &ShortStr, schedule: &Schedule) -> Map<String, Value> {
    let fields = [
        ("catch_up", json!(schedule.catch_up().name())),
        ("cron", json!(schedule.cron().to_string())),
        ("exchange", json!(schedule.exchange().to_string())),
        ("name", json!(schedule.name().to_string())),
        ("paused", json!(schedule.is_paused())),
        ("routing_key", json!(schedule.routing_key().to_string())),
        ("time_zone", json!(schedule.time_zone().to_string())),
        ("vhost", json!(vhost.to_string())),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// What it says of the message.
pub(crate) fn message(schedule: &Schedule) -> Map<String, Value> {
    let body = schedule.body();
    let (payload, encoding) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), "string"),
        Err(_) => (STANDARD.encode(body), "base64"),
    };
    let properties = message_properties::to_json(&schedule.properties().decode());
    let fields = [
        ("payload", json!(payload)),
        ("payload_encoding", json!(encoding)),
        ("properties", Value::Object(properties)),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// All that it says.
pub(crate) fn to_json(vhost: &ShortStr, schedule: &Schedule) -> Value {
    let mut fields = times(vhost, schedule);
    fields.extend(message(schedule));
    Value::Object(fields)
}

/// A schedule of this name; one that does not say whether it stands still does so if `is_paused`.
///
/// # Errors
/// The path of the first field that is wrong, and what is allowed.
pub(crate) fn from_json(
    name: &ShortStr,
    value: &Value,
    is_paused: bool,
) -> Result<Schedule, DefinitionError> {
    read(name, &Node::root(value)?, is_paused)
}

pub(super) fn read(name: &ShortStr, node: &Node<'_>, is_paused: bool) -> Read<Schedule> {
    check_fields(node, &FIELDS)?;
    let exchange = match node.get("exchange") {
        None => ObjectName::EMPTY,
        Some(_) => node.object_name("exchange")?,
    };
    let routing_key = match node.get("routing_key") {
        None => ShortStr::EMPTY,
        Some(_) => node.name("routing_key")?,
    };
    let catch_up = match node.optional("catch_up")? {
        None => CatchUp::default(),
        Some(text) => CatchUp::from_name(text).map_or_else(
            || {
                let names = CatchUp::ALL.map(CatchUp::name).join(", ");
                wrong(&node.at("catch_up"), format!("'{text}', expected one of {names}"))
            },
            Ok,
        )?,
    };
    let schedule = Schedule::new(ScheduleRequest {
        name,
        cron: node.text("cron")?,
        time_zone: node.optional("time_zone")?.unwrap_or(TIME_ZONE_DEFAULT),
        exchange: &exchange,
        routing_key: &routing_key,
        properties: &properties(node)?,
        body: body(node)?,
        catch_up,
        is_paused: node.flag("paused", is_paused)?,
    });
    schedule.or_else(|error| wrong(&node.at(error.field), error.reason))
}

fn body(node: &Node<'_>) -> Read<Bytes> {
    let payload = node.optional("payload")?.unwrap_or_default();
    match node.optional("payload_encoding")?.unwrap_or("string") {
        "string" => Ok(Bytes::copy_from_slice(payload.as_bytes())),
        "base64" => STANDARD
            .decode(payload)
            .map(Bytes::from)
            .or_else(|error| wrong(&node.at("payload"), format!("is no base64: {error}"))),
        other => {
            let reason = format!("'{other}', expected 'string' or 'base64'");
            wrong(&node.at("payload_encoding"), reason)
        }
    }
}

fn properties(node: &Node<'_>) -> Read<Properties> {
    let Some(given) = node.object("properties")? else { return Ok(Properties::default()) };
    let known: Vec<&str> = message_properties::NAMES.into_iter().chain(["headers"]).collect();
    check_fields(&given, &known)?;
    let text = |name: &str| match given.get(name) {
        None => Ok(None),
        Some(_) => given.name(name).map(Some),
    };
    let number = |name: &str, most: i64| match given.get(name) {
        None => Ok(None),
        Some(_) => match given.integer(name, 0)? {
            number if (0..=most).contains(&number) => Ok(Some(number)),
            number => wrong(&given.at(name), format!("{number}, expected 0 to {most}")),
        },
    };
    message_properties::read(given.table("headers")?, text, number)
}

/// Refuses what would have no effect.
fn check_fields(node: &Node<'_>, known: &[&str]) -> Read<()> {
    match node.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let known = known.join(", ");
            wrong(&node.at(key), format!("no such field, expected one of {known}"))
        }
    }
}
