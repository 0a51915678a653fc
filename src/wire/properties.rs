//! Message properties (AMQP 0-9-1, 1.8.1), decoded. See `raw_properties.rs` for the bytes.

pub use crate::raw_properties::RawProperties;

use crate::field_table::FieldTable;
use crate::short_str::ShortStr;
use std::fmt;

/// Every property of class basic, each present or not.
#[derive(Clone, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body (`content-type`).
    pub content_type: Option<ShortStr>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortStr>,
    /// Anything the application or an extension adds.
    pub headers: Option<FieldTable>,
    /// 1: transient, 2: persistent.
    pub delivery_mode: Option<u8>,
    /// Higher goes first, where the queue knows priorities.
    pub priority: Option<u8>,
    /// What an answer refers to (`correlation-id`).
    pub correlation_id: Option<ShortStr>,
    /// The queue that an answer goes to (`reply-to`).
    pub reply_to: Option<ShortStr>,
    /// Time to live in ms, as decimal digits.
    pub expiration: Option<ShortStr>,
    /// The application's name for the message.
    pub message_id: Option<ShortStr>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    /// The application's type of the message (`type`).
    pub kind: Option<ShortStr>,
    /// The publishing user (`user-id`); must be the connection's user.
    pub user_id: Option<ShortStr>,
    /// The application that publishes (`app-id`).
    pub app_id: Option<ShortStr>,
    /// Deprecated; carried on.
    pub cluster_id: Option<ShortStr>,
}

impl fmt::Debug for Properties {
    /// Only what is present.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut present = formatter.debug_struct("Properties");
        let mut field = |name, value: Option<&dyn fmt::Debug>| {
            if let Some(value) = value {
                present.field(name, value);
            }
        };
        field("content_type", debug(self.content_type.as_ref()));
        field("content_encoding", debug(self.content_encoding.as_ref()));
        field("headers", debug(self.headers.as_ref()));
        field("delivery_mode", debug(self.delivery_mode.as_ref()));
        field("priority", debug(self.priority.as_ref()));
        field("correlation_id", debug(self.correlation_id.as_ref()));
        field("reply_to", debug(self.reply_to.as_ref()));
        field("expiration", debug(self.expiration.as_ref()));
        field("message_id", debug(self.message_id.as_ref()));
        field("timestamp", debug(self.timestamp.as_ref()));
        field("kind", debug(self.kind.as_ref()));
        field("user_id", debug(self.user_id.as_ref()));
        field("app_id", debug(self.app_id.as_ref()));
        field("cluster_id", debug(self.cluster_id.as_ref()));
        present.finish()
    }
}

fn debug<T: fmt::Debug>(value: Option<&T>) -> Option<&dyn fmt::Debug> {
    value.map(|value| value as &dyn fmt::Debug)
}
