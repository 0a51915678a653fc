//! The mark that it was decided who the first user of a broker is: the default user is made once,
//! and when an operator deletes it, it stays deleted.
//!
//! ```text
//! key    'f'
//! value  version:u8
//! ```

use super::record::AccessRecordError;
use crate::operation::Operation;
use bytes::Bytes;

const VERSION: u8 = 1;
const KEY: &[u8] = b"f";

pub(super) fn is_ours(key: &[u8]) -> bool {
    key.first() == KEY.first()
}

pub(super) fn put() -> Operation {
    Operation::PutRecord { key: Bytes::from_static(KEY), value: Bytes::from_static(&[VERSION]) }
}

/// Checks that the record is the mark.
pub(super) fn read(key: &Bytes, value: &Bytes) -> Result<(), AccessRecordError> {
    let flaw = match (&**key, &**value) {
        (KEY, [VERSION]) => return Ok(()),
        (KEY, [version, ..]) if *version != VERSION => {
            format!("has version {version}, expected {VERSION}: written by a newer version")
        }
        _ => "damaged".to_owned(),
    };
    Err(AccessRecordError { key: key.escape_ascii().to_string(), flaw })
}
