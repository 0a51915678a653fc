//! Messages over HTTP: publish, get, purge. For people and tools, not for traffic.

use super::api_error::ApiError;
use super::audit;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::{Path, UnreadBody};
use super::names::{exchange_name, object_name, short};
use super::reply::{json_reply, no_content};
use super::request_body::RequestBody;
use crate::definitions::message_properties;
use crate::limits::ADMIN_GET_MESSAGES_MAX;
use crate::shard::shard_link::{SESSION_CHANNEL, Session, SessionError};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use forebay_engine::access::{Access, Object};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::{Delivery, Reply};
use forebay_engine::model::{
    Envelope, Message, ObjectName, OffsetRange, QueueId, Settle, Settlement, TopologyRequest,
};
use forebay_engine::published_delay::{Delay, delay};
use forebay_engine::published_properties::{check_delivery_mode, check_user, copies, expiration};
use forebay_wire::{Properties, ShortStr};
use serde_json::{Map, Value, json};

pub(super) async fn purge(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    let request = TopologyRequest::PurgeQueue { name: name.clone() };
    caller.check_request(&admin, &vhost, &request)?;
    let messages = admin.request(&caller, vhost.clone(), request).await?;
    audit::tell_of_queue(&caller, "purge", &vhost, &name, messages);
    Ok(no_content())
}

pub(super) async fn publish(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, exchange)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let exchange = exchange_name("exchange", &exchange)?;
    caller.check_access(&admin, &vhost, Access::Write, Object::Exchange(&exchange))?;
    let body = body.read().await?;
    let routing_key = short("routing_key", body.required("routing_key")?)?;
    let payload = match body.text("payload_encoding")?.unwrap_or("string") {
        "string" => Bytes::copy_from_slice(body.required("payload")?.as_bytes()),
        "base64" => STANDARD
            .decode(body.required("payload")?)
            .map(Bytes::from)
            .map_err(|error| ApiError::bad(format!("payload: is no base64: {error}")))?,
        other => {
            let text = format!("payload_encoding: '{other}', expected 'string' or 'base64'");
            return Err(ApiError::bad(text));
        }
    };
    let most = admin.inner.connection_settings.load().message_size_max;
    if payload.len() as u64 > most {
        let text = format!("payload: {} bytes, at most {most} are taken", payload.len());
        return Err(ApiError::bad(text));
    }
    let properties = properties(&body)?.encode();
    check_user(&properties, &caller.name)?;
    check_delivery_mode(&properties)?;
    let copies = copies(&properties)?;
    let further_keys = copies.iter().flat_map(|copies| copies.routing_keys.iter().cloned());
    let keys: Vec<_> = std::iter::once(routing_key.clone()).chain(further_keys).collect();
    let targets =
        admin.snapshot().routes.route(&vhost, &exchange, &keys, &|| properties.headers())?;
    if targets.is_empty() {
        return Ok(json_reply(&json!({ "routed": false })));
    }
    admin.check_may_publish()?;
    let now = admin.inner.clock.now().wall;
    let delay = delay(&properties, now)?;
    let envelope = Envelope {
        exchange: &exchange,
        routing_key: &routing_key,
        properties: delay.as_ref().map_or(&properties, Delay::properties),
        published_at: now,
        expiration: expiration(&properties)?,
    };
    let arena = &mut BytesMut::new();
    let message = match copies {
        Some(copies) if copies.has_blind => Message::with_blind_copies(envelope, payload, arena),
        _ => Message::new(envelope, payload, arena),
    };
    let message = match &delay {
        Some(delay) => delay.apply(message),
        None => message,
    };
    admin.inner.pace.turn(&vhost, &caller.name, 1).await;
    let messages = vec![message];
    let publish = Publish { channel: SESSION_CHANNEL, confirm: None, targets, messages };
    let taken = admin
        .link()
        .in_session(vhost, caller.name, move |session| Box::pin(session.publish(publish)))
        .await?;
    Ok(json_reply(&json!({ "routed": taken })))
}

pub(super) async fn get(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
    Path((_, name)): Path<(String, String)>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let name = object_name("queue", &name)?;
    caller.check_access(&admin, &vhost, Access::Read, Object::Queue(&name))?;
    let body = body.read().await?;
    let wanted = body.integer("count")?.unwrap_or(1);
    let count = usize::try_from(wanted).ok().filter(|count| *count <= ADMIN_GET_MESSAGES_MAX);
    let count = count.ok_or_else(|| {
        ApiError::bad(format!("count: {wanted}, expected 0 to {ADMIN_GET_MESSAGES_MAX}"))
    })?;
    let settlement = settlement(&body)?;
    let is_base64 = match body.text("encoding")?.unwrap_or("auto") {
        "auto" => false,
        "base64" => true,
        other => {
            let text = format!("encoding: '{other}', expected 'auto' or 'base64'");
            return Err(ApiError::bad(text));
        }
    };
    let truncate = body.integer("truncate")?.and_then(|bytes| usize::try_from(bytes).ok());
    let got = admin
        .link()
        .in_session(vhost, caller.name, move |session| {
            Box::pin(get_messages(session, name, count, settlement))
        })
        .await?;
    let shown = got.iter().map(|(delivery, left)| describe(delivery, *left, is_base64, truncate));
    Ok(json_reply(&shown.collect()))
}

/// What becomes of messages that were looked at. To give one back here is no failed delivery: to
/// look does not bring a message nearer to its delivery limit.
fn settlement(body: &RequestBody) -> Result<Settlement, ApiError> {
    match body.text("ackmode")?.unwrap_or("ack_requeue_true") {
        "ack_requeue_true" | "reject_requeue_true" => Ok(Settlement::Recover),
        "ack_requeue_false" => Ok(Settlement::Ack),
        "reject_requeue_false" => Ok(Settlement::Reject),
        other => Err(ApiError::bad(format!(
            "ackmode: '{other}', expected 'ack_requeue_true', 'ack_requeue_false', \
             'reject_requeue_true' or 'reject_requeue_false'"
        ))),
    }
}

async fn get_messages(
    session: &mut Session,
    queue: ObjectName,
    count: usize,
    settlement: Settlement,
) -> Result<Vec<(Delivery, u32)>, SessionError> {
    let mut got: Vec<(QueueId, Delivery, u32)> = Vec::new();
    while got.len() < count {
        let queue = queue.clone();
        let get = Command::Inspect { channel: SESSION_CHANNEL, queue };
        match session.ask(get).await? {
            Reply::Got { queue, delivery, remaining } => got.push((queue, delivery, remaining)),
            _ => break,
        }
    }
    let settles = got.iter().map(|(queue, delivery, _)| {
        let (level, offset) = (delivery.position.level, delivery.position.offset);
        let runs = vec![OffsetRange { level, first: offset, last: offset }];
        Settle { channel: SESSION_CHANNEL, queue: *queue, settlement, runs }
    });
    session.settle(settles.collect()).await?;
    Ok(got.into_iter().map(|(_, delivery, remaining)| (delivery, remaining)).collect())
}

fn describe(
    delivery: &Delivery,
    remaining: u32,
    is_base64: bool,
    truncate: Option<usize>,
) -> Value {
    let mut shown = describe_message(&delivery.message, &delivery.counts(), is_base64, truncate);
    shown.insert("message_count".to_owned(), remaining.into());
    shown.insert("redelivered".to_owned(), delivery.redelivered.into());
    Value::Object(shown)
}

/// A message for people; its body as text when it is some, and no more than `truncate` bytes.
/// `counts`: headers that tell how often it came back.
pub(super) fn describe_message(
    message: &Message,
    counts: &[(ShortStr, i64)],
    is_base64: bool,
    truncate: Option<usize>,
) -> Map<String, Value> {
    let body = message.body();
    let shown = body.get(..truncate.unwrap_or(body.len())).unwrap_or(body);
    let text = std::str::from_utf8(shown).ok().filter(|_| !is_base64);
    let (payload, encoding) = match text {
        Some(text) => (text.to_owned(), "string"),
        None => (STANDARD.encode(shown), "base64"),
    };
    let properties = message.shown_properties().decode();
    let bytes = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let fields = [
        ("exchange", bytes(message.exchange())),
        ("payload", payload.into()),
        ("payload_bytes", body.len().into()),
        ("payload_encoding", encoding.into()),
        ("properties", shown_properties(&properties, counts)),
        ("routing_key", bytes(message.routing_key())),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn shown_properties(properties: &Properties, counts: &[(ShortStr, i64)]) -> Value {
    let mut properties = properties.clone();
    for (name, count) in counts {
        properties.headers.get_or_insert_default().insert(name.clone(), *count);
    }
    Value::Object(message_properties::to_json(&properties))
}

fn properties(body: &RequestBody) -> Result<Properties, ApiError> {
    let given = match body.get("properties") {
        None => return Ok(Properties::default()),
        Some(Value::Array(values)) if values.is_empty() => return Ok(Properties::default()),
        Some(_) => body.object("properties")?,
    };
    let text = |name: &str| -> Result<Option<ShortStr>, ApiError> {
        given.text(name)?.map(|text| short(name, text)).transpose()
    };
    let number = |name: &str, most: i64| -> Result<Option<i64>, ApiError> {
        match given.integer(name)? {
            Some(number) if !(0..=most).contains(&number) => {
                Err(ApiError::bad(format!("{name}: {number}, expected 0 to {most}")))
            }
            number => Ok(number),
        }
    };
    message_properties::read(given.table("headers")?, text, number)
}
