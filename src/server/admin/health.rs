//! `/api/health/checks` and `/api/aliveness-test`.

use super::api_error::ApiError;
use super::caller::{Caller, Vhost};
use super::session::SESSION_CHANNEL;
use super::{Admin, NODE, json_reply};
use crate::alarms::Alarm;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use forebay_engine::access::{Access, Object};
use forebay_engine::command::{Command, Publish, TopologyRequest};
use forebay_engine::event::Reply;
use forebay_engine::message::{Envelope, Message};
use forebay_wire::{FieldTable, RawProperties, ShortStr};
use serde_json::{Value, json};

/// The queue that the test uses, as in RabbitMQ.
static QUEUE: ShortStr = ShortStr::from_static("aliveness-test");

/// The broker answers at all: the shard takes part.
pub(super) async fn well(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    admin.link().look(|_| ()).await?;
    Ok(json_reply(&ok()))
}

/// 503 while publishers wait, as RabbitMQ answers.
pub(super) async fn alarms(
    State(admin): State<Admin>,
    _caller: Caller,
) -> Result<Response, ApiError> {
    let raised = Alarm::ALL.into_iter().filter(|alarm| admin.inner.alarms.is_raised(*alarm));
    let alarms: Vec<_> =
        raised.map(|alarm| json!({ "node": NODE, "resource": alarm.name() })).collect();
    if alarms.is_empty() {
        return Ok(json_reply(&ok()));
    }
    let reason = "There are alarms in effect in the cluster";
    let failed = json!({ "status": "failed", "reason": reason, "alarms": alarms });
    Ok((StatusCode::SERVICE_UNAVAILABLE, json_reply(&failed)).into_response())
}

pub(super) async fn port(
    State(admin): State<Admin>,
    _caller: Caller,
    Path(port): Path<u16>,
) -> Result<Response, ApiError> {
    if admin.inner.amqp_ports.contains(&port) {
        return Ok(json_reply(&json!({ "status": "ok", "port": port })));
    }
    Err(ApiError::Unavailable(format!("no listener on port {port}")))
}

pub(super) async fn protocol(
    _caller: Caller,
    Path(protocol): Path<String>,
) -> Result<Response, ApiError> {
    match protocol.as_str() {
        "amqp" | "amqp091" | "amqp0-9-1" | "http" => {
            Ok(json_reply(&json!({ "status": "ok", "protocol": protocol })))
        }
        _ => Err(ApiError::Unavailable(format!("no listener for protocol '{protocol}'"))),
    }
}

/// Declares a queue, publishes to it and gets the message back.
pub(super) async fn aliveness(
    State(admin): State<Admin>,
    caller: Caller,
    Vhost(vhost): Vhost,
) -> Result<Response, ApiError> {
    let declare = TopologyRequest::DeclareQueue {
        name: QUEUE.clone(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::new(),
    };
    caller.check_request(&admin, &vhost, &declare)?;
    let routes = admin.routes();
    let (permissions, write) = (routes.permissions(), Object::Exchange(&ShortStr::EMPTY));
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
    let keys = std::slice::from_ref(&QUEUE);
    let targets = admin.routes().route(&vhost, &ShortStr::default(), keys, &|| None)?;
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

fn ok() -> Value {
    json!({ "status": "ok" })
}
