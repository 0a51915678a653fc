//! A store for tests: what a real one does, as plainly as can be, and every promise of the engine
//! to it checked.

use crate::ids::{BodyId, Lane, Offset, QueueId};
use crate::message::Message;
use crate::operation::{
    BLOCK_OFFSETS, Block, Commit, DamagedQueue, Operation, Recovered, RecoveredLane, Watermark,
};
use crate::page::Page;
use crate::shard::{Fetch, Fetched};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

type LaneKey = (QueueId, Lane);

#[derive(Clone, Debug, Default)]
struct LaneContent {
    pages: BTreeMap<Offset, Page>,
    watermark: Watermark,
    blocks: BTreeMap<u64, Block>,
    /// The highest end of all pages ever put.
    put_to: Offset,
}

impl LaneContent {
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
    lanes: BTreeMap<LaneKey, LaneContent>,
    reads: Cell<usize>,
    /// Queues of which nothing can be read.
    pub(super) damaged: BTreeSet<QueueId>,
}

fn damaged_queue(queue: QueueId) -> DamagedQueue {
    DamagedQueue { queue, what: "a page is damaged".into() }
}

impl TestStore {
    pub(super) fn apply(&mut self, commit: &Commit) {
        let mut put = Vec::new();
        let mut removed = Vec::new();
        for operation in &commit.operations {
            match operation.clone() {
                Operation::PutPage { queue, lane, page } => {
                    assert!(page.first < page.end && !page.records.is_empty());
                    assert!(page.records.iter().all(|record| record.offset < page.end));
                    let content = self.lanes.entry((queue, lane)).or_default();
                    assert!(page.first >= content.put_to, "a page must come after all before it");
                    put.push(((queue, lane), content.put_to, page.first));
                    content.put_to = page.end;
                    content.pages.insert(page.first, Page::clone(&page));
                }
                Operation::RemovePage { queue, lane, first } => {
                    let content = self.lanes.entry((queue, lane)).or_default();
                    let page = content.pages.remove(&first);
                    removed.push(((queue, lane), page.expect("removed pages were put, once")));
                }
                Operation::PutWatermark { queue, lane, watermark } => {
                    self.lanes.entry((queue, lane)).or_default().watermark = watermark;
                }
                Operation::PutBlock { queue, lane, block, content } => {
                    self.lanes.entry((queue, lane)).or_default().blocks.insert(block, content);
                }
                Operation::RemoveBlock { queue, lane, block } => {
                    self.lanes.entry((queue, lane)).or_default().blocks.remove(&block);
                }
                Operation::DropQueue { queue } => self.lanes.retain(|(id, _), _| *id != queue),
                Operation::PutRecord { key, value } => drop(self.records.insert(key, value)),
                Operation::RemoveRecord { key } => drop(self.records.remove(&key)),
            }
        }
        for (key, from, to) in put {
            let Some(content) = self.lanes.get(&key) else { continue };
            for offset in (from.0..to.0).map(Offset) {
                assert!(content.is_settled(offset), "an unexplained hole at {offset}");
            }
        }
        for (key, page) in removed {
            let Some(content) = self.lanes.get(&key) else { continue };
            for record in &page.records {
                assert!(content.is_settled(record.offset), "{} was removed alive", record.offset);
            }
        }
    }

    /// How often it was read.
    pub(super) fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Its pages are as a program made them that knew of no bounds.
    pub(super) fn forget_bounds(&mut self) {
        let pages = self.lanes.values_mut().flat_map(|lane| lane.pages.values_mut());
        pages.for_each(|page| page.bounds = None);
    }

    pub(super) fn read(&self, fetch: Fetch) -> Fetched {
        self.reads.set(self.reads.get() + 1);
        let Fetch { queue, lane, from, octets_max } = fetch;
        let mut pages = Vec::new();
        let mut octets = 0;
        if let Some(content) = self.lanes.get(&(queue, lane)) {
            for page in content.pages.values().filter(|page| page.end > from) {
                pages.push(page.clone());
                octets += page.records.iter().map(|record| record.message.size()).sum::<usize>();
                if octets >= octets_max {
                    break;
                }
            }
        }
        Fetched { queue, lane, from, pages }
    }

    fn last_body(&self) -> BodyId {
        let pages = self.lanes.values().flat_map(|lane| lane.pages.values());
        let messages = pages.flat_map(|page| &page.records).map(|record| &record.message);
        messages.filter_map(Message::shared_body).max().unwrap_or_default()
    }

    pub(super) fn recover(&self) -> Recovered {
        let lane = |(&(queue, lane), content): (&LaneKey, &LaneContent)| RecoveredLane {
            queue,
            lane,
            watermark: content.watermark,
            blocks: content.blocks.iter().map(|(number, block)| (*number, block.clone())).collect(),
            last_page: content
                .pages
                .last_key_value()
                .map(|(_, page)| (page.end, page.octets_after)),
            bounds: content.pages.last_key_value().and_then(|(_, page)| page.bounds),
        };
        Recovered {
            records: self.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            lanes: self.lanes.iter().map(lane).collect(),
            last_body: self.last_body(),
            damaged: self.damaged.iter().map(|queue| damaged_queue(*queue)).collect(),
        }
    }

    /// All messages of a queue that stand in pages.
    pub(super) fn messages(&self, queue: QueueId) -> Vec<Message> {
        let lanes = self.lanes.iter().filter(|((owner, _), _)| *owner == queue);
        let pages = lanes.flat_map(|(_, lane)| lane.pages.values());
        pages.flat_map(|page| &page.records).map(|record| record.message.clone()).collect()
    }

    pub(super) fn pages(&self) -> usize {
        self.lanes.values().map(|content| content.pages.len()).sum()
    }

    /// Octets of what a consumer of a queue could still be sent.
    pub(super) fn live_octets(&self, queue: QueueId) -> u64 {
        let lanes = self.lanes.iter().filter(|((id, _), _)| *id == queue);
        let live = lanes.flat_map(|(_, content)| {
            content
                .pages
                .values()
                .flat_map(|page| &page.records)
                .filter(|record| !content.is_settled(record.offset))
        });
        live.map(|record| record.message.size() as u64).sum()
    }
}
