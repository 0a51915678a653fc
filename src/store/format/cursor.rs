//! Reading a value from its start, sharing its memory; and integers that take as many bytes as
//! they need (seven bits each, lowest first, the high bit on all but the last).

use bytes::{Buf, BufMut, Bytes};

const VARINT_SIZE_MAX: usize = 10;

/// What is left of a value.
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(value: Bytes) -> Self {
        Self { rest: value }
    }

    pub(crate) fn bytes(&mut self, length: u64) -> Option<Bytes> {
        let length = usize::try_from(length).ok()?;
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    pub(crate) fn integer(&mut self) -> Option<u64> {
        self.rest.try_get_u64().ok()
    }

    pub(crate) fn octet(&mut self) -> Option<u8> {
        self.rest.try_get_u8().ok()
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (position, byte) in self.rest.iter().take(VARINT_SIZE_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * position);
            if shifted >> (7 * position) != bits {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                self.rest.advance(position + 1);
                return Some(value);
            }
        }
        None
    }

    /// Takes everything that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Bytes that [`put_varint`] writes.
pub(crate) fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(crate) fn put_varint(buffer: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back_and_take_the_size_foretold(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut buffer = Vec::new();
            put_varint(&mut buffer, value);
            prop_assert_eq!(buffer.len(), varint_size(value));
            let mut cursor = Cursor::new(buffer.into());
            prop_assert_eq!(cursor.varint(), Some(value));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(bytes.into());
            while cursor.varint().is_some() {}
            let _ = (cursor.octet(), cursor.integer(), cursor.bytes(3));
        }
    }
}
