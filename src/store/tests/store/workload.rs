//! A stand-in for the engine's queues: publishes, settles and drops as they do, and keeps to what
//! the store relies on.

use bytes::{BufMut, Bytes, BytesMut};
use forebay_engine::model::{
    BodyId, CommitId, Envelope, Epoch, Level, Message, Offset, QueueId, Retry, ReturnReason,
    WallClock,
};
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Commit, Durability, Operation, Watermark};
use forebay_engine::page::{Page, Record};
use forebay_wire::{RawProperties, ShortStr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All levels of all queues, and the numbers given out.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    pub(crate) levels: BTreeMap<(QueueId, Level), LevelWork>,
    commits: u64,
    /// One message of each body that several have, by its identifier.
    shared: Vec<Message>,
}

#[derive(Debug, Default)]
pub(crate) struct LevelWork {
    tail: u64,
    bytes_published: u64,
    watermark: Watermark,
    /// Above the watermark.
    settled: BTreeSet<u64>,
    /// Sizes of what is not settled.
    waiting: BTreeMap<u64, u64>,
    /// First and end of the pages that stand.
    pages: BTreeMap<u64, u64>,
    /// Blocks that are stored.
    blocks: BTreeSet<u64>,
}

/// A message whose body begins with its number and goes on with its lowest byte.
pub(crate) fn message(number: u64, size: usize) -> Message {
    let mut body = BytesMut::with_capacity(size.max(8));
    body.put_u64(number);
    body.resize(size.max(8), number as u8);
    let envelope = Envelope {
        exchange: &ShortStr::default(),
        routing_key: &ShortStr::try_from("orders").unwrap(),
        properties: &RawProperties::empty(),
        published_at: WallClock(number),
        expiration: None,
    };
    Message::new(envelope, body.freeze(), &mut BytesMut::new())
}

impl Workload {
    pub(crate) fn commit(&mut self, operations: Vec<Operation>, durability: Durability) -> Commit {
        self.commits += 1;
        Commit { id: CommitId(self.commits), epoch: Epoch(0), operations, durability }
    }

    /// A page of messages of these sizes, after `skipped` offsets of transient ones.
    pub(crate) fn publish(
        &mut self,
        queue: QueueId,
        level: Level,
        skipped: u64,
        sizes: &[usize],
    ) -> Operation {
        let tail = self.levels.entry((queue, level)).or_default().tail;
        let messages = (tail + skipped..).zip(sizes).map(|(offset, size)| message(offset, *size));
        self.put(queue, level, skipped, messages.collect())
    }

    /// The same message in a page of each of these queues, its body in common.
    pub(crate) fn fan_out(
        &mut self,
        queues: &[QueueId],
        level: Level,
        size: usize,
    ) -> Vec<Operation> {
        let id = self.shared.len() as u64 + 1;
        let message = message(id, size).with_shared_body(BodyId(id));
        self.shared.push(message.clone());
        queues.iter().map(|queue| self.put(*queue, level, 0, vec![message.clone()])).collect()
    }

    /// One more message with the body of an earlier one, as a dead letter is, in one page with one of its own.
    pub(crate) fn copy(&mut self, queue: QueueId, level: Level, nth: usize) -> Option<Operation> {
        let message = self.shared.get(nth % self.shared.len().max(1))?.clone();
        Some(self.put(queue, level, 0, vec![message.clone(), message, self::message(0, 20)]))
    }

    fn put(
        &mut self,
        queue: QueueId,
        level: Level,
        skipped: u64,
        messages: Vec<Message>,
    ) -> Operation {
        let work = self.levels.entry((queue, level)).or_default();
        let first = work.tail;
        let bytes_before = work.bytes_published;
        let count = messages.len() as u64;
        work.settled.extend(first..first + skipped);
        let mut records = Vec::with_capacity(messages.len());
        for (offset, message) in (first + skipped..).zip(messages) {
            work.bytes_published += message.size() as u64;
            work.waiting.insert(offset, message.size() as u64);
            records.push(Record { offset: Offset(offset), message });
        }
        work.tail = first + skipped + count;
        work.pages.insert(first, work.tail);
        let page = Page {
            first: Offset(first),
            end: Offset(work.tail),
            bytes_before,
            bytes_after: work.bytes_published,
            bounds: None,
            records,
        };
        Operation::PutPage { queue, level, page: Arc::new(page) }
    }

    /// Settles the n-th of those waiting, for each n given.
    pub(crate) fn settle(&mut self, queue: QueueId, level: Level, nth: &[usize]) -> Vec<Operation> {
        let Some(work) = self.levels.get_mut(&(queue, level)) else { return Vec::new() };
        let waiting: Vec<u64> = work.waiting.keys().copied().collect();
        for offset in nth.iter().filter_map(|nth| waiting.get(*nth)) {
            if let Some(size) = work.waiting.remove(offset) {
                work.settled.insert(*offset);
                work.watermark.bytes_settled += size;
            }
        }
        work.settled_operations(queue, level)
    }

    /// Settles the `count` oldest.
    pub(crate) fn settle_oldest(
        &mut self,
        queue: QueueId,
        level: Level,
        count: usize,
    ) -> Vec<Operation> {
        self.settle(queue, level, &(0..count).collect::<Vec<_>>())
    }

    pub(crate) fn drop_queue(&mut self, queue: QueueId) -> Operation {
        self.levels.retain(|(owner, _), _| *owner != queue);
        Operation::DropQueue { queue }
    }

    pub(crate) fn waiting(&self, queue: QueueId, level: Level) -> Vec<u64> {
        let work = self.levels.get(&(queue, level));
        work.map(|work| work.waiting.keys().copied().collect()).unwrap_or_default()
    }
}

impl LevelWork {
    fn settled_operations(&mut self, queue: QueueId, level: Level) -> Vec<Operation> {
        while self.settled.remove(&self.watermark.low.0) {
            self.watermark.low = self.watermark.low.next();
        }
        let mut operations =
            vec![Operation::PutWatermark { queue, level, watermark: self.watermark }];
        let mut blocks: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        for offset in &self.settled {
            let relative = (offset % BLOCK_OFFSETS) as u16;
            blocks.entry(offset / BLOCK_OFFSETS).or_default().push(relative);
        }
        for block in &self.blocks {
            if !blocks.contains_key(block) {
                operations.push(Operation::RemoveBlock { queue, level, block: *block });
            }
        }
        self.blocks = blocks.keys().copied().collect();
        for (block, offsets) in blocks {
            let (due, reason) = (WallClock(1_000), ReturnReason::Nacked);
            let retry =
                Retry { due, delay: 20, size: 9, reason, group: Some(offsets.len() as u64) };
            let content = Block {
                settled: runs(&offsets),
                failures: vec![(7, 2)],
                returns: vec![(9, 1)],
                retries: vec![(7, retry)],
            };
            operations.push(Operation::PutBlock { queue, level, block, content });
        }
        let waiting = &self.waiting;
        let (settled, pages): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pages)
            .into_iter()
            .partition(|(first, end)| waiting.range(*first..*end).next().is_none());
        self.pages = pages.into_iter().collect();
        operations.extend(settled.into_iter().map(|(first, _)| Operation::RemovePage {
            queue,
            level,
            first: Offset(first),
        }));
        operations
    }
}

fn runs(offsets: &[u16]) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for offset in offsets {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*offset) => *last = *offset,
            _ => runs.push((*offset, *offset)),
        }
    }
    runs
}

/// A record of the topology.
pub(crate) fn put_record(key: u8, value: u64) -> Operation {
    let key = Bytes::from(vec![b'q', key]);
    Operation::PutRecord { key, value: Bytes::from(value.to_string()) }
}
