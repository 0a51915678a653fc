//! A page as a value. Encoded into one buffer of the right size; decoded into messages that share
//! the value's memory.
//!
//! ```text
//! page:   first:u64 end:u64 bytes_before:u64 bytes_after:u64 [bounds] count:varint record*
//! bounds: published_from:u64 expiration_min:u64 (ms; NO_EXPIRATION: no message has one)
//! record: gap:varint head_size:varint body:varint head
//!         (inline body | body_checksum:u64 | body_id:u64 body_checksum:u64)
//! ```
//! The bounds are there when [`HAS_BOUNDS`] is set in `bytes_before`: pages of older programs have none.
//! `gap` counts the offsets left out since the record before. `body` is twice the body's size, plus
//! one when the body is a value of its own, in `bodies`: as it came, its checksum standing here, so
//! that a large body is not copied. With [`SHARED`] besides, other messages have it too, and it stands
//! under its identifier.

use crate::format::checksummed::{self, Flaw, Sealing};
use crate::format::cursor::{Cursor, put_varint, varint_size};
use crate::format::key;
use crate::limits::BODY_INLINE_SIZE_MAX;
use bytes::{BufMut, Bytes};
use forebay_engine::model::{BodyId, Level, Message, Offset, QueueId, WallClock};
use forebay_engine::page::{ExpiryBounds, Page, Record};
use std::collections::BTreeSet;

const HEADER_SIZE: usize = 4 * 8;

const BOUNDS_SIZE: usize = 2 * 8;

const NO_EXPIRATION: u64 = u64::MAX;

/// In `bytes_before`: bounds follow. Beyond every number of bytes that can stand in a store.
const HAS_BOUNDS: u64 = 1 << 63;

/// In the size of a body: other messages have it too. Beyond every size that a body can have.
const SHARED: u64 = 1 << 48;

/// The bodies of a page that are values of their own: key and body.
pub(crate) fn outside_bodies(
    queue: QueueId,
    level: Level,
    page: &Page,
) -> impl Iterator<Item = (Bytes, Bytes)> {
    page.records.iter().filter(|record| is_outside(&record.message)).map(move |record| {
        let key = key::body(queue, level, page.first, record.offset);
        (key, record.message.body().clone())
    })
}

/// Whether the body is a value of its own that belongs to this message alone.
fn is_outside(message: &Message) -> bool {
    message.shared_body().is_none() && message.body().len() > BODY_INLINE_SIZE_MAX
}

pub(crate) fn encode(queue: QueueId, level: Level, page: &Page) -> Bytes {
    let mut sealing = Sealing::with_size(content_size(page));
    let buffer = sealing.content();
    put_header(buffer, page, page.records.len());
    let mut expected = page.first;
    for Record { offset, message } in &page.records {
        let (head, body) = (message.head(), message.body());
        put_varint(buffer, offset.0.saturating_sub(expected.0));
        put_varint(buffer, head.len() as u64);
        put_varint(buffer, body_field(message));
        buffer.put_slice(head);
        if let Some(id) = message.shared_body() {
            buffer.put_u64(id.0);
            buffer.put_u64(checksummed::checksum(&key::shared_body(id), body));
        } else if is_outside(message) {
            let key = key::body(queue, level, page.first, *offset);
            buffer.put_u64(checksummed::checksum(&key, body));
        } else {
            buffer.put_slice(body);
        }
        expected = offset.next();
    }
    sealing.finish(&key::page(queue, level, page.first))
}

fn put_header(buffer: &mut Vec<u8>, page: &Page, records: usize) {
    buffer.put_u64(page.first.0);
    buffer.put_u64(page.end.0);
    buffer.put_u64(page.bytes_before | page.bounds.map_or(0, |_| HAS_BOUNDS));
    buffer.put_u64(page.bytes_after);
    if let Some(bounds) = page.bounds {
        buffer.put_u64(bounds.published_from.0);
        buffer.put_u64(bounds.expiration_min.unwrap_or(NO_EXPIRATION));
    }
    put_varint(buffer, records as u64);
}

fn body_field(message: &Message) -> u64 {
    let size = (message.body().len() as u64) << 1;
    match message.shared_body() {
        Some(_) => size | SHARED | 1,
        None => size | u64::from(is_outside(message)),
    }
}

fn content_size(page: &Page) -> usize {
    let bounds = page.bounds.map_or(0, |_| BOUNDS_SIZE);
    let mut size = HEADER_SIZE + bounds + varint_size(page.records.len() as u64);
    let mut expected = page.first;
    for Record { offset, message } in &page.records {
        let head = message.head().len();
        size += varint_size(offset.0.saturating_sub(expected.0));
        size += varint_size(head as u64) + varint_size(body_field(message)) + head;
        size += match message.shared_body() {
            Some(_) => 16,
            None if is_outside(message) => 8,
            None => message.body().len(),
        };
        expected = offset.next();
    }
    size
}

/// Why a page can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageFlaw<E> {
    #[error("{0}")]
    Flaw(Flaw),
    #[error("the message at offset {offset} has a damaged head: {flaw}")]
    Head { offset: Offset, flaw: forebay_engine::model::MessageHeadError },
    #[error("the body of the message at offset {offset} is missing")]
    BodyMissing { offset: Offset, size: u64 },
    #[error("the body of the message at offset {offset} does not match its checksum")]
    BodyChecksum { offset: Offset, size: u64 },
    #[error("{0}")]
    Fetch(E),
}

/// What a page says of a body that is a value of its own.
pub(crate) struct Outside {
    pub(crate) size: u64,
    pub(crate) checksum: u64,
}

impl Outside {
    /// The body, if what stands under `key` is it.
    pub(crate) fn checked(&self, key: &[u8], body: Option<Bytes>) -> Result<Bytes, BodyFlaw> {
        let body = body.ok_or(BodyFlaw::Missing)?;
        if self.is_of(body.len() as u64, checksummed::checksum(key, &body)) {
            Ok(body)
        } else {
            Err(BodyFlaw::Checksum)
        }
    }

    pub(crate) fn is_of(&self, size: u64, checksum: u64) -> bool {
        (self.size, self.checksum) == (size, checksum)
    }
}

/// Why a body can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFlaw {
    Missing,
    Checksum,
}

/// Decodes the page that stands under `first`; `fetch` gets bodies that are values of their own.
pub(crate) fn decode<E>(
    queue: QueueId,
    level: Level,
    first: Offset,
    value: &Bytes,
    mut fetch: impl FnMut(&[u8]) -> Result<Option<Bytes>, E>,
) -> Result<Page, PageFlaw<E>> {
    let fetch = |key: &[u8], outside: &Outside| Ok(outside.checked(key, fetch(key)?));
    decode_without(queue, level, first, value, fetch, Err)
}

/// Decodes it without the messages whose bodies, values of their own, are damaged: each is handed to
/// `lose`, which may give up.
pub(crate) fn decode_without<E>(
    queue: QueueId,
    level: Level,
    first: Offset,
    value: &Bytes,
    mut fetch: impl FnMut(&[u8], &Outside) -> Result<Result<Bytes, BodyFlaw>, E>,
    mut lose: impl FnMut(PageFlaw<E>) -> Result<(), PageFlaw<E>>,
) -> Result<Page, PageFlaw<E>> {
    let content =
        checksummed::unseal(&key::page(queue, level, first), value).map_err(PageFlaw::Flaw)?;
    let mut cursor = Cursor::new(content);
    let header = decode_header(&mut cursor).filter(|(page, _)| page.first == first);
    let (mut page, count) = header.ok_or(PageFlaw::Flaw(Flaw::Layout("page header")))?;
    let mut expected = first;
    for _ in 0..count {
        let raw = decode_record(&mut cursor, expected).filter(|raw| raw.offset < page.end);
        let RawRecord { offset, head, body } =
            raw.ok_or(PageFlaw::Flaw(Flaw::Layout("page record")))?;
        expected = offset.next();
        let (body, id) = match body {
            RawBody::Inline(body) => (body, None),
            RawBody::Outside { outside, id } => {
                let own = || key::body(queue, level, first, offset);
                let key = id.map_or_else(own, key::shared_body);
                let size = outside.size;
                match fetch(&key, &outside).map_err(PageFlaw::Fetch)? {
                    Ok(body) => (body, id),
                    Err(BodyFlaw::Missing) => {
                        lose(PageFlaw::BodyMissing { offset, size })?;
                        continue;
                    }
                    Err(BodyFlaw::Checksum) => {
                        lose(PageFlaw::BodyChecksum { offset, size })?;
                        continue;
                    }
                }
            }
        };
        let message =
            Message::from_stored(head, body).map_err(|flaw| PageFlaw::Head { offset, flaw })?;
        let message = match id {
            Some(id) => message.with_shared_body(id),
            None => message,
        };
        page.records.push(Record { offset, message });
    }
    if cursor.is_empty() { Ok(page) } else { Err(PageFlaw::Flaw(Flaw::Layout("page end"))) }
}

/// The value of the same page without the messages at these offsets. What is left stands in it as it was,
/// so that no body is needed.
pub(crate) fn without(
    queue: QueueId,
    level: Level,
    first: Offset,
    value: &Bytes,
    lost: &BTreeSet<Offset>,
) -> Result<Bytes, Flaw> {
    let key = key::page(queue, level, first);
    let mut cursor = Cursor::new(checksummed::unseal(&key, value)?);
    let (page, count) = decode_header(&mut cursor).ok_or(Flaw::Layout("page header"))?;
    let mut records = Vec::new();
    let mut expected = first;
    for _ in 0..count {
        let raw = decode_record(&mut cursor, expected).ok_or(Flaw::Layout("page record"))?;
        expected = raw.offset.next();
        if !lost.contains(&raw.offset) {
            records.push(raw);
        }
    }
    let mut sealing = Sealing::with_size(value.len());
    let buffer = sealing.content();
    put_header(buffer, &page, records.len());
    let mut expected = first;
    for RawRecord { offset, head, body } in records {
        put_varint(buffer, offset.0.saturating_sub(expected.0));
        put_varint(buffer, head.len() as u64);
        match body {
            RawBody::Inline(body) => {
                put_varint(buffer, (body.len() as u64) << 1);
                buffer.put_slice(&head);
                buffer.put_slice(&body);
            }
            RawBody::Outside { outside: Outside { size, checksum }, id } => {
                put_varint(buffer, size << 1 | 1 | id.map_or(0, |_| SHARED));
                buffer.put_slice(&head);
                if let Some(id) = id {
                    buffer.put_u64(id.0);
                }
                buffer.put_u64(checksum);
            }
        }
        expected = offset.next();
    }
    Ok(sealing.finish(&key))
}

/// What a recovery asks of a level's last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) end: Offset,
    pub(crate) bytes_after: u64,
    pub(crate) bounds: Option<ExpiryBounds>,
}

/// The page without its records.
pub(crate) fn decode_extent(
    queue: QueueId,
    level: Level,
    first: Offset,
    value: &Bytes,
) -> Result<Extent, Flaw> {
    let content = checksummed::unseal(&key::page(queue, level, first), value)?;
    decode_header(&mut Cursor::new(content))
        .filter(|(page, _)| page.first == first)
        .map(|(Page { end, bytes_after, bounds, .. }, _)| Extent { end, bytes_after, bounds })
        .ok_or(Flaw::Layout("page header"))
}

fn decode_header(cursor: &mut Cursor) -> Option<(Page, u64)> {
    let (first, end) = (Offset(cursor.integer()?), Offset(cursor.integer()?));
    let (bytes_before, bytes_after) = (cursor.integer()?, cursor.integer()?);
    let bounds = match bytes_before & HAS_BOUNDS {
        0 => None,
        _ => Some(ExpiryBounds {
            published_from: WallClock(cursor.integer()?),
            expiration_min: Some(cursor.integer()?).filter(|ttl| *ttl != NO_EXPIRATION),
        }),
    };
    let bytes_before = bytes_before & !HAS_BOUNDS;
    let records = Vec::new();
    let page = Page { first, end, bytes_before, bytes_after, bounds, records };
    let count = cursor.varint()?;
    let covered = page.end.0.checked_sub(page.first.0)?;
    (covered > 0 && count <= covered).then_some((page, count))
}

struct RawRecord {
    offset: Offset,
    head: Bytes,
    body: RawBody,
}

enum RawBody {
    Inline(Bytes),
    /// `id`: of a body that other messages have too.
    Outside {
        outside: Outside,
        id: Option<BodyId>,
    },
}

fn decode_record(cursor: &mut Cursor, expected: Offset) -> Option<RawRecord> {
    let offset = Offset(expected.0.checked_add(cursor.varint()?)?);
    let head_size = cursor.varint()?;
    let body_field = cursor.varint()?;
    let head = cursor.bytes(head_size)?;
    let size = (body_field & !SHARED) >> 1;
    let body = if body_field & 1 == 0 {
        RawBody::Inline(cursor.bytes(body_field >> 1)?)
    } else {
        let id = match body_field & SHARED {
            0 => None,
            _ => Some(BodyId(cursor.integer()?)),
        };
        RawBody::Outside { outside: Outside { size, checksum: cursor.integer()? }, id }
    };
    Some(RawRecord { offset, head, body })
}

#[cfg(test)]
mod tests;
