//! Some messages that follow one another in a level and are in memory alone, packed so that what they
//! take is known. Belongs to a [`super::volatile::Volatile`].

use super::pages::compact;
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_MESSAGES_MAX};
use crate::model::{Message, Offset};
use std::collections::VecDeque;

/// Bytes of an entry, apart from the message's own.
const ENTRY_SIZE: usize = size_of::<(Offset, Message)>();

/// Bytes of a chunk without messages: its place in the map, and what an allocation costs.
const CHUNK_SIZE: usize = 256;

/// Bytes that copies which were made together take beside their content.
const COPIES_SIZE: usize = 64;

/// Entries that an empty chunk may have room for and be kept for the messages to come.
const SPARE_ENTRIES_MAX: usize = 16;

/// Copies are made again when so small a part of what they hold on to is theirs.
const HELD_FACTOR_MAX: usize = 4;

/// Messages by offset, ascending.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    messages: VecDeque<(Offset, Message)>,
    /// Bytes of the messages.
    live: usize,
    /// Bytes that they hold on to: of copies made together all, until the last one is gone.
    held: usize,
}

impl Chunk {
    /// Bytes that it takes in memory.
    pub(crate) fn cost(&self) -> u64 {
        if self.messages.is_empty() {
            return 0;
        }
        (CHUNK_SIZE + self.messages.capacity() * ENTRY_SIZE + self.held) as u64
    }

    /// Whether further messages belong into another one.
    pub(crate) fn is_full(&self) -> bool {
        self.messages.len() >= CHUNK_MESSAGES_MAX || self.held >= CHUNK_BYTES_MAX
    }

    /// How many messages it has.
    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    /// Whether it has no messages.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is small enough to be kept, without messages, for those to come.
    pub(crate) fn is_spare(&self) -> bool {
        self.messages.capacity() <= SPARE_ENTRIES_MAX
    }

    /// Adds a message behind the others; it is borrowed.
    pub(crate) fn push(&mut self, offset: Offset, message: Message) {
        self.live += message.size();
        self.held += message.size();
        self.messages.push_back((offset, message));
    }

    /// The message at `offset`.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        self.messages.get(self.index_of(offset)?).map(|(_, message)| message)
    }

    /// The lowest offset not below `from`.
    pub(crate) fn next(&self, from: Offset) -> Option<Offset> {
        match self.messages.front()? {
            (first, _) if *first >= from => Some(*first),
            _ => self.messages.get(self.index_from(from)).map(|(offset, _)| *offset),
        }
    }

    /// Takes a message out; those from `borrowed_from` on are borrowed.
    pub(crate) fn remove(&mut self, offset: Offset, borrowed_from: Offset) -> Option<Message> {
        let (_, message) = self.messages.remove(self.index_of(offset)?)?;
        self.live -= message.size();
        if self.messages.is_empty() {
            self.held = 0;
        } else if offset >= borrowed_from {
            self.held -= message.size();
        } else if self.live.saturating_mul(HELD_FACTOR_MAX) < self.held {
            self.copy(Offset(0), borrowed_from);
            self.held = self.live + COPIES_SIZE;
            self.messages.shrink_to_fit();
        }
        Some(message)
    }

    /// Copies the messages from `borrowed_from` on out of the receive buffers.
    pub(crate) fn copy_out(&mut self, borrowed_from: Offset) {
        self.copy(borrowed_from, Offset(u64::MAX));
        self.held += COPIES_SIZE;
    }

    /// All offsets, ascending.
    #[cfg(test)]
    pub(crate) fn offsets(&self) -> impl Iterator<Item = Offset> + '_ {
        self.messages.iter().map(|(offset, _)| *offset)
    }

    fn copy(&mut self, from: Offset, end: Offset) {
        let range = self.index_from(from)..self.index_from(end);
        let copies = compact(self.messages.range(range.clone()).map(|(_, message)| message));
        for ((_, message), copy) in self.messages.range_mut(range).zip(copies) {
            *message = copy;
        }
    }

    fn index_of(&self, offset: Offset) -> Option<usize> {
        // Mostly they have no gaps.
        let (first, _) = self.messages.front()?;
        let guess = usize::try_from(offset.0.checked_sub(first.0)?).ok()?;
        match self.messages.get(guess) {
            Some((found, _)) if *found == offset => Some(guess),
            _ => self.messages.binary_search_by_key(&offset, |(offset, _)| *offset).ok(),
        }
    }

    fn index_from(&self, from: Offset) -> usize {
        self.messages.partition_point(|(offset, _)| *offset < from)
    }
}
