//! Permissions as records of the store.
//!
//! ```text
//! key    'a' user:short vhost:short
//! value  version:u8 configure:long write:long read:long
//!
//! short: length:u8 bytes; long: length:u16 bytes; integers big endian
//! ```

use super::{Access, Permission};
use crate::operation::Operation;
use bytes::{BufMut, Bytes, BytesMut};
use forebay_wire::ShortStr;

const VERSION: u8 = 1;
const KIND: u8 = b'a';

/// A record of a permission or a user that can't be taken: damaged, or written by a newer version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access record {key}: {flaw}")]
pub struct AccessRecordError {
    /// The record's key, escaped for people.
    pub key: String,
    /// What is wrong with it.
    pub flaw: String,
}

/// Whether the record tells of a permission.
pub(super) fn is_ours(key: &[u8]) -> bool {
    key.first() == Some(&KIND)
}

pub(super) fn put(user: &ShortStr, vhost: &ShortStr, permission: &Permission) -> Operation {
    let mut value = BytesMut::from_iter([VERSION]);
    for access in [Access::Configure, Access::Write, Access::Read] {
        let text = permission.text(access);
        // A pattern's length is bounded far below.
        value.put_u16(text.len() as u16);
        value.put_slice(text.as_bytes());
    }
    Operation::PutRecord { key: key(user, vhost), value: value.freeze() }
}

pub(super) fn remove(user: &ShortStr, vhost: &ShortStr) -> Operation {
    Operation::RemoveRecord { key: key(user, vhost) }
}

fn key(user: &ShortStr, vhost: &ShortStr) -> Bytes {
    let mut key = BytesMut::from_iter([KIND]);
    for name in [user, vhost] {
        key.put_u8(name.len() as u8);
        key.put_slice(name.as_bytes());
    }
    key.freeze()
}

/// User, virtual host and permission of a record.
pub(super) fn read(
    key: &Bytes,
    value: &Bytes,
) -> Result<(ShortStr, ShortStr, Permission), AccessRecordError> {
    read_parts(key, value)
        .map_err(|flaw| AccessRecordError { key: key.escape_ascii().to_string(), flaw })
}

fn read_parts(key: &Bytes, value: &Bytes) -> Result<(ShortStr, ShortStr, Permission), String> {
    let damaged = || "damaged".to_owned();
    match value.first() {
        Some(&VERSION) => {}
        Some(found) => {
            return Err(format!(
                "has version {found}, expected {VERSION}: written by a newer version"
            ));
        }
        None => return Err(damaged()),
    }
    let mut rest = key.slice(1..);
    let user = take(&mut rest, 1).and_then(|name| ShortStr::try_from(name).ok());
    let vhost = take(&mut rest, 1).and_then(|name| ShortStr::try_from(name).ok());
    let (Some(user), Some(vhost), true) = (user, vhost, rest.is_empty()) else {
        return Err(damaged());
    };
    let mut rest = value.slice(1..);
    let patterns = [take(&mut rest, 2), take(&mut rest, 2), take(&mut rest, 2)];
    let [Some(configure), Some(write), Some(read)] = &patterns else { return Err(damaged()) };
    if !rest.is_empty() {
        return Err(damaged());
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| damaged());
    let permission = Permission::new(text(configure)?, text(write)?, text(read)?);
    Ok((user, vhost, permission.map_err(|error| format!("damaged: {error}"))?))
}

/// What stands behind a length of so many bytes.
pub(super) fn take(rest: &mut Bytes, length_bytes: usize) -> Option<Bytes> {
    let (length, _) = rest.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if rest.len() < length_bytes + length {
        return None;
    }
    let _ = rest.split_to(length_bytes);
    Some(rest.split_to(length))
}
