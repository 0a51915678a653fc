//! The spans that publishers and workers make, at level `DEBUG`, with OpenTelemetry's names for messaging: a
//! `tracing-opentelemetry` layer exports them as they are.

use tracing::{Span, field::Empty};

use crate::{Incoming, Message};

/// From `publish` to the confirm.
pub(crate) fn send(message: &Message) -> Span {
    tracing::debug_span!(
        "send",
        otel.kind = "producer",
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = %message.exchange(),
        messaging.rabbitmq.destination.routing_key = %message.routing_key(),
        trace_id = Empty,
    )
}

/// One run of a handler of batches.
pub(crate) fn process_batch(messages: usize) -> Span {
    tracing::debug_span!(
        "process",
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.batch.message_count = messages as u64,
    )
}

/// One run of a worker's handler.
pub(crate) fn process(message: &Incoming) -> Span {
    let span = tracing::debug_span!(
        "process",
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %message.exchange(),
        messaging.rabbitmq.destination.routing_key = %message.routing_key(),
        messaging.message.id = Empty,
        messaging.message.body.size = message.body().len() as u64,
        trace_id = Empty,
    );
    if !span.is_disabled()
        && let Some(id) = message.message_id()
    {
        span.record("messaging.message.id", tracing::field::display(id));
    }
    span
}
