//! The messages of a level that a restart may lose: transient ones, and all of a queue that is not
//! durable. Belongs to a [`super::level::PriorityLevel`].
//!
//! They live in memory until settled. When the shard's budget for them is used up, further ones
//! never come here: they are stored like those that are to be kept.
//!
//! A new one is *borrowed*: it shares the buffer that it was received in, and keeps it alive whole. When
//! there are too many of those the shard has them copied out ([`Volatile::copy_out`]).

use super::chunk::Chunk;
use crate::model::{Message, Offset};
use std::collections::BTreeMap;

/// Unsettled messages that are not to be kept.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// By an offset that none of the chunk's messages is below.
    chunks: BTreeMap<Offset, Chunk>,
    count: u64,
    resident_bytes: u64,
    body_bytes: u64,
    /// What is from here on is borrowed.
    borrowed_from: Offset,
    borrowed: Borrowed,
}

/// Messages in the buffers that they were received in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Borrowed {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Volatile {
    /// How many there are, in flight or not.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that they take in memory, with all that it takes to keep them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// Bytes of their bodies.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Those among them that are borrowed.
    pub(crate) fn borrowed(&self) -> Borrowed {
        self.borrowed
    }

    /// Whether the message is one of these.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.get(offset).is_some()
    }

    /// Whether there are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the level's newest message.
    pub(crate) fn push(&mut self, offset: Offset, message: Message) {
        if self.borrowed.messages == 0 {
            self.borrowed_from = offset;
        }
        self.count += 1;
        self.body_bytes += message.body().len() as u64;
        self.borrowed.messages += 1;
        self.borrowed.bytes += message.size() as u64;
        let is_full = self.chunks.last_key_value().is_none_or(|(_, chunk)| chunk.is_full());
        if is_full {
            self.chunks.insert(offset, Chunk::default());
        }
        if let Some(mut newest) = self.chunks.last_entry() {
            let before = newest.get().cost();
            newest.get_mut().push(offset, message);
            self.resident_bytes = self.resident_bytes + newest.get().cost() - before;
        }
    }

    /// The message, when it is in memory.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Message> {
        let (_, chunk) = self.chunks.range(..=offset).next_back()?;
        chunk.get(offset)
    }

    /// The lowest offset not below `from`.
    pub(crate) fn next(&self, from: Offset) -> Option<Offset> {
        let here = self.chunks.range(..=from).next_back();
        here.and_then(|(_, chunk)| chunk.next(from))
            .or_else(|| self.chunks.range(from..).find_map(|(_, chunk)| chunk.next(from)))
    }

    /// Settles one; whether it was here.
    pub(crate) fn remove(&mut self, offset: Offset) -> bool {
        let Some((first, chunk)) = self.chunks.range_mut(..=offset).next_back() else {
            return false;
        };
        let (first, before) = (*first, chunk.cost());
        let Some(message) = chunk.remove(offset, self.borrowed_from) else { return false };
        self.resident_bytes = self.resident_bytes + chunk.cost() - before;
        if chunk.is_empty() {
            let is_spare = chunk.is_spare();
            // New messages go into the newest one: another would be empty for ever.
            let is_newest =
                self.chunks.last_key_value().is_some_and(|(newest, _)| *newest == first);
            if !(is_newest && is_spare) {
                self.chunks.remove(&first);
            }
        }
        self.count -= 1;
        self.body_bytes -= message.body().len() as u64;
        if offset >= self.borrowed_from {
            self.borrowed.messages -= 1;
            self.borrowed.bytes -= message.size() as u64;
        }
        true
    }

    /// Takes all out but those at `kept`, which stay; at once, however many there are.
    pub(crate) fn take_except(&mut self, kept: impl Iterator<Item = Offset>) -> Self {
        let taken = std::mem::take(self);
        for offset in kept {
            if let Some(message) = taken.get(offset) {
                self.push(offset, message.clone());
            }
        }
        // Otherwise those that stay would hold on to the memory of those that go.
        self.copy_out();
        taken
    }

    /// Frees some neighbours; how many there were. Only for what is thrown away as a whole: the other
    /// figures stay as they were.
    pub(crate) fn free_chunk(&mut self) -> usize {
        while let Some((_, chunk)) = self.chunks.pop_first() {
            if !chunk.is_empty() {
                return chunk.count();
            }
        }
        0
    }

    /// The offsets of all, ascending.
    #[cfg(test)]
    pub(crate) fn offsets(&self) -> Vec<Offset> {
        self.chunks.values().flat_map(Chunk::offsets).collect()
    }

    /// Copies what is borrowed out of the receive buffers.
    pub(crate) fn copy_out(&mut self) {
        if self.borrowed.messages == 0 {
            return;
        }
        let from = self.borrowed_from;
        let first = self.chunks.range(..=from).next_back().map_or(from, |(first, _)| *first);
        for (_, chunk) in self.chunks.range_mut(first..) {
            let before = chunk.cost();
            chunk.copy_out(from);
            self.resident_bytes = self.resident_bytes + chunk.cost() - before;
        }
        self.borrowed = Borrowed::default();
        self.borrowed_from = Offset(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CHUNK_BYTES_MAX, CHUNK_MESSAGES_MAX};
    use crate::model::{Envelope, WallClock};
    use bytes::{Bytes, BytesMut};
    use forebay_wire::ShortStr;
    use forebay_wire::properties::Properties;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push { gap: u64, size: usize },
        Remove(u64),
        RemoveFirst,
        CopyOut,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0u64..3, 0usize..2000).prop_map(|(gap, size)| Step::Push { gap, size }),
            1 => Just(Step::Push { gap: 0, size: CHUNK_BYTES_MAX }),
            4 => (0u64..3000).prop_map(Step::Remove),
            4 => Just(Step::RemoveFirst),
            1 => Just(Step::CopyOut),
        ];
        proptest::collection::vec(step, 0..2000)
    }

    fn message(number: u64, size: usize) -> Message {
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::EMPTY,
            properties: &Properties::default().encode(),
            published_at: WallClock(number),
            expiration: None,
        };
        Message::new(envelope, Bytes::from(vec![number as u8; size]), &mut BytesMut::new())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_holds_what_a_map_holds(steps in steps()) {
            let mut model: BTreeMap<Offset, Message> = BTreeMap::new();
            let mut borrowed: Vec<Offset> = Vec::new();
            let mut volatile = Volatile::default();
            let mut tail = 0;
            for step in steps {
                match step {
                    Step::Push { gap, size } => {
                        let offset = Offset(tail + gap);
                        tail = offset.0 + 1;
                        let message = message(offset.0, size);
                        volatile.push(offset, message.clone());
                        model.insert(offset, message);
                        borrowed.push(offset);
                    }
                    Step::Remove(offset) => {
                        let offset = Offset(offset % (tail + 2));
                        prop_assert_eq!(volatile.remove(offset), model.remove(&offset).is_some());
                        borrowed.retain(|other| *other != offset);
                    }
                    Step::RemoveFirst => {
                        let Some((offset, _)) = model.pop_first() else { continue };
                        prop_assert!(volatile.remove(offset));
                        borrowed.retain(|other| *other != offset);
                    }
                    Step::CopyOut => {
                        volatile.copy_out();
                        borrowed.clear();
                    }
                }
                let sizes = |offset: &Offset| model[offset].size() as u64;
                let expected =
                    Borrowed { messages: borrowed.len() as u64, bytes: borrowed.iter().map(sizes).sum() };
                prop_assert_eq!(volatile.borrowed(), expected);
                let bytes: u64 = model.values().map(|message| message.size() as u64).sum();
                prop_assert!(volatile.resident_bytes() >= bytes);
                prop_assert_eq!(volatile.is_empty(), model.is_empty());
                prop_assert!(!model.is_empty() || volatile.resident_bytes() == 0);
                let empty = volatile.chunks.values().filter(|chunk| chunk.is_empty()).count();
                prop_assert!(empty <= 1, "{empty} chunks are kept for nothing");
            }
            let bodies: u64 = model.values().map(|message| message.body().len() as u64).sum();
            prop_assert_eq!(volatile.body_bytes(), bodies);
            prop_assert_eq!(volatile.count(), model.len() as u64);
            prop_assert_eq!(volatile.offsets(), model.keys().copied().collect::<Vec<_>>());
            for offset in (0..tail + 2).map(Offset) {
                prop_assert_eq!(volatile.get(offset), model.get(&offset));
                let next = model.range(offset..).next().map(|(offset, _)| *offset);
                prop_assert_eq!(volatile.next(offset), next);
            }
        }
    }

    #[test]
    fn one_message_that_stays_does_not_hold_on_to_those_around_it() {
        let mut volatile = Volatile::default();
        let all = 4 * CHUNK_MESSAGES_MAX as u64;
        for offset in 0..all {
            volatile.push(Offset(offset), message(offset, 1000));
        }
        volatile.copy_out();
        let kept: Vec<u64> = (0..all).filter(|offset| offset % 100 == 7).collect();
        for offset in (0..all).filter(|offset| offset % 100 != 7) {
            assert!(volatile.remove(Offset(offset)));
        }
        assert_eq!(volatile.count(), kept.len() as u64);
        let bytes: u64 = kept.iter().map(|n| volatile.get(Offset(*n)).unwrap().size() as u64).sum();
        assert!(volatile.resident_bytes() < 8 * bytes, "{}", volatile.resident_bytes());
    }
}
