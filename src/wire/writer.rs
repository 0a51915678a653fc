//! Writes arguments, properties and tables behind what a buffer already holds.

use crate::field_table::FieldTable;
use crate::field_value::FieldValue;
use crate::limits::SHORT_STR_LENGTH_MAX;
use crate::short_str::ShortStr;
use bytes::{BufMut, Bytes, BytesMut};

/// Where the next argument goes.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    /// Bits in the last byte; 0 or 8: the next bit begins a new one.
    bits: u8,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut) -> Self {
        Self { out, bits: 0 }
    }

    /// Writes class and method; the arguments follow.
    pub(crate) fn method(out: &'a mut BytesMut, class_id: u16, method_id: u16) -> Self {
        out.put_u16(class_id);
        out.put_u16(method_id);
        Self::new(out)
    }

    pub(crate) fn table(&mut self, table: &FieldTable) {
        self.sized(|writer| {
            for (name, value) in table {
                short(writer.out, name.as_bytes());
                writer.value(value);
            }
        });
    }

    fn value(&mut self, value: &FieldValue) {
        self.out.put_u8(field_type(value));
        match value {
            FieldValue::Bool(value) => self.out.put_u8(u8::from(*value)),
            FieldValue::I8(value) => self.out.put_i8(*value),
            FieldValue::U8(value) => self.out.put_u8(*value),
            FieldValue::I16(value) => self.out.put_i16(*value),
            FieldValue::U16(value) => self.out.put_u16(*value),
            FieldValue::I32(value) => self.out.put_i32(*value),
            FieldValue::U32(value) => self.out.put_u32(*value),
            FieldValue::I64(value) => self.out.put_i64(*value),
            FieldValue::U64(value) | FieldValue::Timestamp(value) => self.out.put_u64(*value),
            FieldValue::F32(value) => self.out.put_f32(*value),
            FieldValue::F64(value) => self.out.put_f64(*value),
            FieldValue::Decimal { scale, value } => {
                self.out.put_u8(*scale);
                self.out.put_u32(*value);
            }
            FieldValue::LongStr(bytes) | FieldValue::ByteArray(bytes) => long(self.out, bytes),
            FieldValue::Array(elements) => self.sized(|writer| {
                for element in elements {
                    writer.value(element);
                }
            }),
            FieldValue::Table(table) => self.table(table),
            FieldValue::Void => {}
        }
    }

    /// Writes what `content` writes, its size in front.
    fn sized(&mut self, content: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.out.put_u32(0);
        content(self);
        let size = self.out.len() - start - 4;
        if let Some(place) = self.out.get_mut(start..start + 4) {
            place.copy_from_slice(&(size as u32).to_be_bytes());
        }
    }
}

impl FieldTable {
    /// Writes the table with its size in front.
    pub fn encode(&self, out: &mut BytesMut) {
        Writer::new(out).table(self);
    }
}

fn field_type(value: &FieldValue) -> u8 {
    match value {
        FieldValue::Bool(_) => b't',
        FieldValue::I8(_) => b'b',
        FieldValue::U8(_) => b'B',
        FieldValue::I16(_) => b's',
        FieldValue::U16(_) => b'u',
        FieldValue::I32(_) => b'I',
        FieldValue::U32(_) => b'i',
        FieldValue::I64(_) => b'l',
        FieldValue::U64(_) => b'L',
        FieldValue::F32(_) => b'f',
        FieldValue::F64(_) => b'd',
        FieldValue::Decimal { .. } => b'D',
        FieldValue::LongStr(_) => b'S',
        FieldValue::Array(_) => b'A',
        FieldValue::Timestamp(_) => b'T',
        FieldValue::Table(_) => b'F',
        FieldValue::ByteArray(_) => b'x',
        FieldValue::Void => b'V',
    }
}

/// A length byte and the bytes. Callers hold [`ShortStr`]s or their slices; more than 255
/// bytes would be a slip of ours, and are cut rather than make the frame lie.
pub(crate) fn short(out: &mut BytesMut, bytes: &[u8]) {
    debug_assert!(bytes.len() <= SHORT_STR_LENGTH_MAX);
    let bytes = bytes.get(..SHORT_STR_LENGTH_MAX).unwrap_or(bytes);
    out.put_u8(bytes.len() as u8);
    out.put_slice(bytes);
}

/// A size of four bytes and the bytes.
pub(crate) fn long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

/// The writing side of [`crate::reader::Argument`].
pub(crate) trait WriteArgument {
    fn write(&self, writer: &mut Writer<'_>);
}

impl WriteArgument for bool {
    fn write(&self, writer: &mut Writer<'_>) {
        if writer.bits.is_multiple_of(8) {
            writer.out.put_u8(0);
            writer.bits = 0;
        }
        if let Some(byte) = writer.out.last_mut() {
            *byte |= u8::from(*self) << writer.bits;
        }
        writer.bits += 1;
    }
}

macro_rules! write_argument {
    ($($type:ty: |$out:ident, $value:ident| $write:expr;)*) => {
        $(impl WriteArgument for $type {
            fn write(&self, writer: &mut Writer<'_>) {
                writer.bits = 0;
                let ($out, $value) = (&mut *writer.out, self);
                $write;
            }
        })*
    };
}

write_argument! {
    u8: |out, value| out.put_u8(*value);
    u16: |out, value| out.put_u16(*value);
    u32: |out, value| out.put_u32(*value);
    u64: |out, value| out.put_u64(*value);
    ShortStr: |out, value| short(out, value.as_bytes());
    Bytes: |out, value| long(out, value);
    FieldTable: |out, value| Writer::new(out).table(value);
}
