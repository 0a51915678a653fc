//! The states of a level's messages that are not settled: ready ahead of the cursor, returned, blocked,
//! delivered, parked or dead. A message has one of them, since each transition leaves the one before.
//! Kept in memory alone: after a restart every message is ready, but for those whose wait was stored.
//! Belongs to a [`super::level::PriorityLevel`].
//!
//! What is ahead of the cursor and what came back is kept as ranges, because both may be millions of
//! messages; what is delivered, parked or dead is kept by offset.

use super::blocked::Blocked;
use super::offset_set::OffsetSet;
use crate::credit::{ChannelSlot, ConsumerId};
use crate::model::{DeathReason, Monotonic, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// A delivery that is not settled: where the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The channel it was delivered on.
    pub(crate) channel: ChannelSlot,
    /// The consumer; `None` after `basic.get`.
    pub(crate) consumer: Option<ConsumerId>,
    /// Bytes of the message's body.
    pub(crate) size: u32,
    /// When it was delivered.
    pub(crate) delivered_at: Monotonic,
    /// Until when its client may hold it, since it asked for more time; [`Monotonic::AT_ONCE`]: it never did.
    pub(crate) extended_to: Monotonic,
}

/// The state of a message that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unready {
    /// A channel holds it.
    Delivered(Held),
    /// It came back, and waits for its next delivery.
    Parked {
        /// When it is ready again.
        due: Monotonic,
        /// Bytes of the message's body.
        size: u32,
    },
    /// It becomes a dead letter as soon as its content is in memory.
    Dead {
        reason: DeathReason,
        /// Bytes of the message's body.
        size: u32,
    },
}

impl Unready {
    const fn size(&self) -> u32 {
        match self {
            Self::Delivered(held) => held.size,
            Self::Parked { size, .. } | Self::Dead { size, .. } => *size,
        }
    }

    const fn held(&self) -> Option<&Held> {
        match self {
            Self::Delivered(held) => Some(held),
            Self::Parked { .. } | Self::Dead { .. } => None,
        }
    }
}

/// The messages of a level by their states.
#[derive(Debug, Default)]
pub(crate) struct MessageStates {
    /// Unsettled messages from here on are ready and were not delivered by this process.
    cursor: Offset,
    /// Messages before the cursor that are ready again.
    returned: OffsetSet,
    /// Messages before the cursor that are ready and wait behind others of their groups.
    blocked: Blocked,
    /// Messages before the cursor that were looked at and not delivered by this process.
    undelivered: OffsetSet,
    /// Messages before the cursor that are delivered, parked or dead.
    unready: BTreeMap<Offset, Unready>,
    /// Bytes of the bodies of `unready`.
    unready_bytes: u64,
    /// Index of `unready`: the dead ones.
    dead: OffsetSet,
    /// Index of `unready`: the parked ones.
    parked: OffsetSet,
    /// Index of `unready`: the parked ones by the times at which they are due.
    parked_due: BTreeSet<(Monotonic, Offset)>,
    /// Bytes of the bodies of the parked ones.
    parked_bytes: u64,
    /// A parked message whose content an operator waits for.
    looked_at: Option<Offset>,
    /// How many of `unready` consumers hold, rather than channels after `basic.get`.
    consumed: u64,
}

impl MessageStates {
    /// All messages from `cursor` on are ready.
    pub(crate) fn ready_from(cursor: Offset) -> Self {
        Self { cursor, ..Self::default() }
    }

    /// Unsettled messages from here on are ready and were not delivered by this process.
    pub(crate) fn cursor(&self) -> Offset {
        self.cursor
    }

    /// Messages before the cursor that are ready again.
    pub(crate) fn returned(&self) -> &OffsetSet {
        &self.returned
    }

    /// How many messages are delivered, parked or dead.
    pub(crate) fn unready(&self) -> u64 {
        self.unready.len() as u64
    }

    /// How many messages are delivered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.unready.len() as u64 - self.dead.count() - self.parked.count()
    }

    /// Bytes of the bodies of messages that are delivered, parked or dead.
    pub(crate) fn unready_bytes(&self) -> u64 {
        self.unready_bytes
    }

    /// The messages that are delivered or dead, ascending, with the bytes of their bodies.
    pub(crate) fn unready_sizes(&self) -> impl Iterator<Item = (Offset, u32)> {
        let unready = self.unready.iter();
        let taken = unready.filter(|(_, state)| !matches!(state, Unready::Parked { .. }));
        taken.map(|(offset, state)| (*offset, state.size()))
    }

    /// Whether a message is delivered or dead.
    pub(crate) fn is_taken(&self, offset: Offset) -> bool {
        let state = self.unready.get(&offset);
        state.is_some_and(|state| !matches!(state, Unready::Parked { .. }))
    }

    /// The parked messages.
    pub(crate) fn parked(&self) -> &OffsetSet {
        &self.parked
    }

    /// Bytes of the bodies of parked messages.
    pub(crate) fn parked_bytes(&self) -> u64 {
        self.parked_bytes
    }

    /// The parked message that is due first, and when.
    pub(crate) fn first_due(&self) -> Option<(Monotonic, Offset)> {
        self.parked_due.first().copied()
    }

    /// When a parked message is due; `None` when it is not parked.
    pub(crate) fn due(&self, offset: Offset) -> Option<Monotonic> {
        match self.unready.get(&offset)? {
            Unready::Parked { due, .. } => Some(*due),
            Unready::Delivered(_) | Unready::Dead { .. } => None,
        }
    }

    /// How many messages consumers hold.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The delivered messages, ascending.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = (Offset, &Held)> {
        self.unready.iter().filter_map(|(offset, state)| Some((*offset, state.held()?)))
    }

    /// Who holds the message, when it is delivered.
    pub(crate) fn holder(&self, offset: Offset) -> Option<&Held> {
        self.unready.get(&offset)?.held()
    }

    /// Whether `channel` holds the message.
    pub(crate) fn is_held_by(&self, offset: Offset, channel: ChannelSlot) -> bool {
        self.holder(offset).is_some_and(|held| held.channel == channel)
    }

    /// The lowest dead message.
    pub(crate) fn first_dead(&self) -> Option<(Offset, DeathReason)> {
        let offset = self.dead.first()?;
        match self.unready.get(&offset)? {
            Unready::Dead { reason, .. } => Some((offset, *reason)),
            Unready::Delivered(_) | Unready::Parked { .. } => None,
        }
    }

    /// Whether any of `first..end` is delivered or parked.
    pub(crate) fn is_delivered_in(&self, first: Offset, end: Offset) -> bool {
        self.unready.range(first..end).any(|(_, state)| !matches!(state, Unready::Dead { .. }))
    }

    /// Whether the content of any message of `first..end` before the cursor is needed again: it is
    /// returned or dead, or an operator looks at it.
    pub(crate) fn is_content_needed_again(&self, first: Offset, end: Offset) -> bool {
        if self.looked_at.is_some_and(|offset| first <= offset && offset < end) {
            return true;
        }
        [&self.returned, &self.dead, self.blocked.offsets()]
            .into_iter()
            .any(|set| set.next_present(first).is_some_and(|offset| offset < end))
    }

    /// Whether the content of any message of `first..end` is needed: from the cursor on, or again.
    pub(crate) fn is_content_needed(&self, first: Offset, end: Offset) -> bool {
        end > self.cursor || self.is_content_needed_again(first, end)
    }

    /// A ready message leaves the order. The caller settles it, delivers it or marks it dead. Returns
    /// whether it had been delivered before.
    pub(crate) fn take_ready(&mut self, offset: Offset) -> bool {
        let is_returned = offset < self.cursor;
        if is_returned {
            self.remove_ready(offset);
        } else {
            self.cursor = offset.next();
        }
        is_returned
    }

    /// A ready message is settled without a delivery, and those before it stay ready.
    pub(crate) fn remove_ready(&mut self, offset: Offset) {
        self.returned.remove(offset, offset);
        self.blocked.remove(offset);
        if !self.undelivered.is_empty() {
            self.undelivered.remove(offset, offset);
        }
    }

    /// A ready message waits behind another one of its group.
    pub(crate) fn block(&mut self, offset: Offset, group: u64) {
        let is_undelivered = !self.was_delivered(offset);
        self.take_ready(offset);
        if is_undelivered {
            self.undelivered.insert(offset, offset);
        }
        self.blocked.insert(offset, group);
    }

    /// The first message of a group that waits behind others waits no more.
    pub(crate) fn let_go(&mut self, group: u64) -> Option<Offset> {
        let offset = self.blocked.first_of(group)?;
        self.blocked.remove(offset);
        self.returned.insert(offset, offset);
        Some(offset)
    }

    /// No message waits behind others of its group any more.
    pub(crate) fn let_all_go(&mut self) {
        for offset in std::mem::take(&mut self.blocked).offsets().offsets() {
            self.returned.insert(offset, offset);
        }
    }

    /// How many messages wait behind others of their groups.
    pub(crate) fn blocked(&self) -> u64 {
        self.blocked.count()
    }

    /// The messages that wait behind others of their groups.
    pub(crate) fn blocked_offsets(&self) -> &OffsetSet {
        self.blocked.offsets()
    }

    /// Whether this process may have delivered a message.
    pub(crate) fn was_delivered(&self, offset: Offset) -> bool {
        offset < self.cursor && !self.undelivered.contains(offset)
    }

    /// A message that left the order is delivered.
    pub(crate) fn deliver(&mut self, offset: Offset, held: Held) {
        self.unready_bytes += u64::from(held.size);
        self.consumed += u64::from(held.consumer.is_some());
        self.unready.insert(offset, Unready::Delivered(held));
    }

    /// A message that left the order, or whose delivery ended, is dead.
    pub(crate) fn mark_dead(&mut self, offset: Offset, reason: DeathReason, size: u32) {
        self.unready_bytes += u64::from(size);
        self.unready.insert(offset, Unready::Dead { reason, size });
        self.dead.insert(offset, offset);
    }

    /// A dead message leaves. Returns the bytes of its body; 0 when it is not dead.
    pub(crate) fn remove_dead(&mut self, offset: Offset) -> u32 {
        if !self.dead.contains(offset) {
            return 0;
        }
        self.dead.remove(offset, offset);
        let size = self.unready.remove(&offset).map_or(0, |state| state.size());
        self.unready_bytes -= u64::from(size);
        size
    }

    /// A message whose delivery ended waits until `due`.
    pub(crate) fn park(&mut self, offset: Offset, due: Monotonic, size: u32) {
        self.unready_bytes += u64::from(size);
        self.parked_bytes += u64::from(size);
        self.unready.insert(offset, Unready::Parked { due, size });
        self.parked.insert(offset, offset);
        self.parked_due.insert((due, offset));
    }

    /// A parked message waits no more. The caller settles it, requeues it or marks it dead. Returns the
    /// bytes of its body; `None` when it is not parked.
    pub(crate) fn unpark(&mut self, offset: Offset) -> Option<u32> {
        let due = self.due(offset)?;
        let size = self.unready.remove(&offset)?.size();
        self.unready_bytes -= u64::from(size);
        self.parked_bytes -= u64::from(size);
        self.parked.remove(offset, offset);
        self.parked_due.remove(&(due, offset));
        if self.looked_at == Some(offset) {
            self.looked_at = None;
        }
        Some(size)
    }

    /// An operator waits for the content of a parked message; `None`: for none any more.
    pub(crate) fn look_at(&mut self, offset: Option<Offset>) {
        self.looked_at = offset.filter(|offset| self.parked.contains(*offset));
    }

    /// The messages of `ready`, runs before `cursor`, are ready as if they had been delivered and returned.
    pub(crate) fn recover(
        &mut self,
        cursor: Offset,
        ready: impl Iterator<Item = (Offset, Offset)>,
    ) {
        self.cursor = self.cursor.max(cursor);
        ready.for_each(|(first, last)| self.returned.insert(first, last));
    }

    /// The parked messages are due at other times, as `due` tells.
    pub(crate) fn reset_due(&mut self, due: impl Fn(Offset) -> Option<Monotonic>) {
        for (_, offset) in std::mem::take(&mut self.parked_due) {
            if let Some(Unready::Parked { due: at, .. }) = self.unready.get_mut(&offset) {
                *at = due(offset).unwrap_or(*at);
                self.parked_due.insert((*at, offset));
            }
        }
    }

    /// A message whose delivery ended is ready again, in its place.
    pub(crate) fn requeue(&mut self, offset: Offset) {
        self.returned.insert(offset, offset);
    }

    /// A message that `channel` holds may be held until then; whether it does.
    pub(crate) fn extend(&mut self, offset: Offset, channel: ChannelSlot, to: Monotonic) -> bool {
        match self.unready.get_mut(&offset) {
            Some(Unready::Delivered(held)) if held.channel == channel => {
                held.extended_to = to;
                true
            }
            _ => false,
        }
    }

    /// Ends the delivery of one message. The caller settles it, requeues it or marks it dead.
    pub(crate) fn end_delivery(&mut self, offset: Offset) -> Option<Held> {
        let held = *self.holder(offset)?;
        self.unready.remove(&offset);
        self.count_ended(&held);
        Some(held)
    }

    /// Ends the deliveries of `range` to `channel` and adds them to `ended`, ascending. The caller
    /// settles the messages, requeues them or marks them dead.
    pub(crate) fn end_deliveries(
        &mut self,
        channel: ChannelSlot,
        range: RangeInclusive<Offset>,
        ended: &mut Vec<(Offset, Held)>,
    ) {
        let start = ended.len();
        // Most settlements are of the oldest deliveries.
        while let Some(entry) = self.unready.first_entry()
            && let Some(held) = entry.get().held().copied()
            && held.channel == channel
            && range.contains(entry.key())
        {
            ended.push((entry.remove_entry().0, held));
        }
        let from = ended.len();
        let rest = self.unready.range(range).filter_map(|(offset, state)| {
            Some((*offset, *state.held().filter(|held| held.channel == channel)?))
        });
        ended.extend(rest);
        for (offset, _) in ended.iter().skip(from) {
            self.unready.remove(offset);
        }
        ended.iter().skip(start).for_each(|(_, held)| self.count_ended(held));
    }

    /// The same for all deliveries to any of these channels.
    pub(crate) fn end_channels(
        &mut self,
        channels: &BTreeSet<ChannelSlot>,
        ended: &mut Vec<(Offset, Held)>,
    ) {
        let start = ended.len();
        self.unready.retain(|offset, state| match state.held() {
            Some(held) if channels.contains(&held.channel) => {
                ended.push((*offset, *held));
                false
            }
            _ => true,
        });
        ended.iter().skip(start).for_each(|(_, held)| self.count_ended(held));
    }

    /// All ready and parked messages are settled; the next one gets the offset `tail`.
    pub(crate) fn purge(&mut self, tail: Offset) {
        while let Some((_, offset)) = self.first_due() {
            self.unpark(offset);
        }
        self.returned = OffsetSet::default();
        self.blocked = Blocked::default();
        self.undelivered = OffsetSet::default();
        self.cursor = tail;
    }

    fn count_ended(&mut self, held: &Held) {
        self.unready_bytes -= u64::from(held.size);
        self.consumed -= u64::from(held.consumer.is_some());
    }
}
