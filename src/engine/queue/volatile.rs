//! The messages of a lane that a restart may lose: transient ones, and all of a queue that is not
//! durable. Belongs to a [`super::lane::Lane`].
//!
//! They live in memory until settled. When the shard's budget for them is used up, further ones
//! never come here: they are stored like those that are to be kept.
//!
//! A new one is *loose*: it shares the buffer that it was received in, and keeps it alive whole. When
//! there are too many of those the shard has them copied out ([`Volatile::settle_down`]).

use super::chunk::Chunk;
use crate::ids::Offset;
use crate::message::Message;
use std::collections::BTreeMap;

/// Unsettled messages that are not to be kept.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// By an offset that none of the chunk's messages is below.
    chunks: BTreeMap<Offset, Chunk>,
    count: u64,
    resident_octets: u64,
    body_octets: u64,
    /// What is from here on is loose.
    loose_from: Offset,
    loose: Loose,
}

/// Messages in the buffers that they were received in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loose {
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

impl Volatile {
    /// How many there are, in flight or not.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Octets that they take in memory, with all that it takes to keep them.
    pub(crate) fn resident_octets(&self) -> u64 {
        self.resident_octets
    }

    /// Octets of their bodies.
    pub(crate) fn body_octets(&self) -> u64 {
        self.body_octets
    }

    /// Those among them that are loose.
    pub(crate) fn loose(&self) -> Loose {
        self.loose
    }

    /// Whether the message is one of these.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.get(offset).is_some()
    }

    /// Whether there are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the lane's newest message.
    pub(crate) fn push(&mut self, offset: Offset, message: Message) {
        if self.loose.messages == 0 {
            self.loose_from = offset;
        }
        self.count += 1;
        self.body_octets += message.body().len() as u64;
        self.loose.messages += 1;
        self.loose.octets += message.size() as u64;
        let is_full = self.chunks.last_key_value().is_none_or(|(_, chunk)| chunk.is_full());
        if is_full {
            self.chunks.insert(offset, Chunk::default());
        }
        if let Some(mut newest) = self.chunks.last_entry() {
            let before = newest.get().cost();
            newest.get_mut().push(offset, message);
            self.resident_octets = self.resident_octets + newest.get().cost() - before;
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
        let Some(message) = chunk.remove(offset, self.loose_from) else { return false };
        self.resident_octets = self.resident_octets + chunk.cost() - before;
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
        self.body_octets -= message.body().len() as u64;
        if offset >= self.loose_from {
            self.loose.messages -= 1;
            self.loose.octets -= message.size() as u64;
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
        self.settle_down();
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

    /// Copies what is loose out of the receive buffers.
    pub(crate) fn settle_down(&mut self) {
        if self.loose.messages == 0 {
            return;
        }
        let from = self.loose_from;
        let first = self.chunks.range(..=from).next_back().map_or(from, |(first, _)| *first);
        for (_, chunk) in self.chunks.range_mut(first..) {
            let before = chunk.cost();
            chunk.settle_down(from);
            self.resident_octets = self.resident_octets + chunk.cost() - before;
        }
        self.loose = Loose::default();
        self.loose_from = Offset(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CHUNK_MESSAGES_MAX, CHUNK_OCTETS_MAX};
    use crate::message::Envelope;
    use crate::time::WallClock;
    use bytes::{Bytes, BytesMut};
    use forebay_wire::ShortStr;
    use forebay_wire::properties::Properties;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push { gap: u64, size: usize },
        Remove(u64),
        RemoveFirst,
        SettleDown,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0u64..3, 0usize..2000).prop_map(|(gap, size)| Step::Push { gap, size }),
            1 => Just(Step::Push { gap: 0, size: CHUNK_OCTETS_MAX }),
            4 => (0u64..3000).prop_map(Step::Remove),
            4 => Just(Step::RemoveFirst),
            1 => Just(Step::SettleDown),
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
            let mut loose: Vec<Offset> = Vec::new();
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
                        loose.push(offset);
                    }
                    Step::Remove(offset) => {
                        let offset = Offset(offset % (tail + 2));
                        prop_assert_eq!(volatile.remove(offset), model.remove(&offset).is_some());
                        loose.retain(|other| *other != offset);
                    }
                    Step::RemoveFirst => {
                        let Some((offset, _)) = model.pop_first() else { continue };
                        prop_assert!(volatile.remove(offset));
                        loose.retain(|other| *other != offset);
                    }
                    Step::SettleDown => {
                        volatile.settle_down();
                        loose.clear();
                    }
                }
                let sizes = |offset: &Offset| model[offset].size() as u64;
                let expected =
                    Loose { messages: loose.len() as u64, octets: loose.iter().map(sizes).sum() };
                prop_assert_eq!(volatile.loose(), expected);
                let octets: u64 = model.values().map(|message| message.size() as u64).sum();
                prop_assert!(volatile.resident_octets() >= octets);
                prop_assert_eq!(volatile.is_empty(), model.is_empty());
                prop_assert!(!model.is_empty() || volatile.resident_octets() == 0);
                let empty = volatile.chunks.values().filter(|chunk| chunk.is_empty()).count();
                prop_assert!(empty <= 1, "{empty} chunks are kept for nothing");
            }
            let bodies: u64 = model.values().map(|message| message.body().len() as u64).sum();
            prop_assert_eq!(volatile.body_octets(), bodies);
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
        volatile.settle_down();
        let kept: Vec<u64> = (0..all).filter(|offset| offset % 100 == 7).collect();
        for offset in (0..all).filter(|offset| offset % 100 != 7) {
            assert!(volatile.remove(Offset(offset)));
        }
        assert_eq!(volatile.count(), kept.len() as u64);
        let octets: u64 =
            kept.iter().map(|n| volatile.get(Offset(*n)).unwrap().size() as u64).sum();
        assert!(volatile.resident_octets() < 8 * octets, "{}", volatile.resident_octets());
    }
}
