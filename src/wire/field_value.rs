//! Values of a field table (AMQP 0-9-1, 4.2.5.5), with the type bytes that RabbitMQ and its
//! clients use instead of the standard's.

use crate::field_table::FieldTable;
use bytes::Bytes;

/// A value with its type on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`: one byte, 0 is false.
    Bool(bool),
    /// `b`: one byte, signed.
    I8(i8),
    /// `B`: one byte, unsigned.
    U8(u8),
    /// `s`: 16 bits, signed.
    I16(i16),
    /// `u`: 16 bits, unsigned.
    U16(u16),
    /// `I`: 32 bits, signed.
    I32(i32),
    /// `i`: 32 bits, unsigned.
    U32(u32),
    /// `l`: 64 bits, signed.
    I64(i64),
    /// `L`: 64 bits, unsigned.
    U64(u64),
    /// `f`: single precision.
    F32(f32),
    /// `d`: double precision.
    F64(f64),
    /// `D`: `value` / 10^`scale`. RabbitMQ takes the value as unsigned.
    Decimal {
        /// Decimal places.
        scale: u8,
        /// The digits as an integer.
        value: u32,
    },
    /// `S`: text or any bytes.
    LongStr(Bytes),
    /// `A`: values in order, of any types.
    Array(Vec<FieldValue>),
    /// `T`: seconds since the epoch.
    Timestamp(u64),
    /// `F`: a table within.
    Table(FieldTable),
    /// `x`: bytes that are no text.
    ByteArray(Bytes),
    /// `V`: no value.
    Void,
}

impl FieldValue {
    /// The value of any integer type, whatever the width that the client chose for it; `None` for every other
    /// type.
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

    /// The bytes of a long string (`LongStr`); `None` for every other type.
    #[must_use]
    pub fn as_long_str(&self) -> Option<&Bytes> {
        match self {
            Self::LongStr(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a `LongStr` that is UTF-8; `None` for other bytes and every other type.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(self.as_long_str()?).ok()
    }

    /// The truth value of a `Bool`; `None` for every other type.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The table within a `Table`; `None` for every other type.
    #[must_use]
    pub fn as_table(&self) -> Option<&FieldTable> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements of an `Array`; `None` for every other type.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// A copy of the value with memory of its own, see [`crate::ShortStr::detached`].
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::LongStr(bytes) => Self::LongStr(Bytes::copy_from_slice(bytes)),
            Self::ByteArray(bytes) => Self::ByteArray(Bytes::copy_from_slice(bytes)),
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
