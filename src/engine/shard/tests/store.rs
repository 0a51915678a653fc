//! A store for tests: what a real one does, as plainly as can be, and every promise of the engine
//! to it checked.

use crate::model::{BodyId, DelayedId, DueClock, Epoch, Level, Message, Offset, QueueId};
use crate::operation::{
    BLOCK_OFFSETS, Block, Commit, DamagedQueue, DelayedState, Operation, Recovered,
    RecoveredDelayed, RecoveredLevel, Watermark,
};
use crate::page::Page;
use crate::shard::{DelayedFetch, DelayedFetched, Fetch, Fetched};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

type LevelKey = (QueueId, Level);

#[derive(Clone, Debug, Default)]
struct LevelContent {
    pages: BTreeMap<Offset, Page>,
    watermark: Watermark,
    blocks: BTreeMap<u64, Block>,
    /// The highest end of all pages ever put.
    put_to: Offset,
}

impl LevelContent {
    fn is_settled(&self, offset: Offset) -> bool {
        if offset < self.watermark.low {
            return true;
        }
        let relative = (offset.0 % BLOCK_OFFSETS) as u16;
        self.blocks.get(&(offset.0 / BLOCK_OFFSETS)).is_some_and(|block| {
            block.settled.iter().any(|(first, last)| (*first..=*last).contains(&relative))
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct TestStore {
    records: BTreeMap<Bytes, Bytes>,
    levels: BTreeMap<LevelKey, LevelContent>,
    delayed: BTreeMap<(QueueId, DelayedId), Message>,
    delayed_states: BTreeMap<(QueueId, DueClock), DelayedState>,
    reads: Cell<usize>,
    /// Queues of which nothing can be read.
    pub(super) damaged: BTreeSet<QueueId>,
    /// Queues whose pages are not found, and nobody knows why.
    pub(super) lost: BTreeSet<QueueId>,
}

fn damaged_queue(queue: QueueId) -> DamagedQueue {
    DamagedQueue { queue, what: "a page is damaged".into() }
}

impl TestStore {
    /// As another program might have left it.
    pub(super) fn put_record(&mut self, key: Bytes, value: Bytes) {
        self.records.insert(key, value);
    }

    /// As a repair might have left it.
    pub(super) fn remove_record(&mut self, key: &Bytes) {
        self.records.remove(key);
    }

    pub(super) fn apply(&mut self, commit: &Commit) {
        let mut put = Vec::new();
        let mut removed = Vec::new();
        let mut states = Vec::new();
        for operation in &commit.operations {
            match operation.clone() {
                Operation::PutPage { queue, level, page } => {
                    assert!(page.first < page.end && !page.records.is_empty());
                    assert!(page.records.iter().all(|record| record.offset < page.end));
                    let content = self.levels.entry((queue, level)).or_default();
                    assert!(page.first >= content.put_to, "a page must come after all before it");
                    put.push(((queue, level), content.put_to, page.first));
                    content.put_to = page.end;
                    content.pages.insert(page.first, Page::clone(&page));
                }
                Operation::RemovePage { queue, level, first } => {
                    let content = self.levels.entry((queue, level)).or_default();
                    let page = content.pages.remove(&first);
                    removed.push(((queue, level), page.expect("removed pages were put, once")));
                }
                Operation::PutWatermark { queue, level, watermark } => {
                    self.levels.entry((queue, level)).or_default().watermark = watermark;
                }
                Operation::PutBlock { queue, level, block, content } => {
                    self.levels.entry((queue, level)).or_default().blocks.insert(block, content);
                }
                Operation::RemoveBlock { queue, level, block } => {
                    self.levels.entry((queue, level)).or_default().blocks.remove(&block);
                }
                Operation::PutDelayed { queue, id, message } => {
                    assert!(message.delay().is_some(), "what is due goes into a page");
                    let before = self.delayed.insert((queue, id), message);
                    assert_eq!(before, None, "a key is written once");
                }
                Operation::RemoveDelayed { queue, id, body } => {
                    let message = self.delayed.remove(&(queue, id)).expect("what was put, once");
                    assert_eq!(message.shared_body(), body);
                }
                Operation::PutDelayedState { queue, clock, state } => {
                    self.delayed_states.insert((queue, clock), state);
                    states.push((queue, clock));
                }
                Operation::DropQueue { queue } => {
                    self.levels.retain(|(id, _), _| *id != queue);
                    self.delayed.retain(|(id, _), _| *id != queue);
                    self.delayed_states.retain(|(id, _), _| *id != queue);
                }
                Operation::PutRecord { key, value } => drop(self.records.insert(key, value)),
                Operation::RemoveRecord { key } => drop(self.records.remove(&key)),
            }
        }
        states.into_iter().for_each(|(queue, clock)| self.check_delayed(queue, clock));
        for (key, from, to) in put {
            let Some(content) = self.levels.get(&key) else { continue };
            for offset in (from.0..to.0).map(Offset) {
                assert!(content.is_settled(offset), "an unexplained hole at {offset}");
            }
        }
        for (key, page) in removed {
            let Some(content) = self.levels.get(&key) else { continue };
            for record in &page.records {
                assert!(content.is_settled(record.offset), "{} was removed alive", record.offset);
            }
        }
    }

    /// What is said of delayed messages is true.
    fn check_delayed(&self, queue: QueueId, clock: DueClock) {
        let Some(state) = self.delayed_states.get(&(queue, clock)) else { return };
        let range = (queue, DelayedId::lowest(clock))..=(queue, DelayedId::highest(clock));
        let there: Vec<_> = self.delayed.range(range).collect();
        assert_eq!(state.count, there.len() as u64);
        let bytes = there.iter().map(|(_, message)| message.body().len() as u64);
        assert_eq!(state.bytes, bytes.sum::<u64>());
        assert!(there.iter().all(|((_, id), _)| id.due >= state.from));
        assert!(there.iter().all(|((_, id), _)| id.sequence < state.next_sequence));
    }

    /// Delayed messages of all queues.
    pub(super) fn delayed(&self) -> usize {
        self.delayed.len()
    }

    pub(super) fn read_delayed(&self, fetch: DelayedFetch) -> DelayedFetched {
        let DelayedFetch { queue, from, bytes_max, is_for_request } = fetch;
        let range = (queue, from)..=(queue, DelayedId::highest(from.clock));
        let mut rest = self.delayed.range(range).map(|((_, id), message)| (*id, message.clone()));
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max
            && let Some((id, message)) = rest.next()
        {
            bytes += message.size();
            messages.push((id, message));
        }
        let is_end = rest.next().is_none();
        DelayedFetched { queue, from, messages, is_end, is_for_request }
    }

    /// How many records it has.
    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// How often it was read.
    pub(super) fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Its pages are as a program made them that knew of no bounds.
    pub(super) fn forget_bounds(&mut self) {
        let pages = self.levels.values_mut().flat_map(|level| level.pages.values_mut());
        pages.for_each(|page| page.bounds = None);
    }

    pub(super) fn read(&self, fetch: Fetch) -> Fetched {
        self.reads.set(self.reads.get() + 1);
        let Fetch { queue, level, from, bytes_max } = fetch;
        let mut pages = Vec::new();
        let mut bytes = 0;
        if let Some(content) = self.levels.get(&(queue, level))
            && !self.lost.contains(&queue)
        {
            for page in content.pages.values().filter(|page| page.end > from) {
                pages.push(page.clone());
                bytes += page.records.iter().map(|record| record.message.size()).sum::<usize>();
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        Fetched { queue, level, from, pages }
    }

    fn last_body(&self) -> BodyId {
        let pages = self.levels.values().flat_map(|level| level.pages.values());
        let messages = pages.flat_map(|page| &page.records).map(|record| &record.message);
        let messages = messages.chain(self.delayed.values());
        messages.filter_map(Message::shared_body).max().unwrap_or_default()
    }

    pub(super) fn recover(&self) -> Recovered {
        let level = |(&(queue, level), content): (&LevelKey, &LevelContent)| RecoveredLevel {
            queue,
            level,
            watermark: content.watermark,
            blocks: content.blocks.iter().map(|(number, block)| (*number, block.clone())).collect(),
            last_page: content.pages.last_key_value().map(|(_, page)| (page.end, page.bytes_after)),
            bounds: content.pages.last_key_value().and_then(|(_, page)| page.bounds),
        };
        let delayed = self.delayed_states.iter().filter(|(_, state)| state.count > 0);
        let delayed =
            delayed.map(|(&(queue, clock), &state)| RecoveredDelayed { queue, clock, state });
        Recovered {
            epoch: Epoch(0),
            records: self.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            levels: self.levels.iter().map(level).collect(),
            delayed: delayed.collect(),
            last_body: self.last_body(),
            damaged: self.damaged.iter().map(|queue| damaged_queue(*queue)).collect(),
        }
    }

    /// All messages of a queue that stand in pages.
    pub(super) fn messages(&self, queue: QueueId) -> Vec<Message> {
        let levels = self.levels.iter().filter(|((owner, _), _)| *owner == queue);
        let pages = levels.flat_map(|(_, level)| level.pages.values());
        pages.flat_map(|page| &page.records).map(|record| record.message.clone()).collect()
    }

    pub(super) fn pages(&self) -> usize {
        self.levels.values().map(|content| content.pages.len()).sum()
    }

    /// Bytes of what a consumer of a queue could still be sent.
    pub(super) fn live_bytes(&self, queue: QueueId) -> u64 {
        let levels = self.levels.iter().filter(|((id, _), _)| *id == queue);
        let live = levels.flat_map(|(_, content)| {
            content
                .pages
                .values()
                .flat_map(|page| &page.records)
                .filter(|record| !content.is_settled(record.offset))
        });
        live.map(|record| record.message.size() as u64).sum()
    }
}
