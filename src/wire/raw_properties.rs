//! Message properties as they stand in a content header.
//!
//! ```text
//! flags:u16 (highest bit: content-type, then as listed below; the lowest two bits are 0)
//! values of the properties whose flag is set, in the same order
//! ```
//!
//! The broker passes them on as they came, so it checks them once and decodes only what it asks
//! for. Callers may assume that what is here is well-formed.

use crate::error::{WireError, WireErrorKind};
use crate::field_table::FieldTable;
use crate::limits::PROPERTIES_SIZE_MAX;
use crate::properties::Properties;
use crate::short_str::ShortStr;
use crate::table_walk;
use crate::writer::{WriteArgument, Writer};
use bytes::{BufMut, Bytes, BytesMut};

const CLASS_BASIC: u16 = 60;
/// Bit 0 says that further flags follow, which class basic has none of; bit 1 is not assigned.
const FLAGS_FOREIGN: u16 = 0b11;

/// How a property's value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Short,
    Table,
    Byte,
    Timestamp,
}

/// A property by the bit of its flag.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Property {
    flag: u16,
    shape: Shape,
}

const fn property(bit: u8, shape: Shape) -> Property {
    Property { flag: 1 << bit, shape }
}

const CONTENT_TYPE: Property = property(15, Shape::Short);
const CONTENT_ENCODING: Property = property(14, Shape::Short);
const HEADERS: Property = property(13, Shape::Table);
const DELIVERY_MODE: Property = property(12, Shape::Byte);
const PRIORITY: Property = property(11, Shape::Byte);
const CORRELATION_ID: Property = property(10, Shape::Short);
const REPLY_TO: Property = property(9, Shape::Short);
const EXPIRATION: Property = property(8, Shape::Short);
const MESSAGE_ID: Property = property(7, Shape::Short);
const TIMESTAMP: Property = property(6, Shape::Timestamp);
const KIND: Property = property(5, Shape::Short);
const USER_ID: Property = property(4, Shape::Short);
const APP_ID: Property = property(3, Shape::Short);
const CLUSTER_ID: Property = property(2, Shape::Short);

/// In the order in which values stand.
const PROPERTIES: [Property; 14] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    HEADERS,
    DELIVERY_MODE,
    PRIORITY,
    CORRELATION_ID,
    REPLY_TO,
    EXPIRATION,
    MESSAGE_ID,
    TIMESTAMP,
    KIND,
    USER_ID,
    APP_ID,
    CLUSTER_ID,
];

/// Property flags and values as on the wire, known to be well-formed. A clone copies nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct RawProperties(Bytes);

impl RawProperties {
    /// No properties.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Bytes::from_static(&[0, 0]))
    }

    /// Checks flags and values, tables included, in one pass that allocates nothing.
    ///
    /// # Errors
    /// 502 when the flags are unknown, a value is malformed, the bytes end early or late, or
    /// there are more than `PROPERTIES_SIZE_MAX` of them.
    pub fn parse(bytes: Bytes) -> Result<Self, WireError> {
        match check(&bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(kind) => Err(WireError::of_method(kind, CLASS_BASIC, 0)),
        }
    }

    /// Flags and values as they stand on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Flags and values as they stand on the wire, still shared with where they came from.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy with memory of its own, which keeps no receive buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// 1: transient, 2: persistent (`delivery-mode`).
    #[must_use]
    pub fn delivery_mode(&self) -> Option<u8> {
        self.octet(DELIVERY_MODE)
    }

    /// The priority: higher goes first, where the queue knows priorities.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.octet(PRIORITY)
    }

    /// Time to live in ms, as decimal digits.
    #[must_use]
    pub fn expiration(&self) -> Option<ShortStr> {
        self.short(EXPIRATION)
    }

    /// The queue that an answer goes to (`reply-to`).
    #[must_use]
    pub fn reply_to(&self) -> Option<ShortStr> {
        self.short(REPLY_TO)
    }

    /// The publishing user (`user-id`).
    #[must_use]
    pub fn user_id(&self) -> Option<ShortStr> {
        self.short(USER_ID)
    }

    /// The application's name for the message (`message-id`).
    #[must_use]
    pub fn message_id(&self) -> Option<ShortStr> {
        self.short(MESSAGE_ID)
    }

    /// Whether there is a header table.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        self.flags() & HEADERS.flag != 0
    }

    /// The header table, decoded by this call; `None` without one.
    #[must_use]
    pub fn headers(&self) -> Option<FieldTable> {
        let value = self.value(HEADERS)?;
        table_walk::read_table(&self.0, value).ok().map(|(_, table)| table)
    }

    /// Every property, decoded by this call.
    #[must_use]
    pub fn decode(&self) -> Properties {
        Properties {
            content_type: self.short(CONTENT_TYPE),
            content_encoding: self.short(CONTENT_ENCODING),
            headers: self.headers(),
            delivery_mode: self.delivery_mode(),
            priority: self.priority(),
            correlation_id: self.short(CORRELATION_ID),
            reply_to: self.reply_to(),
            expiration: self.expiration(),
            message_id: self.message_id(),
            timestamp: self
                .value(TIMESTAMP)
                .and_then(|value| value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))),
            kind: self.short(KIND),
            user_id: self.user_id(),
            app_id: self.short(APP_ID),
            cluster_id: self.short(CLUSTER_ID),
        }
    }

    fn flags(&self) -> u16 {
        self.0.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    fn octet(&self, property: Property) -> Option<u8> {
        self.value(property)?.first().copied()
    }

    fn short(&self, property: Property) -> Option<ShortStr> {
        let (length, rest) = self.value(property)?.split_first()?;
        let text = rest.get(..usize::from(*length))?;
        Some(ShortStr::from_bounded(self.0.slice_ref(text)))
    }

    /// The bytes from where the property's value begins.
    fn value(&self, wanted: Property) -> Option<&[u8]> {
        let flags = self.flags();
        if flags & wanted.flag == 0 {
            return None;
        }
        let mut rest = self.0.get(2..)?;
        for property in PROPERTIES.iter().filter(|property| flags & property.flag != 0) {
            if *property == wanted {
                return Some(rest);
            }
            rest = rest.get(size(property.shape, rest)?..)?;
        }
        None
    }
}

impl Default for RawProperties {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for RawProperties {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.decode().fmt(formatter)
    }
}

/// Bytes that the value at the front of `bytes` takes; `None` when they are too few for it.
fn size(shape: Shape, bytes: &[u8]) -> Option<usize> {
    Some(match shape {
        Shape::Byte => 1,
        Shape::Timestamp => 8,
        Shape::Short => 1 + usize::from(*bytes.first()?),
        Shape::Table => 4 + u32::from_be_bytes(*bytes.first_chunk()?) as usize,
    })
}

fn check(bytes: &[u8]) -> Result<(), WireErrorKind> {
    if bytes.len() > PROPERTIES_SIZE_MAX {
        return Err(WireErrorKind::PropertiesTooLarge { size: bytes.len() });
    }
    let Some((flags, mut rest)) = bytes.split_first_chunk() else {
        return Err(WireErrorKind::PropertiesTruncated);
    };
    let flags = u16::from_be_bytes(*flags);
    if flags & FLAGS_FOREIGN != 0 {
        return Err(WireErrorKind::PropertyFlags { flags });
    }
    for property in PROPERTIES.iter().filter(|property| flags & property.flag != 0) {
        if property.shape == Shape::Table {
            (rest, ()) = table_walk::check_table(rest).map_err(WireErrorKind::Table)?;
        } else {
            rest = size(property.shape, rest)
                .and_then(|size| rest.get(size..))
                .ok_or(WireErrorKind::PropertiesTruncated)?;
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(WireErrorKind::PropertiesTrailing { bytes: rest.len() })
    }
}

impl Properties {
    /// Writes flags and values.
    #[must_use]
    pub fn encode(&self) -> RawProperties {
        let mut out = BytesMut::new();
        out.put_u16(0);
        let mut flags = 0;
        let mut writer = Writer::new(&mut out);
        let mut put = |property: Property, value: Option<&dyn WriteArgument>| {
            if let Some(value) = value {
                flags |= property.flag;
                value.write(&mut writer);
            }
        };
        put(CONTENT_TYPE, argument(self.content_type.as_ref()));
        put(CONTENT_ENCODING, argument(self.content_encoding.as_ref()));
        put(HEADERS, argument(self.headers.as_ref()));
        put(DELIVERY_MODE, argument(self.delivery_mode.as_ref()));
        put(PRIORITY, argument(self.priority.as_ref()));
        put(CORRELATION_ID, argument(self.correlation_id.as_ref()));
        put(REPLY_TO, argument(self.reply_to.as_ref()));
        put(EXPIRATION, argument(self.expiration.as_ref()));
        put(MESSAGE_ID, argument(self.message_id.as_ref()));
        put(TIMESTAMP, argument(self.timestamp.as_ref()));
        put(KIND, argument(self.kind.as_ref()));
        put(USER_ID, argument(self.user_id.as_ref()));
        put(APP_ID, argument(self.app_id.as_ref()));
        put(CLUSTER_ID, argument(self.cluster_id.as_ref()));
        if let Some(place) = out.first_chunk_mut() {
            *place = flags.to_be_bytes();
        }
        RawProperties(out.freeze())
    }
}

fn argument<T: WriteArgument>(value: Option<&T>) -> Option<&dyn WriteArgument> {
    value.map(|value| value as &dyn WriteArgument)
}
