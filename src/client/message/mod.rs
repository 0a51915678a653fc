//! The publish builder.

pub(crate) mod incoming;
pub(crate) mod message_id;
pub(crate) mod outbound;
pub(crate) mod returned;
pub(crate) mod trace;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, Properties, ShortStr};

use crate::{
    PublishError, TraceContext,
    message::message_id::MessageId,
    message::outbound::{Outbound, OutboundProperties},
    name::Name,
};

fn persistent() -> Properties {
    Properties { delivery_mode: Some(2), ..Properties::default() }
}

/// A message to publish: where to, what, and its properties. Persistent unless it is said to be
/// [`Message::transient`]. One without a message id gets one when it is published, so that consumers
/// can recognise a repetition.
///
/// ```
/// # use forebay_client::Message;
/// # use std::time::Duration;
/// let message = Message::to_exchange("orders", "eu.placed", r#"{"total": 42}"#)
///     .content_type("application/json")
///     .message_id("order-4711")
///     .header("tenant", "acme")
///     .expires_after(Duration::from_secs(3_600))
///     .mandatory();
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    exchange: ShortStr,
    routing_key: ShortStr,
    body: Bytes,
    is_mandatory: bool,
    /// `None`: persistent, and no other property.
    properties: Option<Box<Properties>>,
    /// The first thing that can't be sent; told when it is published.
    fault: Option<Box<PublishError>>,
}

impl Message {
    /// For one queue, through the default exchange.
    pub fn to_queue(queue: impl Name, body: impl Into<Bytes>) -> Self {
        Self::to_exchange(ShortStr::EMPTY, queue, body)
    }

    /// For an exchange, with a routing key.
    pub fn to_exchange(
        exchange: impl Name,
        routing_key: impl Name,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut message = Self {
            exchange: ShortStr::EMPTY,
            routing_key: ShortStr::EMPTY,
            body: body.into(),
            is_mandatory: false,
            properties: None,
            fault: None,
        };
        message.exchange = message.short(exchange, "exchange name");
        message.routing_key = message.short(routing_key, "routing key");
        message
    }

    /// The answer to a request: to its `reply_to`, with its correlation id. `None` when it names no
    /// place for an answer.
    pub fn reply(request: &crate::Incoming, body: impl Into<Bytes>) -> Option<Self> {
        let mut message = Self::to_queue(request.reply_to()?, body).transient();
        message.edit().correlation_id = request.correlation_id();
        Some(message)
    }

    fn short(&mut self, name: impl Name, what: &'static str) -> ShortStr {
        name.into_short_str(what).unwrap_or_else(|fault| {
            self.fault.get_or_insert(Box::new(fault.into()));
            ShortStr::EMPTY
        })
    }

    fn edit(&mut self) -> &mut Properties {
        self.properties.get_or_insert_with(|| Box::new(persistent()))
    }

    /// It may be lost when the broker restarts (delivery mode 1).
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.edit().delivery_mode = Some(1);
        self
    }

    /// Its confirm fails with [`PublishError::Returned`] when no queue takes it.
    #[must_use]
    pub fn mandatory(mut self) -> Self {
        self.is_mandatory = true;
        self
    }

    /// The name of the message, by which consumers recognise a repetition.
    #[must_use]
    pub fn message_id(mut self, id: impl Name) -> Self {
        let id = self.short(id, "message id");
        self.edit().message_id = Some(id);
        self
    }

    /// What an answer or a request refers to.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Name) -> Self {
        let id = self.short(id, "correlation id");
        self.edit().correlation_id = Some(id);
        self
    }

    /// The queue that an answer should go to.
    #[must_use]
    pub fn reply_to(mut self, queue: impl Name) -> Self {
        let queue = self.short(queue, "reply-to");
        self.edit().reply_to = Some(queue);
        self
    }

    /// The application that published it.
    #[must_use]
    pub fn app_id(mut self, application: impl Name) -> Self {
        let application = self.short(application, "application id");
        self.edit().app_id = Some(application);
        self
    }

    /// The user who publishes it. The broker refuses any name but that of the login.
    #[must_use]
    pub fn user_id(mut self, user: impl Name) -> Self {
        let user = self.short(user, "user id");
        self.edit().user_id = Some(user);
        self
    }

    /// How the body is encoded, for example `gzip`.
    #[must_use]
    pub fn content_encoding(mut self, encoding: impl Name) -> Self {
        let encoding = self.short(encoding, "content encoding");
        self.edit().content_encoding = Some(encoding);
        self
    }

    /// MIME type of the body.
    #[must_use]
    pub fn content_type(mut self, mime: impl Name) -> Self {
        let mime = self.short(mime, "content type");
        self.edit().content_type = Some(mime);
        self
    }

    /// A body in JSON, in place of the one before, with the content type `application/json`. A value that JSON
    /// can't express (a map whose keys are no strings) fails the publish with [`PublishError::Invalid`].
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body.into(),
            Err(error) => {
                let fault = format!("the value of the body has no form in JSON: {error}");
                self.fault.get_or_insert(Box::new(PublishError::Invalid(fault.into())));
            }
        }
        self.content_type("application/json")
    }

    /// The application's type of the message.
    #[must_use]
    pub fn kind(mut self, kind: impl Name) -> Self {
        let kind = self.short(kind, "type");
        self.edit().kind = Some(kind);
        self
    }

    /// Higher goes first in queues with `x-max-priority`.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.edit().priority = Some(priority);
        self
    }

    /// The message is dropped or dead-lettered when it lies longer in a queue. Milliseconds count,
    /// what is finer is cut off.
    #[must_use]
    pub fn expires_after(mut self, time_to_live: Duration) -> Self {
        self.edit().expiration = ShortStr::try_from(time_to_live.as_millis().to_string()).ok();
        self
    }

    /// When it happened. Seconds count.
    #[must_use]
    pub fn timestamp(mut self, time: SystemTime) -> Self {
        self.edit().timestamp = time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        self
    }

    /// One header more, or another value for it.
    #[must_use]
    pub fn header(mut self, name: impl Name, value: impl Into<FieldValue>) -> Self {
        let name = self.short(name, "header name");
        self.edit().headers.get_or_insert_with(FieldTable::new).insert(name, value);
        self
    }

    /// The W3C trace context that it belongs to, instead of the one of the present task.
    #[must_use]
    pub fn trace(self, context: &TraceContext) -> Self {
        self.header(ShortStr::from_static("traceparent"), context.to_string())
    }

    /// Every property at once, for what has no method of its own. Replaces what was set before, also
    /// that the message is persistent (`delivery_mode`).
    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = Some(Box::new(properties));
        self
    }

    /// Sees to it that there is a message id.
    pub(crate) fn ensure_message_id(&mut self) -> ShortStr {
        self.edit().message_id.get_or_insert_with(message_id::fresh).clone()
    }

    /// Adds the context unless the message carries one.
    pub(crate) fn ensure_trace(&mut self, context: &TraceContext) {
        let name = ShortStr::from_static("traceparent");
        let headers = self.edit().headers.get_or_insert_with(FieldTable::new);
        if headers.get(&name).is_none() {
            headers.insert(name, context.to_string());
        }
    }

    pub(crate) fn exchange(&self) -> &ShortStr {
        &self.exchange
    }

    pub(crate) fn routing_key(&self) -> &ShortStr {
        &self.routing_key
    }

    pub(crate) fn encode(mut self) -> Result<Outbound, PublishError> {
        if let Some(fault) = self.fault {
            return Err(*fault);
        }
        let (properties, mandatory_id) = if self.is_mandatory || self.properties.is_some() {
            let id = self.ensure_message_id();
            let properties = self.edit().encode();
            if properties.as_bytes().len() > forebay_wire::limits::PROPERTIES_SIZE_MAX {
                return Err(PublishError::Invalid(
                    "the properties of the message are too large; put less into headers".into(),
                ));
            }
            (OutboundProperties::Encoded(properties), self.is_mandatory.then_some(id))
        } else {
            (OutboundProperties::Plain(MessageId::fresh()), None)
        };
        Ok(Outbound {
            exchange: self.exchange,
            routing_key: self.routing_key,
            properties,
            body: self.body,
            mandatory_id,
        })
    }
}
