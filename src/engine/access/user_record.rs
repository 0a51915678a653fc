//! Users as records of the store.
//!
//! ```text
//! key    'u' name
//! value  version:u8 algorithm:u8 hash:long tags:long
//!
//! algorithm: 0 none, 1 argon2id, 2 RabbitMQ SHA-256, 3 RabbitMQ SHA-512; tags: separated by
//! commas; long: length:u16 bytes, integers big endian
//! ```

use super::record::{AccessRecordError, take};
use super::{PasswordHash, User};
use crate::operation::Operation;
use bytes::{BufMut, Bytes, BytesMut};
use forebay_wire::ShortStr;

const VERSION: u8 = 1;
const KIND: u8 = b'u';

/// Bytes of a hash, or of all tags together, at most.
const FIELD_LENGTH_MAX: usize = u16::MAX as usize;

pub(super) fn is_ours(key: &[u8]) -> bool {
    key.first() == Some(&KIND)
}

pub(super) fn put(name: &ShortStr, user: &User) -> Operation {
    let (algorithm, hash) = match &user.password {
        PasswordHash::Disabled => (0, ""),
        PasswordHash::Argon2id(hash) => (1, hash.as_str()),
        PasswordHash::RabbitmqSha256(hash) => (2, hash.as_str()),
        PasswordHash::RabbitmqSha512(hash) => (3, hash.as_str()),
    };
    let mut value = BytesMut::from_iter([VERSION, algorithm]);
    for text in [hash, user.tags.join(",").as_str()] {
        debug_assert!(text.len() <= FIELD_LENGTH_MAX, "the server bounds both far below");
        value.put_u16(text.len() as u16);
        value.put_slice(text.as_bytes());
    }
    Operation::PutRecord { key: key(name), value: value.freeze() }
}

pub(super) fn remove(name: &ShortStr) -> Operation {
    Operation::RemoveRecord { key: key(name) }
}

fn key(name: &ShortStr) -> Bytes {
    let mut key = BytesMut::from_iter([KIND]);
    key.put_slice(name.as_bytes());
    key.freeze()
}

/// Name and user of a record.
pub(super) fn read(key: &Bytes, value: &Bytes) -> Result<(ShortStr, User), AccessRecordError> {
    read_parts(key, value)
        .map_err(|flaw| AccessRecordError { key: key.escape_ascii().to_string(), flaw })
}

fn read_parts(key: &Bytes, value: &Bytes) -> Result<(ShortStr, User), String> {
    let damaged = || "damaged".to_owned();
    let version = value.first().copied().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(format!(
            "has version {version}, expected {VERSION}: written by a newer version"
        ));
    }
    let name = ShortStr::try_from(key.slice(1..)).map_err(|_| damaged())?;
    let algorithm = value.get(1).copied().ok_or_else(damaged)?;
    let mut rest = value.slice(2..);
    let mut text = || {
        let bytes = take(&mut rest, 2).ok_or_else(damaged)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| damaged())
    };
    let (hash, tags) = (text()?, text()?);
    if !rest.is_empty() {
        return Err(damaged());
    }
    let password = match algorithm {
        0 => PasswordHash::Disabled,
        1 => PasswordHash::Argon2id(hash),
        2 => PasswordHash::RabbitmqSha256(hash),
        3 => PasswordHash::RabbitmqSha512(hash),
        _ => return Err(damaged()),
    };
    let tags = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    Ok((name, User { password, tags }))
}
