//! The pages of a level: which are known, which are in memory, where memory ends, and what to ask
//! of the store. Belongs to a [`super::level::PriorityLevel`]; its size is bounded by the shard's budget and
//! by what is in flight, not by the backlog.

use super::message_states::MessageStates;
use crate::limits::{CACHED_AHEAD_BYTES_MAX, CACHED_BEHIND_BYTES_MAX};
use crate::model::{Message, Offset};
use crate::page::{Page, Record};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a record, apart from the message's own.
const RECORD_SIZE: u64 = size_of::<Record>() as u64;

/// A page that holds unsettled messages.
#[derive(Debug)]
struct Known {
    end: Offset,
    /// Messages of it that are not settled.
    live: u64,
    /// Whether the store has it.
    committed: bool,
}

/// Where a level stands with the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// Nothing is asked for.
    #[default]
    Idle,
    /// To be asked for when the server polls: the page that covers the offset, and what follows it
    /// up to so many bytes.
    Wanted { from: Offset, bytes_max: usize },
    /// Asked for; the answer will come.
    UnderWay,
}

/// Known pages by their first offset.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    known: BTreeMap<Offset, Known>,
    cached: BTreeMap<Offset, Arc<Page>>,
    cached_bytes: u64,
    /// Messages in memory.
    cached_messages: u64,
    /// Content of the store is in memory from the cursor up to here; `None`: up to the tail.
    gap: Option<Offset>,
    fetching: Fetching,
    /// The newest page that was put, kept in the store until the level is empty or another follows:
    /// its totals tell the level's size after a restart.
    newest: Option<Offset>,
}

impl Pages {
    /// A level whose messages are all in the store.
    pub(crate) fn recovered(low: Offset) -> Self {
        Self { gap: Some(low), ..Self::default() }
    }

    /// Bytes of the pages in memory that the store has too or will have.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    /// Bytes that the pages in memory take, with the records around the messages.
    pub(crate) fn cached_cost(&self) -> u64 {
        self.cached_bytes + self.cached_messages * RECORD_SIZE
    }

    /// Where it stands with the store.
    pub(crate) fn fetching(&self) -> Fetching {
        self.fetching
    }

    /// Notes where it stands with the store.
    pub(crate) fn set_fetching(&mut self, fetching: Fetching) {
        self.fetching = fetching;
    }

    /// The first stored offset from `cursor` on that memory does not have.
    pub(crate) fn gap(&self, cursor: Offset) -> Option<Offset> {
        self.gap.map(|gap| gap.max(cursor))
    }

    /// All of what is stored from the cursor on is in memory up to `gap`.
    pub(crate) fn set_gap(&mut self, gap: Option<Offset>) {
        self.gap = gap;
    }

    /// The message at `offset`, when its page is in memory.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        let (_, page) = self.cached.range(..=offset).next_back()?;
        let guess = usize::try_from(offset.0 - page.first.0).ok()?;
        let record = match page.records.get(guess) {
            Some(record) if record.offset == offset => record,
            _ => {
                let index = page.records.binary_search_by_key(&offset, |record| record.offset);
                page.records.get(index.ok()?)?
            }
        };
        Some(&record.message)
    }

    /// The end of the page in memory that covers `offset`.
    pub(crate) fn covered_to(&self, offset: Offset) -> Option<Offset> {
        let (_, page) = self.cached.range(..=offset).next_back()?;
        (page.end > offset).then_some(page.end)
    }

    /// A page of new messages goes to the store. Returns the page to be removed instead of which
    /// this one is now the newest.
    pub(crate) fn put(&mut self, page: &Arc<Page>, live: u64) -> Option<Offset> {
        self.cached_bytes += bytes(page);
        self.cached_messages += page.records.len() as u64;
        self.cached.insert(page.first, Arc::clone(page));
        self.known.insert(page.first, Known { end: page.end, live, committed: false });
        let before = self.newest.replace(page.first)?;
        self.take_if_dead(before)
    }

    /// The store has the page; `has_room`: the shard's memory has room for its content.
    pub(crate) fn commit(&mut self, first: Offset, states: &MessageStates, has_room: bool) {
        let Some(known) = self.known.get_mut(&first) else { return };
        known.committed = true;
        let (end, live) = (known.end, known.live);
        let is_needed = live > 0 && states.is_content_needed(first, end);
        if is_needed && end <= states.cursor() {
            return;
        }
        let is_kept = has_room && self.cached_bytes < CACHED_AHEAD_BYTES_MAX;
        if is_needed && is_kept && self.gap.is_none() {
            self.compact(first);
            return;
        }
        self.drop_content(first);
        if is_needed {
            self.gap = Some(self.gap.map_or(first, |gap| gap.min(first)));
        }
    }

    /// Takes a page that was read from the store, of whose messages `live` are not settled.
    pub(crate) fn insert(&mut self, page: Page, live: u64) {
        self.known.entry(page.first).or_insert(Known { end: page.end, live, committed: true });
        if !self.cached.contains_key(&page.first) {
            self.cached_bytes += bytes(&page);
            self.cached_messages += page.records.len() as u64;
            self.cached.insert(page.first, Arc::new(page));
        }
    }

    /// `first..=last` were settled. Adds to `dead` the pages that hold nothing any more.
    pub(crate) fn settle(&mut self, first: Offset, last: Offset, dead: &mut Vec<Offset>) {
        let from = self.known.range(..=first).next_back().map_or(first, |(from, _)| *from);
        let mut emptied = Vec::new();
        for (start, known) in self.known.range_mut(from..=last) {
            let (from, to) = (first.max(*start), Offset(last.0 + 1).min(known.end));
            known.live = known.live.saturating_sub(to.0.saturating_sub(from.0));
            if known.live == 0 && Some(*start) != self.newest {
                emptied.push(*start);
            }
        }
        for page in emptied {
            self.forget(page);
            dead.push(page);
        }
    }

    /// Many were settled at once: `live` tells how many of `first..end` are not.
    pub(crate) fn recount(&mut self, live: impl Fn(Offset, Offset) -> u64, dead: &mut Vec<Offset>) {
        let mut emptied = Vec::new();
        for (first, known) in &mut self.known {
            known.live = live(*first, known.end);
            if known.live == 0 && Some(*first) != self.newest {
                emptied.push(*first);
            }
        }
        for page in emptied {
            self.forget(page);
            dead.push(page);
        }
    }

    /// Takes the content of all pages out in which nothing is to be kept, as `is_kept` tells of
    /// `first..end`.
    pub(crate) fn take_content(
        &mut self,
        is_kept: impl Fn(Offset, Offset) -> bool,
    ) -> Vec<Arc<Page>> {
        let mut taken = Vec::new();
        for (first, page) in std::mem::take(&mut self.cached) {
            if is_kept(first, page.end) {
                self.cached.insert(first, page);
            } else {
                self.cached_bytes -= bytes(&page);
                self.cached_messages -= page.records.len() as u64;
                taken.push(page);
            }
        }
        taken
    }

    /// The level is empty: the newest page need not stay either.
    pub(crate) fn settle_all(&mut self, dead: &mut Vec<Offset>) {
        dead.extend(self.known.keys().copied());
        self.known.clear();
        self.cached.clear();
        self.cached_bytes = 0;
        self.cached_messages = 0;
        self.newest = None;
        self.gap = None;
    }

    /// Drops the content of stored pages before the cursor that is not needed again, but for the
    /// newest [`CACHED_BEHIND_BYTES_MAX`]: what comes back soon is delivered without a fetch.
    pub(crate) fn drop_delivered(&mut self, states: &MessageStates) {
        let mut kept = 0;
        let mut done = Vec::new();
        for (first, page) in self.cached.range(..states.cursor()).rev() {
            let is_stored = self.known.get(first).is_none_or(|known| known.committed);
            if !is_stored || states.is_content_needed(*first, page.end) {
                continue;
            }
            kept += page.bytes_after - page.bytes_before;
            if kept > CACHED_BEHIND_BYTES_MAX {
                done.push(*first);
            }
        }
        for first in done {
            self.drop_content(first);
        }
    }

    /// Drops stored content, what is read last first, until `bytes` are freed; returns how many were.
    /// Forgets stored pages without content in memory and without a delivered or parked message.
    pub(crate) fn evict(&mut self, bytes: u64, states: &MessageStates) -> u64 {
        let cursor = states.cursor();
        let before = self.cached_cost();
        let stored: Vec<Offset> = self
            .cached
            .keys()
            .rev()
            .filter(|first| self.known.get(first).is_none_or(|known| known.committed))
            .copied()
            .collect();
        for first in stored {
            if before - self.cached_cost() >= bytes {
                break;
            }
            self.drop_content(first);
            if first >= cursor || self.known.get(&first).is_some_and(|known| known.end > cursor) {
                self.gap = Some(self.gap.map_or(first, |gap| gap.min(first)));
            }
        }
        let (cached, newest) = (&self.cached, self.newest);
        self.known.retain(|first, known| {
            !known.committed
                || cached.contains_key(first)
                || newest == Some(*first)
                || states.is_delivered_in(*first, known.end)
        });
        before - self.cached_cost()
    }

    fn take_if_dead(&mut self, first: Offset) -> Option<Offset> {
        if self.known.get(&first)?.live > 0 {
            return None;
        }
        self.forget(first);
        Some(first)
    }

    fn forget(&mut self, first: Offset) {
        self.known.remove(&first);
        self.drop_content(first);
    }

    fn drop_content(&mut self, first: Offset) {
        if let Some(page) = self.cached.remove(&first) {
            self.cached_bytes -= bytes(&page);
            self.cached_messages -= page.records.len() as u64;
        }
    }

    /// Copies the messages together: on their own they keep whole receive buffers alive.
    fn compact(&mut self, first: Offset) {
        let Some(page) = self.cached.get_mut(&first) else { return };
        let copies = compact(page.records.iter().map(|record| &record.message));
        let records = page.records.iter().zip(copies);
        *page = Arc::new(Page {
            first: page.first,
            end: page.end,
            bytes_before: page.bytes_before,
            bytes_after: page.bytes_after,
            bounds: page.bounds,
            records: records
                .map(|(record, message)| Record { offset: record.offset, message })
                .collect(),
        });
    }
}

/// Copies of messages that share one allocation of just their size.
pub(crate) fn compact<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Vec<Message> {
    let mut arena = BytesMut::with_capacity(messages.clone().map(Message::size).sum());
    let mut copy = |bytes: &Bytes| {
        arena.extend_from_slice(bytes);
        arena.split().freeze()
    };
    messages.map(|message| message.copied_by(&mut copy)).collect()
}

fn bytes(page: &Page) -> u64 {
    page.records.iter().map(|record| record.message.size() as u64).sum()
}
