//! A store in memory, with the semantics of the real one: what is not synced may be lost in a
//! simulated crash. The model of the tests, and a fast stand-in for them.

use crate::error::StoreError;
use crate::fjall::contiguity::{self, Settled};
use crate::store::{DelayedMessages, Statistics, Store};
use bytes::Bytes;
use forebay_engine::model::{DelayedId, DueClock, Epoch, Level, Message, Offset, QueueId};
use forebay_engine::operation::{
    Block, Commit, DelayedState, Durability, Operation, Recovered, RecoveredDelayed,
    RecoveredLevel, Watermark,
};
use forebay_engine::page::Page;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps everything in memory. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    current: Content,
    /// What a crash can't take away.
    synced: Content,
    /// What was applied since, one entry a call of `apply`.
    unsynced: Vec<Vec<Commit>>,
    statistics: Statistics,
}

#[derive(Clone, Debug, Default)]
struct Content {
    records: BTreeMap<Bytes, Bytes>,
    levels: BTreeMap<(QueueId, Level), LevelContent>,
    delayed: BTreeMap<(QueueId, DelayedId), Message>,
    delayed_states: BTreeMap<(QueueId, DueClock), DelayedState>,
}

#[derive(Clone, Debug, Default)]
struct LevelContent {
    watermark: Option<Watermark>,
    had_page: bool,
    blocks: BTreeMap<u64, Block>,
    pages: BTreeMap<Offset, Arc<Page>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses what is not synced, except the first `survivors` calls of [`Store::apply`] since the
    /// last sync: `0` is the worst that a power loss does, `usize::MAX` is the end of the process.
    pub fn crash(&self, survivors: usize) {
        let mut state = self.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        for commits in unsynced.iter().take(survivors) {
            state.synced.apply(commits);
        }
        state.current = state.synced.clone();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn recover(&self) -> Result<Recovered, StoreError> {
        Ok(self.lock().current.recover())
    }

    fn apply(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.current.apply(commits);
        state.unsynced.push(commits.to_vec());
        state.statistics.applied += 1;
        if commits.iter().any(|commit| commit.durability == Durability::Synced) {
            state.sync();
        }
        Ok(())
    }

    fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let mut state = self.lock();
        let Some(content) = state.current.levels.get(&(queue, level)) else {
            return Ok(Vec::new());
        };
        let from = from.max(content.low());
        let pages = content.read(from, bytes_max);
        let holes = contiguity::holes(from, &pages);
        contiguity::explain(queue, level, &holes, &content.settled())?;
        state.statistics.pages_read += pages.len() as u64;
        Ok(pages)
    }

    fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError> {
        let state = self.lock();
        let range = (queue, from)..=(queue, DelayedId::highest(from.clock));
        let rest = state.current.delayed.range(range);
        let mut rest = rest.map(|((_, id), message)| (*id, message.clone()));
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max
            && let Some((id, message)) = rest.next()
        {
            bytes += message.size();
            messages.push((id, message));
        }
        Ok(DelayedMessages { messages, is_end: rest.next().is_none() })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.lock().sync();
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        self.lock().statistics
    }
}

impl State {
    fn sync(&mut self) {
        for commits in std::mem::take(&mut self.unsynced) {
            self.synced.apply(&commits);
        }
        self.statistics.synced += 1;
    }
}

impl Content {
    fn apply(&mut self, commits: &[Commit]) {
        for operation in commits.iter().flat_map(|commit| &commit.operations) {
            self.apply_operation(operation);
        }
    }

    fn apply_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::PutPage { queue, level, page } => {
                let content = self.level(*queue, *level);
                content.pages.insert(page.first, Arc::clone(page));
                content.had_page = true;
            }
            Operation::RemovePage { queue, level, first } => {
                self.level(*queue, *level).pages.remove(first);
            }
            Operation::PutWatermark { queue, level, watermark } => {
                self.level(*queue, *level).watermark = Some(*watermark);
            }
            Operation::PutBlock { queue, level, block, content } => {
                self.level(*queue, *level).blocks.insert(*block, content.clone());
            }
            Operation::RemoveBlock { queue, level, block } => {
                self.level(*queue, *level).blocks.remove(block);
            }
            Operation::PutDelayed { queue, id, message } => {
                self.delayed.insert((*queue, *id), message.clone());
            }
            Operation::RemoveDelayed { queue, id, body: _ } => {
                self.delayed.remove(&(*queue, *id));
            }
            Operation::PutDelayedState { queue, clock, state } => {
                self.delayed_states.insert((*queue, *clock), *state);
            }
            Operation::DropQueue { queue } => {
                self.levels.retain(|(owner, _), _| owner != queue);
                self.delayed.retain(|(owner, _), _| owner != queue);
                self.delayed_states.retain(|(owner, _), _| owner != queue);
            }
            Operation::PutRecord { key, value } => {
                self.records.insert(key.clone(), value.clone());
            }
            Operation::RemoveRecord { key } => {
                self.records.remove(key);
            }
        }
    }

    fn level(&mut self, queue: QueueId, level: Level) -> &mut LevelContent {
        self.levels.entry((queue, level)).or_default()
    }

    fn recover(&self) -> Recovered {
        let records = self.records.iter().map(|(key, value)| (key.clone(), value.clone()));
        let known = self.levels.iter().filter(|(_, content)| content.is_known());
        let levels = known.map(|((queue, level), content)| RecoveredLevel {
            queue: *queue,
            level: *level,
            watermark: content.watermark.unwrap_or_default(),
            blocks: content.blocks.iter().map(|(block, value)| (*block, value.clone())).collect(),
            last_page: content
                .pages
                .values()
                .next_back()
                .filter(|page| page.end > content.low())
                .map(|page| (page.end, page.bytes_after)),
            bounds: content.pages.values().next_back().and_then(|page| page.bounds),
        });
        let pages = self.levels.values().flat_map(|level| level.pages.values());
        let messages = pages.flat_map(|page| &page.records).map(|record| &record.message);
        let messages = messages.chain(self.delayed.values());
        let last_body = messages.filter_map(Message::shared_body).max().unwrap_or_default();
        let delayed = self.delayed_states.iter().filter(|(_, state)| state.count > 0);
        let delayed =
            delayed.map(|(&(queue, clock), &state)| RecoveredDelayed { queue, clock, state });
        Recovered {
            epoch: Epoch(0),
            records: records.collect(),
            levels: levels.collect(),
            delayed: delayed.collect(),
            last_body,
            damaged: Vec::new(),
        }
    }
}

impl LevelContent {
    fn is_known(&self) -> bool {
        self.had_page || self.watermark.is_some() || !self.blocks.is_empty()
    }

    fn low(&self) -> Offset {
        self.watermark.unwrap_or_default().low
    }

    fn read(&self, from: Offset, bytes_max: usize) -> Vec<Page> {
        let covering = self.pages.range(..=from).next_back().map(|(_, page)| page);
        let following = self.pages.range((Bound::Excluded(from), Bound::Unbounded));
        let mut pages = Vec::new();
        let mut bytes = 0;
        for page in covering
            .filter(|page| page.end > from)
            .into_iter()
            .chain(following.map(|(_, page)| page))
        {
            bytes += page.records.iter().map(|record| record.message.size()).sum::<usize>();
            pages.push(Page::clone(page));
            if bytes >= bytes_max {
                break;
            }
        }
        pages
    }

    fn settled(&self) -> Settled {
        Settled {
            watermark: self.watermark.unwrap_or_default(),
            blocks: self.blocks.iter().map(|(block, value)| (*block, value.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_engine::model::CommitId;

    fn record(key: &'static str, durability: Durability) -> Commit {
        let key = Bytes::from_static(key.as_bytes());
        Commit {
            id: CommitId(1),
            epoch: Epoch(0),
            operations: vec![Operation::PutRecord { key, value: Bytes::new() }],
            durability,
        }
    }

    fn keys(store: &MemoryStore) -> Vec<Bytes> {
        store.recover().unwrap().records.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_crash_keeps_what_is_synced_and_a_prefix_of_the_rest() {
        let store = MemoryStore::new();
        store.apply(&[record("a", Durability::Synced)]).unwrap();
        store.apply(&[record("b", Durability::Written)]).unwrap();
        store.apply(&[record("c", Durability::Written)]).unwrap();
        store.crash(1);
        assert_eq!(keys(&store), ["a", "b"]);
        store.apply(&[record("d", Durability::Written)]).unwrap();
        store.apply(&[record("e", Durability::Synced)]).unwrap();
        store.crash(0);
        assert_eq!(keys(&store), ["a", "b", "d", "e"]);
    }
}
