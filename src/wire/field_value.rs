//! Values of a field table (AMQP 0-9-1, 4.2.5.5), with the type octets that RabbitMQ and its
//! clients use instead of the standard's.

use crate::field_table::FieldTable;
use bytes::Bytes;

/// A value with its type on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`: one octet, 0 is false.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`.
    I64(i64),
    /// `L`.
    U64(u64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`: `value` / 10^`scale`. RabbitMQ takes the value as unsigned.
    Decimal {
        /// Decimal places.
        scale: u8,
        /// The digits as an integer.
        value: u32,
    },
    /// `S`: text or any octets.
    LongStr(Bytes),
    /// `A`.
    Array(Vec<FieldValue>),
    /// `T`: seconds since the epoch.
    Timestamp(u64),
    /// `F`.
    Table(FieldTable),
    /// `x`.
    ByteArray(Bytes),
    /// `V`: no value.
    Void,
}

impl FieldValue {
    /// The value as an integer, whatever the width that the client chose for it.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value.into()),
            Self::U64(value) => Some(value.into()),
            _ => None,
        }
    }

    /// The octets of a long string.
    #[must_use]
    pub fn as_long_str(&self) -> Option<&Bytes> {
        match self {
            Self::LongStr(octets) => Some(octets),
            _ => None,
        }
    }

    /// The truth value of a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The table within.
    #[must_use]
    pub fn as_table(&self) -> Option<&FieldTable> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The same value with memory of its own, see [`crate::ShortStr::detached`].
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::LongStr(octets) => Self::LongStr(Bytes::copy_from_slice(octets)),
            Self::ByteArray(octets) => Self::ByteArray(Bytes::copy_from_slice(octets)),
            Self::Array(elements) => Self::Array(elements.iter().map(Self::detached).collect()),
            Self::Table(table) => Self::Table(table.detached()),
            fixed => fixed.clone(),
        }
    }
}

macro_rules! from {
    ($($inner:ty => $variant:ident),* $(,)?) => {
        $(impl From<$inner> for FieldValue {
            fn from(value: $inner) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

from! {
    bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    u64 => U64, f32 => F32, f64 => F64, Bytes => LongStr, Vec<FieldValue> => Array, FieldTable => Table,
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::LongStr(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::LongStr(Bytes::from(text))
    }
}

impl From<crate::ShortStr> for FieldValue {
    fn from(text: crate::ShortStr) -> Self {
        Self::LongStr(text.into_bytes())
    }
}
