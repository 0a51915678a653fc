//! What can be wrong with bytes, as a value that knows its reply code.

use crate::limits::{FIELD_TABLE_DEPTH_MAX, PROPERTIES_SIZE_MAX};
use crate::reply_code::ReplyCode;

/// Bytes that are not AMQP 0-9-1 as agreed. Always closes the connection: after it, nothing that
/// follows in the stream can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct WireError {
    /// What was wrong.
    pub kind: WireErrorKind,
    /// The class of the method or content concerned; 0 when unknown.
    pub class_id: u16,
    /// The method concerned; 0 when unknown.
    pub method_id: u16,
}

/// What was wrong and what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireErrorKind {
    /// A frame above the limit; nothing beyond its header was read.
    #[error("frame with a payload of {size} bytes, the limit agreed on is {limit} for the frame")]
    FrameTooLarge {
        /// Bytes of payload announced.
        size: u32,
        /// The limit agreed on, envelope included.
        limit: u32,
    },
    /// Neither method, header, body nor heartbeat.
    #[error(
        "unknown frame type {frame_type}, expected 1 (method), 2 (header), 3 (body) or 8 (heartbeat)"
    )]
    FrameType {
        /// The type found.
        frame_type: u8,
    },
    /// The byte after the payload.
    #[error("frame ends with byte {found}, expected 206")]
    FrameEnd {
        /// The byte found.
        found: u8,
    },
    /// Heartbeats belong to the connection.
    #[error("heartbeat on channel {channel}, expected it on channel 0")]
    HeartbeatChannel {
        /// The channel found.
        channel: u16,
    },
    /// Heartbeats are empty.
    #[error("heartbeat with a payload of {size} bytes, expected none")]
    HeartbeatPayload {
        /// Bytes of payload.
        size: u32,
    },
    /// Content belongs to an open channel.
    #[error("content frame on channel 0, expected it on an open channel")]
    ContentOnChannelZero,
    /// No room for class and method.
    #[error("method frame with {size} bytes, expected at least 4 for class and method")]
    MethodTooShort {
        /// Bytes of payload.
        size: usize,
    },
    /// No such class.
    #[error("unknown class {class_id}")]
    UnknownClass {
        /// The class found.
        class_id: u16,
    },
    /// No such method in this class.
    #[error("unknown method {method_id} of class {class_id}")]
    UnknownMethod {
        /// The class.
        class_id: u16,
        /// The method found.
        method_id: u16,
    },
    /// The payload ends within an argument.
    #[error("method ends within its arguments")]
    ArgumentsTruncated,
    /// The payload goes on after the last argument.
    #[error("{bytes} bytes after the last argument, expected none")]
    ArgumentsTrailing {
        /// Bytes left.
        bytes: usize,
    },
    /// A field table among the arguments or properties.
    #[error("malformed field table: {0}")]
    Table(TableFlaw),
    /// No room for class, weight and body size.
    #[error("content header with {size} bytes, expected at least 14")]
    ContentHeaderTooShort {
        /// Bytes of payload.
        size: usize,
    },
    /// The weight has no meaning and must be 0.
    #[error("content header with weight {weight}, expected 0")]
    ContentWeight {
        /// The weight found.
        weight: u16,
    },
    /// Only class basic carries content.
    #[error("content header of class {class_id}, expected 60 (basic)")]
    ContentClass {
        /// The class found.
        class_id: u16,
    },
    /// Flags beyond the 14 properties of class basic.
    #[error("property flags {flags:#06x}, expected none in the lowest two bits")]
    PropertyFlags {
        /// The flags found.
        flags: u16,
    },
    /// The header ends within a property.
    #[error("content header ends within its properties")]
    PropertiesTruncated,
    /// The header goes on after the last property.
    #[error("{bytes} bytes after the last property, expected none")]
    PropertiesTrailing {
        /// Bytes left.
        bytes: usize,
    },
    /// Properties above the limit.
    #[error("properties of {size} bytes, the limit is {PROPERTIES_SIZE_MAX}")]
    PropertiesTooLarge {
        /// Bytes of flags and values.
        size: usize,
    },
}

/// What can be wrong within a field table (AMQP 0-9-1, 4.2.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFlaw {
    /// A key or value passes the end of its table or array.
    #[error("a key or value passes the end of its table or array")]
    Truncated,
    /// A type byte that no client uses.
    #[error("unknown field type {0:#04x}")]
    FieldType(u8),
    /// Nested too deeply.
    #[error("tables nested deeper than {FIELD_TABLE_DEPTH_MAX}")]
    Depth,
}

impl WireError {
    /// The reply code to close the connection with.
    #[must_use]
    pub const fn reply_code(&self) -> ReplyCode {
        match self.kind {
            WireErrorKind::FrameTooLarge { .. }
            | WireErrorKind::FrameType { .. }
            | WireErrorKind::FrameEnd { .. }
            | WireErrorKind::HeartbeatPayload { .. }
            | WireErrorKind::MethodTooShort { .. }
            | WireErrorKind::ArgumentsTruncated
            | WireErrorKind::ArgumentsTrailing { .. }
            | WireErrorKind::ContentHeaderTooShort { .. } => ReplyCode::FrameError,
            WireErrorKind::Table(_)
            | WireErrorKind::PropertyFlags { .. }
            | WireErrorKind::PropertiesTruncated
            | WireErrorKind::PropertiesTrailing { .. }
            | WireErrorKind::PropertiesTooLarge { .. } => ReplyCode::SyntaxError,
            WireErrorKind::HeartbeatChannel { .. }
            | WireErrorKind::ContentOnChannelZero
            | WireErrorKind::ContentClass { .. }
            | WireErrorKind::ContentWeight { .. } => ReplyCode::UnexpectedFrame,
            WireErrorKind::UnknownClass { .. } | WireErrorKind::UnknownMethod { .. } => {
                ReplyCode::NotImplemented
            }
        }
    }

    pub(crate) const fn of_method(kind: WireErrorKind, class_id: u16, method_id: u16) -> Self {
        Self { kind, class_id, method_id }
    }
}

impl From<WireErrorKind> for WireError {
    fn from(kind: WireErrorKind) -> Self {
        Self { kind, class_id: 0, method_id: 0 }
    }
}
