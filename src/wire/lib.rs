//! AMQP 0-9-1 bytes: frames, methods, properties and field tables.
//!
//! Owns the translation between bytes and values, in both directions, and the limits of the
//! format. Broker and client call it. It does no I/O, keeps no connection state beyond the frame
//! size limit, and assumes nothing about its input: no bytes make it panic, recurse without
//! bound, or allocate more than a small multiple of what was received.
#![deny(missing_docs)]

mod error;
mod field_table;
mod field_value;
pub mod frame;
pub mod limits;
pub mod method;
pub mod properties;
mod raw_properties;
mod reader;
mod reply_code;
mod send_buffer;
mod short_str;
mod table_walk;
mod writer;

pub use error::{TableFlaw, WireError, WireErrorKind};
pub use field_table::FieldTable;
pub use field_value::FieldValue;
pub use frame::{ContentHeader, Frame, FrameDecoder, PROTOCOL_HEADER, ProtocolHeader};
pub use method::{EncodeMethod, Method};
pub use properties::{Properties, RawProperties};
pub use reply_code::ReplyCode;
pub use send_buffer::SendBuffer;
pub use short_str::{ShortStr, ShortStrTooLong};
