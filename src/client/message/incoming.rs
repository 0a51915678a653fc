//! A received message, without the duty to settle it.
//!
//! Cheap to clone: everything in it is shared with the bytes that were read.

use std::borrow::Cow;

use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, Properties, RawProperties, ShortStr};

/// What a message carries: body, properties, and where it came through. A [`crate::Delivery`]
/// dereferences to it, and handlers of a [`crate::Worker`] get it.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub(crate) exchange: ShortStr,
    pub(crate) routing_key: ShortStr,
    pub(crate) is_redelivered: bool,
    pub(crate) properties: RawProperties,
    pub(crate) body: Bytes,
}

impl Incoming {
    /// The body, shared with the read buffer; copy it if you keep it for long.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The value that stands in JSON in the body, whatever the content type says.
    ///
    /// # Errors
    /// The body is no JSON, or another value: with line and column.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The exchange it was published to; empty for the default exchange.
    pub fn exchange(&self) -> &ShortStr {
        &self.exchange
    }

    /// The routing key it was published with.
    pub fn routing_key(&self) -> &ShortStr {
        &self.routing_key
    }

    /// The routing key as text, to be matched on; what is no UTF-8 in it is replaced.
    pub fn routing_key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.routing_key.as_bytes())
    }

    /// Whether it may have been delivered before, to this consumer or another (`redelivered`).
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Failed deliveries before this one, by the header `x-delivery-count`; 0 without it.
    pub fn delivery_count(&self) -> u64 {
        let count = self.header("x-delivery-count").and_then(|value| value.as_integer());
        count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    /// All properties, decoded by this call.
    pub fn properties(&self) -> Properties {
        self.properties.decode()
    }

    /// The properties as they came.
    pub fn raw_properties(&self) -> &RawProperties {
        &self.properties
    }

    /// The headers, decoded by this call; empty without any.
    pub fn headers(&self) -> FieldTable {
        self.properties.headers().unwrap_or_default()
    }

    /// One header, decoded by this call.
    pub fn header(&self, name: &str) -> Option<FieldValue> {
        self.properties
            .has_headers()
            .then(|| self.properties.headers()?.get(name).cloned())
            .flatten()
    }

    /// The publisher's name for the message (`message-id`), 255 bytes at most; every message of this crate
    /// has one.
    pub fn message_id(&self) -> Option<ShortStr> {
        self.properties.message_id()
    }

    /// The queue that an answer should go to (`reply-to`); see [`crate::Message::reply`].
    pub fn reply_to(&self) -> Option<ShortStr> {
        self.properties.reply_to()
    }

    /// What an answer refers to (`correlation-id`).
    pub fn correlation_id(&self) -> Option<ShortStr> {
        self.properties.decode().correlation_id
    }

    /// MIME type of the body (`content-type`), for example `application/json`.
    pub fn content_type(&self) -> Option<ShortStr> {
        self.properties.decode().content_type
    }

    /// How the body is encoded (`content-encoding`), for example `gzip`.
    pub fn content_encoding(&self) -> Option<ShortStr> {
        self.properties.decode().content_encoding
    }

    /// The application's type of the message (`type`).
    pub fn kind(&self) -> Option<ShortStr> {
        self.properties.decode().kind
    }

    /// The application that published it (`app-id`).
    pub fn app_id(&self) -> Option<ShortStr> {
        self.properties.decode().app_id
    }

    /// The user name of its publisher, where the publisher gave one; the broker has checked it.
    pub fn user_id(&self) -> Option<ShortStr> {
        self.properties.user_id()
    }
}
