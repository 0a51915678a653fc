//! The keys of the keyspaces. All integers are big endian, so that keys sort as what they name.
//!
//! ```text
//! pages:  shard:u16 queue:u64 level:u8 [first:u64]              without first: the level's anchor
//!         shard:u16 NO_QUEUE:u64 0:u8 index:u64 0:u8            an entry of the replicated log
//! bodies: shard:u16 queue:u64 level:u8 first:u64 offset:u64     first: of the page it belongs to
//!         shard:u16 NO_QUEUE:u64 body:u64                      a body of several messages
//! acks:   shard:u16 queue:u64 level:u8 kind:u8 [block:u64]      kind 0 level, 1 watermark, 2 block
//! meta:   shard:u16 kind:u8 rest                               kind 0 progress, 1 dropped queue
//!                                                              (queue:u64), 2 record (its key),
//!                                                              3 body count (body:u64), 4 page bodies
//!                                                              (queue:u64 level:u8 first:u64), 5 delayed
//!                                                              state (queue:u64 clock:u8), 6 vote, 7 cut
//!                                                              of the log, 8 applied, 9 unfinished
//!                                                              snapshot
//! delayed: shard:u16 queue:u64 clock:u8 due:u64 sequence:u64
//! ```
//! There is one shard, number 0. No shard has the number of [`HEARTBEAT_KEY`]; [`NO_QUEUE`] is the number of no
//! queue. Kinds 6 to 9 and entries are there where the shard has replicas on other machines.

use bytes::{BufMut, Bytes};
use forebay_engine::model::{BodyId, DelayedId, DueClock, Level, Offset, QueueId, WallClock};

const SHARD: u16 = 0;
const LEVEL_KEY_SIZE: usize = 2 + 8 + 1;
const PAGE_KEY_SIZE: usize = LEVEL_KEY_SIZE + 8;
const BODY_KEY_SIZE: usize = PAGE_KEY_SIZE + 8;
const LOG_ENTRY_KEY_SIZE: usize = PAGE_KEY_SIZE + 1;
/// Longer than every key but those of records, whose third byte is lower.
const SHARD_LAST_SIZE: usize = BODY_KEY_SIZE + 1;

/// Written into every keyspace when tables were dropped; names nothing.
pub(crate) const HEARTBEAT_KEY: &[u8] = &[0xff, 0xff, b'h'];

/// What a key of `acks` names within its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckKind {
    Level,
    Watermark,
    Block(u64),
}

fn level_prefix(queue: QueueId, level: Level, capacity: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(capacity);
    key.put_u16(SHARD);
    key.put_u64(queue.0);
    key.put_u8(level.0);
    key
}

pub(crate) fn page(queue: QueueId, level: Level, first: Offset) -> Bytes {
    let mut key = level_prefix(queue, level, PAGE_KEY_SIZE);
    key.put_u64(first.0);
    key.into()
}

pub(crate) fn body(queue: QueueId, level: Level, first: Offset, offset: Offset) -> Bytes {
    let mut key = level_prefix(queue, level, BODY_KEY_SIZE);
    key.put_u64(first.0);
    key.put_u64(offset.0);
    key.into()
}

/// Stands in the place of a queue's number in keys of what belongs to no queue.
const NO_QUEUE: QueueId = QueueId(u64::MAX);
const SHARED_BODY_KEY_SIZE: usize = 2 + 8 + 8;

pub(crate) fn shared_body(body: BodyId) -> Bytes {
    let mut key = Vec::with_capacity(SHARED_BODY_KEY_SIZE);
    key.put_u16(SHARD);
    key.put_u64(NO_QUEUE.0);
    key.put_u64(body.0);
    key.into()
}

/// The first and the last key that a body of several messages can have.
pub(crate) fn shared_bodies_range() -> (Bytes, Bytes) {
    (shared_body(BodyId(0)), shared_body(BodyId(u64::MAX)))
}

pub(crate) fn parse_shared_body(key: &[u8]) -> Option<BodyId> {
    let id = key.strip_prefix(&SHARD.to_be_bytes())?.strip_prefix(&NO_QUEUE.0.to_be_bytes())?;
    Some(BodyId(u64::from_be_bytes(id.try_into().ok()?)))
}

/// An entry of the replicated log. Longer than the key of a page: it is none.
pub(crate) fn log_entry(index: u64) -> Bytes {
    let mut key = level_prefix(NO_QUEUE, Level(0), LOG_ENTRY_KEY_SIZE);
    key.put_u64(index);
    key.put_u8(0);
    key.into()
}

pub(crate) fn parse_log_entry(key: &[u8]) -> Option<u64> {
    match parse_level(key)? {
        (NO_QUEUE, Level(0), [index @ .., 0]) => Some(u64::from_be_bytes(index.try_into().ok()?)),
        _ => None,
    }
}

/// What sorts before all keys of the shard, and what sorts behind them.
pub(crate) fn shard_range() -> (Bytes, Bytes) {
    let mut last = SHARD.to_be_bytes().to_vec();
    last.resize(SHARD_LAST_SIZE, u8::MAX);
    (Bytes::copy_from_slice(&SHARD.to_be_bytes()), last.into())
}

pub(crate) fn ack(queue: QueueId, level: Level, kind: AckKind) -> Bytes {
    let mut key = level_prefix(queue, level, LEVEL_KEY_SIZE + 9);
    match kind {
        AckKind::Level => key.put_u8(0),
        AckKind::Watermark => key.put_u8(1),
        AckKind::Block(block) => {
            key.put_u8(2);
            key.put_u64(block);
        }
    }
    key.into()
}

/// The anchor of a page's level: a key that names no page and sorts before all of the level's pages.
pub(crate) fn level_anchor(page: &Bytes) -> Bytes {
    page.slice(..LEVEL_KEY_SIZE.min(page.len()))
}

/// The first and the last key that `pages`, `bodies` or `acks` can hold of a queue.
pub(crate) fn queue_range(queue: QueueId) -> (Bytes, Bytes) {
    let mut last = level_prefix(queue, Level(u8::MAX), BODY_KEY_SIZE + 1);
    last.resize(BODY_KEY_SIZE + 1, u8::MAX);
    (level_prefix(queue, Level(0), LEVEL_KEY_SIZE).into(), last.into())
}

/// The first and the last key that `bodies` can hold of the pages `first..=last`.
pub(crate) fn bodies_range(
    queue: QueueId,
    level: Level,
    first: Offset,
    last: Offset,
) -> (Bytes, Bytes) {
    (body(queue, level, first, Offset(0)), body(queue, level, last, Offset(u64::MAX)))
}

pub(crate) fn parse_page(key: &[u8]) -> Option<(QueueId, Level, Offset)> {
    let (queue, level, rest) = parse_level(key)?;
    Some((queue, level, Offset(u64::from_be_bytes(rest.try_into().ok()?))))
}

/// Whether a key is laid out as those of `bodies` are.
pub(crate) fn is_body(key: &[u8]) -> bool {
    let is_own = key.len() == BODY_KEY_SIZE && key.starts_with(&SHARD.to_be_bytes());
    is_own || parse_shared_body(key).is_some()
}

pub(crate) fn parse_ack(key: &[u8]) -> Option<(QueueId, Level, AckKind)> {
    let (queue, level, rest) = parse_level(key)?;
    let kind = match rest {
        [0] => AckKind::Level,
        [1] => AckKind::Watermark,
        [2, block @ ..] => AckKind::Block(u64::from_be_bytes(block.try_into().ok()?)),
        _ => return None,
    };
    Some((queue, level, kind))
}

/// The level that a key of `pages`, `bodies` or `acks` belongs to; of a heartbeat, what sorts last.
pub(crate) fn level_of(key: &[u8]) -> Option<(QueueId, Level)> {
    if key == HEARTBEAT_KEY {
        return Some((QueueId(u64::MAX), Level(u8::MAX)));
    }
    parse_level(key).map(|(queue, level, _)| (queue, level))
}

fn parse_level(key: &[u8]) -> Option<(QueueId, Level, &[u8])> {
    let (shard, rest) = key.split_first_chunk()?;
    let (queue, rest) = rest.split_first_chunk()?;
    let (level, rest) = rest.split_first()?;
    (u16::from_be_bytes(*shard) == SHARD).then_some((
        QueueId(u64::from_be_bytes(*queue)),
        Level(*level),
        rest,
    ))
}

/// A delayed message.
pub(crate) fn delayed(queue: QueueId, id: DelayedId) -> Bytes {
    let mut key = level_prefix(queue, Level(id.clock.number()), LEVEL_KEY_SIZE + 2 * 8);
    key.put_u64(id.due.0);
    key.put_u64(id.sequence);
    key.into()
}

/// The first and the last key of a queue's delayed messages.
pub(crate) fn delayed_of(queue: QueueId) -> (Bytes, Bytes) {
    let [first, last] = DueClock::ALL;
    (delayed(queue, DelayedId::lowest(first)), delayed(queue, DelayedId::highest(last)))
}

pub(crate) fn parse_delayed(key: &[u8]) -> Option<(QueueId, DelayedId)> {
    let (queue, clock, rest) = parse_level(key)?;
    let clock = DueClock::from_number(clock.0)?;
    let (due, sequence) = rest.split_first_chunk()?;
    let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
    let due = WallClock(u64::from_be_bytes(*due));
    Some((queue, DelayedId { clock, due, sequence }))
}

/// What a key of `meta` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaKind {
    Progress,
    DroppedQueue,
    Record,
    BodyCount,
    PageBodies,
    DelayedState,
    Vote,
    LogCut,
    Applied,
    UnfinishedSnapshot,
}

/// What this node has voted for.
pub(crate) fn vote() -> Bytes {
    meta(MetaKind::Vote, &[])
}

/// Up to where the replicated log was cut off.
pub(crate) fn log_cut() -> Bytes {
    meta(MetaKind::LogCut, &[])
}

/// Up to where the replicated log is applied.
pub(crate) fn applied() -> Bytes {
    meta(MetaKind::Applied, &[])
}

/// What is there while a snapshot takes the place of what was stored.
pub(crate) fn unfinished_snapshot() -> Bytes {
    meta(MetaKind::UnfinishedSnapshot, &[])
}

/// Whether a value of `meta` tells of this replica alone, not of what all replicas have in common.
pub(crate) fn is_of_replica(key: &[u8]) -> bool {
    [vote(), log_cut(), applied(), unfinished_snapshot(), progress()].iter().any(|own| own == key)
}

pub(crate) fn progress() -> Bytes {
    meta(MetaKind::Progress, &[])
}

pub(crate) fn dropped_queue(queue: QueueId) -> Bytes {
    meta(MetaKind::DroppedQueue, &queue.0.to_be_bytes())
}

pub(crate) fn record(key: &[u8]) -> Bytes {
    meta(MetaKind::Record, key)
}

/// How many stored messages have a shared body.
pub(crate) fn body_count(body: BodyId) -> Bytes {
    meta(MetaKind::BodyCount, &body.0.to_be_bytes())
}

/// The shared bodies of a page.
pub(crate) fn page_bodies(queue: QueueId, level: Level, first: Offset) -> Bytes {
    let page = page(queue, level, first);
    meta(MetaKind::PageBodies, page.get(size_of_val(&SHARD)..).unwrap_or_default())
}

/// The first and the last key of the shared bodies of a queue's pages.
pub(crate) fn queue_page_bodies(queue: QueueId) -> (Bytes, Bytes) {
    let lowest = page_bodies(queue, Level(0), Offset(0));
    (lowest, page_bodies(queue, Level(u8::MAX), Offset(u64::MAX)))
}

fn meta(kind: MetaKind, rest: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(3 + rest.len());
    key.put_u16(SHARD);
    key.put_u8(kind as u8);
    key.put_slice(rest);
    key.into()
}

/// The prefix of all keys of one kind.
pub(crate) fn meta_prefix(kind: MetaKind) -> Bytes {
    meta(kind, &[])
}

pub(crate) fn parse_body_count(key: &[u8]) -> Option<BodyId> {
    let id = key.strip_prefix(&*meta_prefix(MetaKind::BodyCount))?;
    Some(BodyId(u64::from_be_bytes(id.try_into().ok()?)))
}

/// What is known of a queue's delayed messages of one clock.
pub(crate) fn delayed_state(queue: QueueId, clock: DueClock) -> Bytes {
    let mut rest = [0; 9];
    let (id, number) = rest.split_at_mut(8);
    id.copy_from_slice(&queue.0.to_be_bytes());
    number.copy_from_slice(&[clock.number()]);
    meta(MetaKind::DelayedState, &rest)
}

/// What the keys of those begin with.
pub(crate) fn delayed_states() -> Bytes {
    meta_prefix(MetaKind::DelayedState)
}

pub(crate) fn parse_delayed_state(key: &[u8]) -> Option<(QueueId, DueClock)> {
    let rest = key.strip_prefix(&*delayed_states())?;
    let (queue, clock) = rest.split_first_chunk()?;
    let [clock] = clock else { return None };
    Some((QueueId(u64::from_be_bytes(*queue)), DueClock::from_number(*clock)?))
}

/// Whether the shared bodies of a page stand under a key.
pub(crate) fn is_page_bodies(key: &[u8]) -> bool {
    key.starts_with(&meta_prefix(MetaKind::PageBodies))
}

pub(crate) fn parse_dropped_queue(key: &[u8]) -> Option<QueueId> {
    let queue = key.strip_prefix(&*meta_prefix(MetaKind::DroppedQueue))?;
    Some(QueueId(u64::from_be_bytes(queue.try_into().ok()?)))
}

/// The part of a record's key that the engine chose.
pub(crate) fn parse_record(key: &Bytes) -> Option<Bytes> {
    let prefix = meta_prefix(MetaKind::Record);
    key.starts_with(&prefix).then(|| key.slice(prefix.len()..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_name() {
        let keys = [
            page(QueueId(1), Level(0), Offset(255)),
            page(QueueId(1), Level(0), Offset(256)),
            page(QueueId(1), Level(1), Offset(0)),
            page(QueueId(1), Level(255), Offset(u64::MAX)),
            page(QueueId(256), Level(0), Offset(0)),
        ];
        assert!(keys.is_sorted());
        assert!(*keys.last().unwrap() < Bytes::from_static(HEARTBEAT_KEY));
        let (first, last) = queue_range(QueueId(1));
        assert!(keys.iter().take(4).all(|key| first < *key && *key < last));
        assert!(last < *keys.last().unwrap());
        assert!(body(QueueId(1), Level(255), Offset(u64::MAX), Offset(u64::MAX)) < last);
    }

    #[test]
    fn keys_are_parsed_back() {
        let place = (QueueId(7), Level(3), Offset(9));
        assert_eq!(parse_page(&page(place.0, place.1, place.2)), Some(place));
        assert_eq!(parse_page(HEARTBEAT_KEY), None);
        let level_anchor = level_anchor(&page(place.0, place.1, place.2));
        assert!(level_anchor < page(place.0, place.1, Offset(0)));
        assert_eq!(
            level_anchor,
            queue_range(place.0).0.slice(..10).iter().copied().chain([3]).collect::<Bytes>()
        );
        for kind in [AckKind::Level, AckKind::Watermark, AckKind::Block(5)] {
            assert_eq!(parse_ack(&ack(place.0, place.1, kind)), Some((place.0, place.1, kind)));
        }
        assert_eq!(parse_dropped_queue(&dropped_queue(QueueId(8))), Some(QueueId(8)));
        assert_eq!(parse_record(&record(b"queue")), Some(Bytes::from_static(b"queue")));
        assert_eq!(parse_record(&dropped_queue(QueueId(8))), None);
        for clock in DueClock::ALL {
            let id = DelayedId { clock, due: WallClock(77), sequence: 2 };
            let key = delayed(QueueId(8), id);
            assert_eq!(parse_delayed(&key), Some((QueueId(8), id)));
            let (first, last) = delayed_of(QueueId(8));
            assert!(first < key && key < delayed(QueueId(8), id.next()) && key < last);
            assert!(last < delayed_of(QueueId(9)).0);
            let state = delayed_state(QueueId(8), clock);
            assert_eq!(parse_delayed_state(&state), Some((QueueId(8), clock)));
        }
        assert_eq!(parse_delayed(HEARTBEAT_KEY), None);
        let entry = log_entry(u64::MAX);
        assert_eq!(parse_log_entry(&entry), Some(u64::MAX));
        assert_eq!(parse_page(&entry), None);
        assert_eq!(parse_log_entry(&page(NO_QUEUE, Level(0), Offset(3))), None);
        let (first, last) = shard_range();
        let body = body(NO_QUEUE, Level(u8::MAX), Offset(u64::MAX), Offset(u64::MAX));
        for key in [&entry, &body, &progress(), &record(&[u8::MAX; 99]), &shared_body(BodyId(1))] {
            assert!(first < *key && *key < last && *last < *HEARTBEAT_KEY);
        }
    }
}
