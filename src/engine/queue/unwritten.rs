//! The newest messages of a level that are to be kept and are in no page yet. Belongs to a
//! [`super::level::PriorityLevel`]; the next commit empties it.

use crate::limits::{CHUNK_MESSAGES_MAX, PAGE_BYTES_MAX};
use crate::model::{Message, Offset};
use crate::page::Record;
use std::collections::VecDeque;

/// Messages by offset; those settled before they were written leave a gap.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    first: Offset,
    slots: VecDeque<Option<Message>>,
    live: usize,
    bytes: u64,
    body_bytes: u64,
}

impl Unwritten {
    /// The offset from which on messages are here rather than in pages.
    pub(crate) fn first(&self) -> Offset {
        self.first
    }

    /// Bytes of the messages here.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of their bodies.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Begins at `tail`: nothing before it is here.
    pub(crate) fn start_at(&mut self, tail: Offset) {
        self.slots.clear();
        self.first = tail;
    }

    /// Adds the message with the level's newest offset.
    pub(crate) fn push(&mut self, message: Message) {
        self.live += 1;
        self.bytes += message.size() as u64;
        self.body_bytes += message.body().len() as u64;
        self.slots.push_back(Some(message));
    }

    /// Passes over an offset whose message is kept elsewhere.
    pub(crate) fn skip(&mut self) {
        if self.live == 0 {
            self.first = Offset(self.first.0 + self.slots.len() as u64 + 1);
            self.slots.clear();
        } else {
            self.slots.push_back(None);
        }
    }

    /// The message at `offset`.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        let index = offset.0.checked_sub(self.first.0)?;
        self.slots.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// Drops the message at `offset`: it was settled before it was written.
    pub(crate) fn remove(&mut self, offset: Offset) {
        let Some(index) = offset.0.checked_sub(self.first.0) else { return };
        let slot = usize::try_from(index).ok().and_then(|index| self.slots.get_mut(index));
        let Some(message) = slot.and_then(Option::take) else { return };
        self.live -= 1;
        self.bytes -= message.size() as u64;
        self.body_bytes -= message.body().len() as u64;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first = self.first.next();
        }
    }

    /// Takes all messages out but those at `kept`, ascending, which stay in their places; at once,
    /// however many there are.
    pub(crate) fn take_except(&mut self, kept: impl Iterator<Item = Offset>) -> Self {
        let end = Offset(self.first.0 + self.slots.len() as u64);
        let mut taken = std::mem::take(self);
        self.first = end;
        for offset in kept.filter(|offset| *offset < end) {
            let index = offset.0.checked_sub(taken.first.0).and_then(|at| usize::try_from(at).ok());
            let slot = index.and_then(|index| taken.slots.get_mut(index));
            let Some(message) = slot.and_then(Option::take) else { continue };
            if self.live == 0 {
                self.first = offset;
            }
            let place = usize::try_from(offset.0 - self.first.0).unwrap_or(usize::MAX);
            self.slots.resize(place, None);
            self.push(message);
        }
        if self.live > 0 {
            let places = usize::try_from(end.0 - self.first.0).unwrap_or(usize::MAX);
            self.slots.resize(places, None);
        }
        taken
    }

    /// Messages, with those that were settled between them.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    /// Frees some messages; how many places those had. Only for what is thrown away as a whole.
    pub(crate) fn free_some(&mut self) -> usize {
        let places = self.slots.len().min(CHUNK_MESSAGES_MAX);
        drop(self.slots.drain(..places));
        places
    }

    /// Takes all messages out, in runs that fit into a page each.
    pub(crate) fn take(&mut self) -> Vec<Vec<Record>> {
        let mut pages = Vec::new();
        let mut records = Vec::with_capacity(self.live);
        let mut bytes = 0;
        let end = Offset(self.first.0 + self.slots.len() as u64);
        for (index, slot) in self.slots.drain(..).enumerate() {
            let Some(message) = slot else { continue };
            if bytes + message.size() > PAGE_BYTES_MAX && !records.is_empty() {
                pages.push(std::mem::take(&mut records));
                bytes = 0;
            }
            bytes += message.size();
            records.push(Record { offset: Offset(self.first.0 + index as u64), message });
        }
        if !records.is_empty() {
            pages.push(records);
        }
        self.first = end;
        self.live = 0;
        self.bytes = 0;
        self.body_bytes = 0;
        pages
    }
}
