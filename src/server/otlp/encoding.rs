//! Spans of messages in OTLP, with the attributes that OpenTelemetry's semantic conventions for messaging
//! name; what those have no name for begins with `forebay.`.

use super::schema::{
    AnyValue, KeyValue, Request, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanKind,
    Status, StatusCode, Value,
};
use forebay_engine::model::{Party, WallClock};
use forebay_engine::trace::{Happening, MessageSpan, ReturnCause, Spanned};
use prost::Message;

/// In W3C's flags: the trace is recorded.
const SAMPLED: u32 = 1;

/// A request that holds these spans.
pub(super) fn encode(service_name: &str, spans: &[MessageSpan]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let scope = Scope { name: "forebay".to_owned(), version: version.to_owned() };
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let attributes = vec![text("service.name", service_name), text("service.version", version)];
    let resource = Some(Resource { attributes });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans }] }.encode_to_vec()
}

fn span(span: &MessageSpan) -> Span {
    let queue = span.queue.to_string();
    let mut attributes = vec![
        text("messaging.system", "forebay"),
        text("messaging.destination.name", &queue),
        text("messaging.rabbitmq.destination.routing_key", &span.routing_key.to_string()),
        integer("messaging.message.body.size", span.size),
        text("forebay.exchange", &span.exchange.to_string()),
        text("forebay.vhost", &span.vhost.to_string()),
    ];
    if let Some(id) = &span.message_id {
        attributes.push(text("messaging.message.id", &id.to_string()));
    }
    let (operation, kind, status) = match &span.what {
        Spanned::Publish { how } => {
            attributes.push(text("messaging.operation.type", "send"));
            attributes.push(text("forebay.arrival", how.name()));
            match how {
                Happening::Published { by: Some(by) } => attributes.extend(party(by)),
                Happening::CameAsDeadLetter { from, reason } => {
                    attributes.push(text("forebay.dead_letter.queue", &from.to_string()));
                    attributes.push(text("forebay.dead_letter.reason", reason.name()));
                }
                _ => {}
            }
            ("publish", SpanKind::Server, None)
        }
        Spanned::Deliver { to, consumer, attempt, end } => {
            attributes.push(text("messaging.operation.type", "process"));
            attributes.push(integer("forebay.attempt", *attempt));
            attributes.extend(to.iter().flat_map(party));
            if let Some(tag) = consumer {
                attributes.push(text("forebay.consumer_tag", &tag.to_string()));
            }
            let outcome = outcome(end.as_ref());
            attributes.push(text("forebay.outcome", outcome));
            (
                "deliver",
                SpanKind::Consumer,
                end.as_ref().filter(|end| is_failure(end)).map(|_| outcome),
            )
        }
    };
    attributes.push(text("messaging.operation.name", operation));
    Span {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: span.parent_id.to_be_bytes().to_vec(),
        name: format!("{operation} {queue}"),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes,
        status: status
            .map(|outcome| Status { message: outcome.to_owned(), code: StatusCode::Error.into() }),
        flags: SAMPLED,
    }
}

/// How a delivery ended, as the life of a message has it.
fn outcome(end: Option<&Happening>) -> &'static str {
    match end {
        None => "settled-when-sent",
        Some(Happening::CameBack { cause }) => cause.name(),
        Some(end) => end.name(),
    }
}

/// Whether that says that the message could not be processed.
fn is_failure(end: &Happening) -> bool {
    match end {
        Happening::Rejected { .. } => true,
        Happening::CameBack { cause } => !matches!(
            cause,
            ReturnCause::Recovered | ReturnCause::Returned | ReturnCause::Interrupted
        ),
        _ => false,
    }
}

fn party(party: &Party) -> Vec<KeyValue> {
    let identity = &party.identity;
    let mut attributes = vec![text("forebay.user", &identity.user.to_string())];
    if !identity.connection.is_empty() {
        attributes.push(text("forebay.connection", &identity.connection.to_string()));
        attributes.push(integer("forebay.channel", u64::from(party.channel.0)));
    }
    if let Some(name) = &identity.client_name {
        attributes.push(text("messaging.client.id", &name.to_string()));
    }
    attributes
}

fn nanoseconds(at: WallClock) -> u64 {
    at.0.saturating_mul(1_000_000)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::Text(value.to_owned()))
}

fn integer(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}
