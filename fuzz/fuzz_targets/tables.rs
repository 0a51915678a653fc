//! Any octets where a field table or message properties are expected: what was read is read again
//! from what is written.
#![cfg_attr(fuzzing, no_main)]

use bytes::{Bytes, BytesMut};
use forebay_wire::{FieldTable, RawProperties};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| run(octets));

/// # Panics
/// When a promise is broken.
pub fn run(octets: &[u8]) {
    let octets = Bytes::copy_from_slice(octets);
    for table in
        [FieldTable::decode(&octets), FieldTable::decode_fields(&octets)].into_iter().flatten()
    {
        let mut written = BytesMut::new();
        table.encode(&mut written);
        let again = FieldTable::decode(&written.freeze()).expect("what was written");
        assert_eq!(format!("{again:?}"), format!("{table:?}"));
        assert_eq!(format!("{:?}", table.detached()), format!("{table:?}"));
    }
    if let Ok(raw) = RawProperties::parse(octets) {
        let _ = (raw.delivery_mode(), raw.priority(), raw.expiration(), raw.reply_to());
        let properties = raw.decode();
        assert_eq!(properties.priority, raw.priority());
        assert_eq!(properties.headers.is_some(), raw.has_headers());
        let again = RawProperties::parse(properties.encode().into_bytes()).expect("our own octets");
        assert_eq!(format!("{:?}", again.decode()), format!("{properties:?}"));
    }
}
