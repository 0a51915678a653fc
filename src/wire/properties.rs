//! Message properties (AMQP 0-9-1, 1.8.1), decoded. See `raw_properties.rs` for the octets.

pub use crate::raw_properties::RawProperties;

use crate::field_table::FieldTable;
use crate::short_str::ShortStr;

/// Every property of class basic, each present or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<ShortStr>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortStr>,
    /// Anything the application or an extension adds.
    pub headers: Option<FieldTable>,
    /// 1: transient, 2: persistent.
    pub delivery_mode: Option<u8>,
    /// Higher goes first, where the queue knows priorities.
    pub priority: Option<u8>,
    /// What an answer refers to.
    pub correlation_id: Option<ShortStr>,
    /// Where an answer goes.
    pub reply_to: Option<ShortStr>,
    /// Time to live in ms, as decimal digits.
    pub expiration: Option<ShortStr>,
    /// The application's name for the message.
    pub message_id: Option<ShortStr>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    /// The application's type of the message (`type`).
    pub kind: Option<ShortStr>,
    /// The publisher; must be the connection's user.
    pub user_id: Option<ShortStr>,
    /// The application.
    pub app_id: Option<ShortStr>,
    /// Deprecated; carried on.
    pub cluster_id: Option<ShortStr>,
}
