//! What is on the disk when the store is opened. Costs one look-up a level: pages are not scanned,
//! however large the backlog is. The levels are those named in `acks`.

use crate::damage::{Damage, QueueName};
use crate::error::StoreError;
use crate::fjall::contiguity::{self, Settled};
use crate::fjall::database::{self, Error, Space};
use crate::fjall::delayed;
use crate::fjall::levels::{LevelState, Levels, Span};
use crate::fjall::shared_bodies;
use crate::fjall::view::View;
use crate::format::ack_value;
use crate::format::checksummed::{self, Flaw};
use crate::format::key::{self, AckKind, MetaKind};
use crate::format::page_value::{self, Extent};
use bytes::Bytes;
use forebay_engine::model::{BodyId, Epoch, Level, Offset, QueueId};
use forebay_engine::operation::{Block, DamagedQueue, Recovered, RecoveredLevel, Watermark};
use forebay_engine::topology;
use std::collections::{BTreeMap, BTreeSet};

type LevelKey = (QueueId, Level);

/// What `acks` holds of a level.
#[derive(Debug, Default)]
struct LevelAcks {
    span: Option<Span>,
    /// Where the last page ended that was put.
    end: Offset,
    watermark: Watermark,
    blocks: Vec<(u64, Block)>,
}

/// With the name of the queue, when its record can be read.
pub(crate) fn named(error: StoreError, view: &View) -> StoreError {
    let StoreError::Damaged(mut damage) = error else { return error };
    if let Some((queue, _)) = damage.level {
        let key = key::record(&topology::queue_record_key(queue));
        let value = view.get(Space::Meta, &key).ok().flatten();
        damage.queue = value.and_then(|value| queue_name(&key, &value)).map(|(_, name)| name);
    }
    StoreError::Damaged(damage)
}

/// The queue that a record tells of.
pub(crate) fn queue_name(key: &Bytes, value: &Bytes) -> Option<(QueueId, QueueName)> {
    let value = checksummed::unseal(key, value).ok()?;
    let (queue, vhost, name) = topology::recorded_queue(&key::parse_record(key)?, &value)?;
    Some((queue, QueueName { vhost: vhost.to_string(), name: name.to_string() }))
}

pub(crate) fn failed(error: Error) -> StoreError {
    if database::is_damage(&error) {
        Damage::elsewhere(format!("a table or journal can't be read: {error}"))
    } else {
        StoreError::failed("read its data", error)
    }
}

/// Everything that the engine needs.
pub(crate) fn recover(view: &View) -> Result<Recovered, StoreError> {
    let mut levels = Vec::new();
    let mut damaged = Vec::new();
    for ((queue, level), mut acks) in all_acks(view)? {
        let (last_page, bounds) = match whole_tail(view, queue, level, &mut acks) {
            // Where the level ends is known all the same: its record says so.
            Err(error @ StoreError::Damaged(_)) if acks.end > Offset(0) => {
                damaged.push(damaged_queue(queue, error, view));
                let end = Some((acks.end, acks.watermark.bytes_settled));
                (end.filter(|(end, _)| *end > acks.watermark.low), None)
            }
            last_page => {
                let last_page = last_page?;
                let end = last_page.map(|last| (last.end, last.bytes_after));
                (end, last_page.and_then(|last| last.bounds))
            }
        };
        let LevelAcks { watermark, blocks, .. } = acks;
        levels.push(RecoveredLevel { queue, level, watermark, blocks, last_page, bounds });
    }
    let last_body = shared_bodies::last(view).map_err(failed)?;
    let delayed = delayed::states(view)?;
    let epoch = Epoch(0);
    Ok(Recovered { epoch, records: records(view)?, levels, delayed, last_body, damaged })
}

/// A queue of which a read has met damage.
pub(crate) fn damaged_queue(queue: QueueId, error: StoreError, view: &View) -> DamagedQueue {
    DamagedQueue { queue, what: named(error, view).to_string().into() }
}

/// The last page of a level, when every message behind it is settled.
fn whole_tail(
    view: &View,
    queue: QueueId,
    level: Level,
    acks: &mut LevelAcks,
) -> Result<Option<Extent>, StoreError> {
    let last_page = last_page(view, queue, level, acks)?;
    let reached = last_page.map_or(acks.watermark.low, |last| last.end);
    let blocks = std::mem::take(&mut acks.blocks);
    let settled = Settled { watermark: acks.watermark, blocks };
    let explained = contiguity::explain(queue, level, &[(reached, acks.end)], &settled);
    acks.blocks = settled.blocks;
    explained.map(|()| last_page)
}

/// What the store itself keeps in memory.
pub(crate) fn levels(view: &View) -> Result<Levels, StoreError> {
    let mut levels = Levels::default();
    for ((queue, level), acks) in all_acks(view)? {
        let state = LevelState { watermark: acks.watermark, span: acks.span, end: acks.end };
        levels.insert(queue, level, state);
    }
    if shared_bodies::last(view).map_err(failed)? > BodyId(0) {
        levels.note_shared_bodies();
    }
    Ok(levels)
}

/// Whether there are bodies that are values of their own.
pub(crate) fn has_bodies(view: &View) -> bool {
    let (first, _) = key::queue_range(QueueId(0));
    let (_, last) = key::queue_range(QueueId(u64::MAX));
    view.keys(Space::Bodies, &first, &last).next().is_some()
}

/// Queues that were dropped and whose keys may not all be removed yet.
pub(crate) fn dropped_queues(view: &View) -> Result<BTreeSet<QueueId>, StoreError> {
    let mut queues = BTreeSet::new();
    for item in view.prefix(Space::Meta, &key::meta_prefix(MetaKind::DroppedQueue)) {
        let (key, value) = item.map_err(failed)?;
        checksummed::unseal(&key, &value)
            .map_err(|flaw| Damage::elsewhere(format!("the mark of a dropped queue: {flaw}")))?;
        let queue = key::parse_dropped_queue(&key)
            .ok_or_else(|| Damage::elsewhere("the mark of a dropped queue has an unknown key"))?;
        queues.insert(queue);
    }
    Ok(queues)
}

/// What is settled in one level.
pub(crate) fn settled(view: &View, queue: QueueId, level: Level) -> Result<Settled, StoreError> {
    let first = key::ack(queue, level, AckKind::Level);
    let last = key::ack(queue, level, AckKind::Block(u64::MAX));
    let mut acks = LevelAcks::default();
    for item in view.range(Space::Acks, &first, &last) {
        let (key, value) = item.map_err(failed)?;
        let (_, _, kind) = parse_ack(&key)?;
        acks.add(kind, &key, &value).map_err(|flaw| damaged_ack(queue, level, kind, flaw))?;
    }
    Ok(Settled { watermark: acks.watermark, blocks: acks.blocks })
}

fn records(view: &View) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut records = Vec::new();
    for item in view.prefix(Space::Meta, &key::meta_prefix(MetaKind::Record)) {
        let (key, value) = item.map_err(failed)?;
        let value = checksummed::unseal(&key, &value).map_err(|flaw| {
            Damage::elsewhere(format!("topology record {}: {flaw}", key.escape_ascii()))
        })?;
        records.extend(key::parse_record(&key).map(|key| (key, value)));
    }
    Ok(records)
}

fn all_acks(view: &View) -> Result<BTreeMap<LevelKey, LevelAcks>, StoreError> {
    let dropped = dropped_queues(view)?;
    let mut levels: BTreeMap<LevelKey, LevelAcks> = BTreeMap::new();
    let (first, _) = key::queue_range(QueueId(0));
    let (_, last) = key::queue_range(QueueId(u64::MAX));
    for item in view.range(Space::Acks, &first, &last) {
        let (key, value) = item.map_err(failed)?;
        let (queue, level, kind) = parse_ack(&key)?;
        if dropped.contains(&queue) {
            continue;
        }
        levels
            .entry((queue, level))
            .or_default()
            .add(kind, &key, &value)
            .map_err(|flaw| damaged_ack(queue, level, kind, flaw))?;
    }
    Ok(levels)
}

fn parse_ack(key: &[u8]) -> Result<(QueueId, Level, AckKind), StoreError> {
    key::parse_ack(key).ok_or_else(|| {
        Damage::elsewhere(format!("a settled state has the unknown key {}", key.escape_ascii()))
    })
}

fn damaged_ack(queue: QueueId, level: Level, kind: AckKind, flaw: Flaw) -> StoreError {
    Damage::of_level(queue, level, None, format!("its settled state ({kind:?}): {flaw}"))
}

impl LevelAcks {
    fn add(&mut self, kind: AckKind, key: &[u8], value: &Bytes) -> Result<(), Flaw> {
        match kind {
            AckKind::Level => {
                let level = ack_value::decode_level(key, value)?;
                (self.span, self.end) = (Some(Span(level.span)), level.end);
            }
            AckKind::Watermark => self.watermark = ack_value::decode_watermark(key, value)?,
            AckKind::Block(block) => {
                self.blocks.push((block, ack_value::decode_block(key, value)?))
            }
        }
        Ok(())
    }
}

fn last_page(
    view: &View,
    queue: QueueId,
    level: Level,
    acks: &LevelAcks,
) -> Result<Option<Extent>, StoreError> {
    let Some(span) = acks.span else { return Ok(None) };
    let low = acks.watermark.low;
    let from = key::page(queue, level, span.lowest_first(low));
    let to = key::page(queue, level, Offset(u64::MAX));
    let Some(item) = view.range(Space::Pages, &from, &to).next_back() else { return Ok(None) };
    let (key, value) = item.map_err(|error| match database::is_unreadable(&error) {
        true => {
            Damage::of_level(queue, level, None, format!("its last page can't be read: {error}"))
        }
        false => StoreError::failed("read its data", error),
    })?;
    let (_, _, first) = key::parse_page(&key)
        .ok_or_else(|| Damage::of_level(queue, level, None, "a page has an unknown key"))?;
    let extent = page_value::decode_extent(queue, level, first, &value)
        .map_err(|flaw| Damage::of_level(queue, level, Some((first, None)), flaw.to_string()))?;
    Ok(Some(extent).filter(|extent| extent.end > low))
}
