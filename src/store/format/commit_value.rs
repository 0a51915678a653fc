//! A commit as bytes: what a replicated log keeps, and what another machine applies to its store without a
//! shard. It holds all that the commit holds, bodies included.
//!
//! ```text
//! commit:    sealed(layout:u8 epoch:varint id:varint durability:u8 operations:varint operation*)
//! operation: kind:u8 and
//!     0 put page           queue level first covered before after bounds records:varint record*
//!     1 remove page        queue level first
//!     2 put watermark      queue level low bytes_settled
//!     3 put block          queue level block size:varint (as in `acks`)
//!     4 remove block       queue level block
//!     5 put delayed        queue delayed_id message
//!     6 remove delayed     queue delayed_id body_id
//!     7 put delayed state  queue clock:u8 count bytes from next_sequence
//!     8 drop queue         queue
//!     9 put record         size:varint key size:varint value
//!    10 remove record      size:varint key
//! bounds:     0:u8 | 1:u8 published_from | 2:u8 published_from expiration_min
//! record:     gap:varint message
//! message:    body_id head_size:varint body_size:varint head body
//! delayed_id: clock:u8 due sequence
//! ```
//! Numbers without a type are varints, but `level`, which is a byte. `covered` is the number of offsets
//! of the page, `after` the bytes beyond `before`, `gap` counts the offsets left out since the record
//! before. `body_id` is 0 for a body that no other message has.

use crate::format::ack_value;
use crate::format::checksummed::{self, Sealing};
use crate::format::cursor::{Cursor, put_varint, varint_size};
use bytes::{BufMut, Bytes};
use forebay_engine::model::{
    BodyId, CommitId, DelayedId, DueClock, Epoch, Level, Message, Offset, QueueId, WallClock,
};
use forebay_engine::operation::{Commit, DelayedState, Durability, Operation, Watermark};
use forebay_engine::page::{ExpiryBounds, Page, Record};
use std::sync::Arc;

/// The layout that this version writes, and the only one so far.
const LAYOUT: u8 = 1;

/// Under which commits are sealed: no value of the store has this key.
const KEY: &[u8] = b"commit";

/// Bytes that an operation takes beside its messages, keys and values, at most: two enumerations and eight
/// varints.
const OPERATION_SIZE: usize = 2 + 8 * 10;

/// Bytes that a message takes beside its head and body, at most: four varints.
const MESSAGE_SIZE: usize = 4 * 10;

/// Why bytes are no commit that can be applied here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A version of the program that is not this one wrote it.
    #[error(
        "a commit has layout {found}, this version knows {LAYOUT}: run the newest version on all nodes"
    )]
    Layout {
        /// What stood there.
        found: u8,
    },
    /// The bytes are not those that were written.
    #[error("a commit is damaged: {0}")]
    Damaged(String),
}

/// The commit as bytes.
#[must_use]
pub fn encode_commit(commit: &Commit) -> Bytes {
    let size = commit.operations.iter().map(size_max).sum::<usize>() + OPERATION_SIZE;
    let mut sealing = Sealing::with_size(size);
    let buffer = sealing.content();
    buffer.put_u8(LAYOUT);
    put_varint(buffer, commit.epoch.0);
    put_varint(buffer, commit.id.0);
    buffer.put_u8(match commit.durability {
        Durability::Written => 0,
        Durability::Synced => 1,
    });
    put_varint(buffer, commit.operations.len() as u64);
    commit.operations.iter().for_each(|operation| put_operation(buffer, operation));
    sealing.finish(KEY)
}

/// The commit that was encoded. Its messages share the memory of `bytes`.
///
/// # Errors
/// When another version wrote it, or the bytes are damaged.
pub fn decode_commit(bytes: &Bytes) -> Result<Commit, CommitError> {
    let content = checksummed::unseal(KEY, bytes).map_err(damaged)?;
    let mut cursor = Cursor::new(content);
    match cursor.octet() {
        Some(LAYOUT) => {}
        found => return Err(CommitError::Layout { found: found.unwrap_or(0) }),
    }
    let (mut commit, count) = header(&mut cursor).ok_or_else(|| damaged("its header"))?;
    for number in 0..count {
        let operation = operation(&mut cursor);
        commit.operations.push(operation.ok_or_else(|| damaged(format!("operation {number}")))?);
    }
    if cursor.is_empty() { Ok(commit) } else { Err(damaged("bytes follow its end")) }
}

fn damaged(what: impl ToString) -> CommitError {
    CommitError::Damaged(what.to_string())
}

/// The commit without its operations, and how many these are.
fn header(cursor: &mut Cursor) -> Option<(Commit, u64)> {
    let (epoch, id) = (Epoch(cursor.varint()?), CommitId(cursor.varint()?));
    let durability = match cursor.octet()? {
        0 => Durability::Written,
        1 => Durability::Synced,
        _ => return None,
    };
    let commit = Commit { id, epoch, operations: Vec::new(), durability };
    Some((commit, cursor.varint()?))
}

/// Bytes that it takes at most: the buffer is made once.
fn size_max(operation: &Operation) -> usize {
    let variable = match operation {
        Operation::PutPage { page, .. } => {
            page.records.iter().map(|record| MESSAGE_SIZE + record.message.size()).sum()
        }
        Operation::PutDelayed { message, .. } => MESSAGE_SIZE + message.size(),
        Operation::PutRecord { key, value } => key.len() + value.len(),
        Operation::RemoveRecord { key } => key.len(),
        // A block grows the buffer where it has more than this.
        _ => 0,
    };
    OPERATION_SIZE + variable
}

fn put_operation(buffer: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::PutPage { queue, level, page } => {
            put_level(buffer, 0, *queue, *level);
            put_page(buffer, page);
        }
        Operation::RemovePage { queue, level, first } => {
            put_level(buffer, 1, *queue, *level);
            put_varint(buffer, first.0);
        }
        Operation::PutWatermark { queue, level, watermark } => {
            put_level(buffer, 2, *queue, *level);
            put_varint(buffer, watermark.low.0);
            put_varint(buffer, watermark.bytes_settled);
        }
        Operation::PutBlock { queue, level, block, content } => {
            put_level(buffer, 3, *queue, *level);
            put_varint(buffer, *block);
            put_bytes(buffer, &ack_value::block_content(content));
        }
        Operation::RemoveBlock { queue, level, block } => {
            put_level(buffer, 4, *queue, *level);
            put_varint(buffer, *block);
        }
        Operation::PutDelayed { queue, id, message } => {
            put_delayed_id(buffer, 5, *queue, *id);
            put_message(buffer, message);
        }
        Operation::RemoveDelayed { queue, id, body } => {
            put_delayed_id(buffer, 6, *queue, *id);
            put_varint(buffer, body.unwrap_or_default().0);
        }
        Operation::PutDelayedState { queue, clock, state } => {
            put_queue(buffer, 7, *queue);
            buffer.put_u8(clock.number());
            put_varint(buffer, state.count);
            put_varint(buffer, state.bytes);
            put_varint(buffer, state.from.0);
            put_varint(buffer, state.next_sequence);
        }
        Operation::DropQueue { queue } => put_queue(buffer, 8, *queue),
        Operation::PutRecord { key, value } => {
            buffer.put_u8(9);
            put_bytes(buffer, key);
            put_bytes(buffer, value);
        }
        Operation::RemoveRecord { key } => {
            buffer.put_u8(10);
            put_bytes(buffer, key);
        }
    }
}

fn put_queue(buffer: &mut Vec<u8>, kind: u8, queue: QueueId) {
    buffer.put_u8(kind);
    put_varint(buffer, queue.0);
}

fn put_level(buffer: &mut Vec<u8>, kind: u8, queue: QueueId, level: Level) {
    put_queue(buffer, kind, queue);
    buffer.put_u8(level.0);
}

fn put_delayed_id(buffer: &mut Vec<u8>, kind: u8, queue: QueueId, id: DelayedId) {
    put_queue(buffer, kind, queue);
    buffer.put_u8(id.clock.number());
    put_varint(buffer, id.due.0);
    put_varint(buffer, id.sequence);
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(buffer, bytes.len() as u64);
    buffer.put_slice(bytes);
}

fn put_message(buffer: &mut Vec<u8>, message: &Message) {
    let (head, body) = (message.head(), message.body());
    buffer.reserve(varint_size(u64::MAX) * 3 + head.len() + body.len());
    put_varint(buffer, message.shared_body().unwrap_or_default().0);
    put_varint(buffer, head.len() as u64);
    put_varint(buffer, body.len() as u64);
    buffer.put_slice(head);
    buffer.put_slice(body);
}

fn put_page(buffer: &mut Vec<u8>, page: &Page) {
    put_varint(buffer, page.first.0);
    put_varint(buffer, page.end.0.saturating_sub(page.first.0));
    put_varint(buffer, page.bytes_before);
    put_varint(buffer, page.bytes_after.saturating_sub(page.bytes_before));
    match page.bounds {
        None => buffer.put_u8(0),
        Some(ExpiryBounds { published_from, expiration_min: None }) => {
            buffer.put_u8(1);
            put_varint(buffer, published_from.0);
        }
        Some(ExpiryBounds { published_from, expiration_min: Some(expiration) }) => {
            buffer.put_u8(2);
            put_varint(buffer, published_from.0);
            put_varint(buffer, expiration);
        }
    }
    put_varint(buffer, page.records.len() as u64);
    let mut expected = page.first;
    for Record { offset, message } in &page.records {
        put_varint(buffer, offset.0.saturating_sub(expected.0));
        put_message(buffer, message);
        expected = offset.next();
    }
}

fn operation(cursor: &mut Cursor) -> Option<Operation> {
    Some(match cursor.octet()? {
        0 => {
            let (queue, level) = level(cursor)?;
            Operation::PutPage { queue, level, page: Arc::new(page(cursor)?) }
        }
        1 => {
            let (queue, level) = level(cursor)?;
            Operation::RemovePage { queue, level, first: Offset(cursor.varint()?) }
        }
        2 => {
            let (queue, level) = level(cursor)?;
            let (low, bytes_settled) = (Offset(cursor.varint()?), cursor.varint()?);
            Operation::PutWatermark { queue, level, watermark: Watermark { low, bytes_settled } }
        }
        3 => {
            let (queue, level) = level(cursor)?;
            let block = cursor.varint()?;
            let content = ack_value::decode_block_content(bytes(cursor)?)?;
            Operation::PutBlock { queue, level, block, content }
        }
        4 => {
            let (queue, level) = level(cursor)?;
            Operation::RemoveBlock { queue, level, block: cursor.varint()? }
        }
        5 => {
            let (queue, id) = delayed_id(cursor)?;
            Operation::PutDelayed { queue, id, message: message(cursor)? }
        }
        6 => {
            let (queue, id) = delayed_id(cursor)?;
            let body = Some(BodyId(cursor.varint()?)).filter(|body| *body != BodyId(0));
            Operation::RemoveDelayed { queue, id, body }
        }
        7 => {
            let queue = queue(cursor)?;
            let clock = DueClock::from_number(cursor.octet()?)?;
            let (count, bytes) = (cursor.varint()?, cursor.varint()?);
            let (from, next_sequence) = (WallClock(cursor.varint()?), cursor.varint()?);
            let state = DelayedState { count, bytes, from, next_sequence };
            Operation::PutDelayedState { queue, clock, state }
        }
        8 => Operation::DropQueue { queue: queue(cursor)? },
        9 => Operation::PutRecord { key: bytes(cursor)?, value: bytes(cursor)? },
        10 => Operation::RemoveRecord { key: bytes(cursor)? },
        _ => return None,
    })
}

fn queue(cursor: &mut Cursor) -> Option<QueueId> {
    cursor.varint().map(QueueId)
}

fn level(cursor: &mut Cursor) -> Option<(QueueId, Level)> {
    Some((queue(cursor)?, Level(cursor.octet()?)))
}

fn delayed_id(cursor: &mut Cursor) -> Option<(QueueId, DelayedId)> {
    let queue = queue(cursor)?;
    let clock = DueClock::from_number(cursor.octet()?)?;
    let (due, sequence) = (WallClock(cursor.varint()?), cursor.varint()?);
    Some((queue, DelayedId { clock, due, sequence }))
}

fn bytes(cursor: &mut Cursor) -> Option<Bytes> {
    let size = cursor.varint()?;
    cursor.bytes(size)
}

fn message(cursor: &mut Cursor) -> Option<Message> {
    let (id, head_size, body_size) = (BodyId(cursor.varint()?), cursor.varint()?, cursor.varint()?);
    let (head, body) = (cursor.bytes(head_size)?, cursor.bytes(body_size)?);
    let message = Message::from_stored(head, body).ok()?;
    Some(if id == BodyId(0) { message } else { message.with_shared_body(id) })
}

fn page(cursor: &mut Cursor) -> Option<Page> {
    let (first, covered) = (Offset(cursor.varint()?), cursor.varint()?);
    let end = Offset(first.0.checked_add(covered)?);
    let (bytes_before, bytes_added) = (cursor.varint()?, cursor.varint()?);
    let bytes_after = bytes_before.checked_add(bytes_added)?;
    let bounds = match cursor.octet()? {
        0 => None,
        bounds @ (1 | 2) => Some(ExpiryBounds {
            published_from: WallClock(cursor.varint()?),
            expiration_min: if bounds == 2 { Some(cursor.varint()?) } else { None },
        }),
        _ => return None,
    };
    let count = cursor.varint()?;
    let mut records = Vec::new();
    let mut expected = first;
    for _ in 0..count {
        let offset = Offset(expected.0.checked_add(cursor.varint()?)?);
        if offset >= end {
            return None;
        }
        records.push(Record { offset, message: message(cursor)? });
        expected = offset.next();
    }
    (covered > 0).then_some(Page { first, end, bytes_before, bytes_after, bounds, records })
}

#[cfg(test)]
mod tests;
