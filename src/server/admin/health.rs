//! `/api/health/checks` and `/api/aliveness-test`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost};
use super::context::Admin;
use super::extract::Path;
use super::nodes::check_node;
use super::reply::json_reply;
use crate::shard::shard_link::SESSION_CHANNEL;
use crate::system::alarms::Alarm;
use crate::system::node_name::node_name;
use crate::tls::TlsAcceptor;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use forebay_engine::access::{Access, Object};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::Reply;
use forebay_engine::model::{Envelope, Message, ObjectName, QueueDeclaration, TopologyRequest};
use forebay_wire::{RawProperties, ShortStr};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NO_LISTENER: &str = "No active listener";
const SECONDS_OF_DAY: u64 = 24 * 60 * 60;

/// The queue that the test uses, as in RabbitMQ.
static QUEUE: ObjectName = ObjectName::from_static("aliveness-test");

/// The broker answers at all: the shard takes part.
pub(super) async fn well(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    admin.link().ping().await?;
    Ok(json_reply(&ok()))
}

/// The node of this name answers.
pub(super) async fn node(
    State(admin): State<Admin>,
    _caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    check_node(&name)?;
    admin.link().ping().await?;
    Ok(json_reply(&ok()))
}

/// 503 while publishers wait, as RabbitMQ answers.
pub(super) async fn alarms(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    let raised = Alarm::ALL.into_iter().filter(|alarm| admin.inner.alarms.is_raised(*alarm));
    let alarms: Vec<_> =
        raised.map(|alarm| json!({ "node": node_name(), "resource": alarm.name() })).collect();
    if alarms.is_empty() {
        return Ok(json_reply(&ok()));
    }
    let reason = "There are alarms in effect in the cluster";
    Ok(failed(json!({ "reason": reason, "alarms": alarms })))
}

/// There are no replicas whose quorum could be at stake.
pub(super) async fn replicas(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    admin.link().ping().await?;
    Ok(json_reply(&json!({ "status": "ok", "reason": "single node cluster" })))
}

pub(super) async fn port(
    State(admin): State<Admin>,
    _caller: Caller,
    Path(port): Path<u16>,
) -> Result<Response, ApiError> {
    let ports: Vec<u16> =
        admin.inner.listeners.iter().map(|listener| listener.address.port()).collect();
    if ports.contains(&port) {
        return Ok(json_reply(&json!({ "status": "ok", "port": port })));
    }
    Ok(failed(json!({ "reason": NO_LISTENER, "missing": port, "ports": ports })))
}

pub(super) async fn protocol(
    State(admin): State<Admin>,
    _caller: Caller,
    Path(protocol): Path<String>,
) -> Result<Response, ApiError> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "amqp091" | "amqp0-9-1" | "amqp0.9.1" => "amqp".to_owned(),
        "amqps" => "amqp/ssl".to_owned(),
        other => other.to_owned(),
    };
    let protocols: BTreeSet<&str> =
        admin.inner.listeners.iter().map(|listener| listener.protocol).collect();
    if protocols.contains(protocol.as_str()) {
        return Ok(json_reply(&json!({ "status": "ok", "protocol": protocol })));
    }
    Ok(failed(json!({ "reason": NO_LISTENER, "missing": protocol, "protocols": protocols })))
}

/// Whether the certificate that is served is valid for so long still.
pub(super) async fn certificates(
    State(admin): State<Admin>,
    _caller: Caller,
    Path((within, unit)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let within: u64 = within.parse().map_err(|_| ApiError::bad("Invalid expiration value."))?;
    let days = match unit.as_str() {
        "days" => 1,
        "weeks" => 7,
        "months" => 30,
        "years" => 365,
        _ => {
            let units = "Supported units: days, weeks, months, years.";
            return Err(ApiError::bad(format!("Time unit not recognised. {units}")));
        }
    };
    let duration = Duration::from_secs(within.saturating_mul(days).saturating_mul(SECONDS_OF_DAY));
    // A time that the system can't count is later than any certificate's.
    let latest = SystemTime::now().checked_add(duration);
    let expires = admin.inner.tls.as_ref().and_then(TlsAcceptor::expires_at);
    match expires.filter(|expires| latest.is_none_or(|latest| *expires < latest)) {
        None => Ok(json_reply(&ok())),
        Some(expires) => {
            let since_epoch = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let expired = json!([{ "node": node_name(), "certfile_expires_on": since_epoch }]);
            Ok(failed(json!({ "reason": "Certificates expiring", "expired": expired })))
        }
    }
}

/// Declares a queue, publishes to it and gets the message back.
pub(super) async fn aliveness(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
) -> Result<Response, ApiError> {
    let declare = TopologyRequest::DeclareQueue(QueueDeclaration {
        name: QUEUE.clone(),
        ..QueueDeclaration::default()
    });
    caller.check_request(&admin, &vhost, &declare)?;
    let snapshot = admin.snapshot();
    let (permissions, write) =
        (snapshot.access.permissions(), Object::Exchange(&ObjectName::EMPTY));
    permissions.check(&caller.name, &vhost, Access::Write, write)?;
    permissions.check(&caller.name, &vhost, Access::Read, Object::Queue(&QUEUE))?;
    admin.check_may_publish()?;
    admin.request(&caller, vhost.clone(), declare).await?;
    let properties = RawProperties::empty();
    let envelope = Envelope {
        exchange: &ShortStr::default(),
        routing_key: &QUEUE,
        properties: &properties,
        published_at: admin.inner.clock.now().wall,
        expiration: None,
    };
    let messages = vec![Message::new(envelope, Bytes::from("test"), &mut BytesMut::new())];
    let keys = std::slice::from_ref(&*QUEUE);
    let targets = admin.snapshot().routes.route(&vhost, &ObjectName::EMPTY, keys, &|| None)?;
    let publish = Publish { channel: SESSION_CHANNEL, confirm: None, targets, messages };
    let reply = admin
        .link()
        .in_session(vhost, caller.name, move |session| {
            Box::pin(async move {
                session.publish(publish).await?;
                let queue = QUEUE.clone();
                session.ask(Command::Get { channel: SESSION_CHANNEL, queue, no_ack: true }).await
            })
        })
        .await?;
    match reply {
        Reply::Got { .. } => Ok(json_reply(&ok())),
        _ => Err(ApiError::Unavailable("the test message did not come back".to_owned())),
    }
}

/// 503, and why.
fn failed(mut about: Value) -> Response {
    if let Value::Object(about) = &mut about {
        about.insert("status".to_owned(), json!("failed"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, json_reply(&about)).into_response()
}

fn ok() -> Value {
    json!({ "status": "ok" })
}
