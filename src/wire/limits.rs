//! The limits of the format, by name, units last. What is negotiated may be lower, never higher.

/// The smallest frame size limit that peers may agree on, in bytes (AMQP 0-9-1, 4.2.3).
pub const FRAME_SIZE_MIN: u32 = 4096;
/// The frame size limit proposed by default, in bytes, envelope included.
pub const FRAME_SIZE_DEFAULT_MAX: u32 = 131_072;
/// Bytes of a frame before its payload: type, channel, size.
pub const FRAME_HEADER_SIZE: usize = 7;
/// Bytes of a frame around its payload: the header and the frame end.
pub const FRAME_ENVELOPE_SIZE: usize = FRAME_HEADER_SIZE + 1;
/// Bytes by which a received frame may pass the agreed limit, because some clients count the
/// payload alone. RabbitMQ allows as much.
pub const FRAME_SIZE_SLACK: u32 = FRAME_ENVELOPE_SIZE as u32;
/// The highest channel number proposed by default.
pub const CHANNELS_MAX: u16 = 2047;
/// Bytes of a short string.
pub const SHORT_STR_LENGTH_MAX: usize = 255;
/// Tables and arrays within one another, the outermost table counted as 1.
pub const FIELD_TABLE_DEPTH_MAX: usize = 128;
/// Bytes of a message's properties: flags and values.
pub const PROPERTIES_SIZE_MAX: usize = 131_072;
/// Bytes of a message's body, by default.
pub const MESSAGE_SIZE_MAX: u64 = 128 * 1024 * 1024;
/// Bytes of a content header's payload before the properties.
pub const CONTENT_HEADER_FIXED_SIZE: usize = 12;
/// A body frame's payload up to this size is copied behind its neighbours; a larger one is sent
/// from where it lies. About where a copy costs as much as one more element of a `writev`.
pub const BODY_INLINE_SIZE_MAX: usize = 1024;

const _: () = assert!(FRAME_SIZE_MIN <= FRAME_SIZE_DEFAULT_MAX);
const _: () = assert!(FRAME_SIZE_MIN as usize > FRAME_ENVELOPE_SIZE);
// Every property but a large header table fits the smallest frame.
const _: () = assert!(PROPERTIES_SIZE_MAX >= FRAME_SIZE_DEFAULT_MAX as usize);
// Stored message heads write the size of properties in 24 bits.
const _: () = assert!(PROPERTIES_SIZE_MAX < 1 << 24);
const _: () = assert!(SHORT_STR_LENGTH_MAX == u8::MAX as usize);
const _: () = assert!(MESSAGE_SIZE_MAX <= u32::MAX as u64);
// A body worth a segment of its own must fit a frame of the smallest size.
const _: () = assert!(BODY_INLINE_SIZE_MAX < FRAME_SIZE_MIN as usize - FRAME_ENVELOPE_SIZE);
