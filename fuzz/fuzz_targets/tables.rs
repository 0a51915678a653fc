//! Any bytes where a field table or message properties are expected: what was read is read again
//! from what is written.
#![cfg_attr(fuzzing, no_main)]

use bytes::{Bytes, BytesMut};
use forebay_wire::{FieldTable, RawProperties};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// # Panics
/// When a promise is broken.
pub fn run(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    for table in
        [FieldTable::decode(&bytes), FieldTable::decode_fields(&bytes)].into_iter().flatten()
    {
        let mut written = BytesMut::new();
        table.encode(&mut written);
        let again = FieldTable::decode(&written.freeze()).expect("what was written");
        assert_eq!(format!("{again:?}"), format!("{table:?}"));
        assert_eq!(format!("{:?}", table.detached()), format!("{table:?}"));
    }
    if let Ok(raw) = RawProperties::parse(bytes) {
        let _ = (raw.delivery_mode(), raw.priority(), raw.expiration(), raw.reply_to());
        let properties = raw.decode();
        assert_eq!(properties.priority, raw.priority());
        assert_eq!(properties.headers.is_some(), raw.has_headers());
        let again = RawProperties::parse(properties.encode().into_bytes()).expect("our own bytes");
        assert_eq!(format!("{:?}", again.decode()), format!("{properties:?}"));
    }
}
