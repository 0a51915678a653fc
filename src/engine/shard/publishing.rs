//! Messages into queues, and their settlement by channels.

use super::Shard;
use crate::command::Publish;
use crate::event::Event;
use crate::model::{ChannelKey, ConnectionId, Message, PublishSeq, QueueId, Settle};
use crate::queue::{DeadLetter, DeathReason, Instants};

impl Shard {
    /// Puts messages into their queues; whoever asked for confirms gets them when all queues have
    /// them on stable storage, and at once when there is nothing to store. What a full queue
    /// refuses is refused.
    pub(super) fn publish(&mut self, at: Instants, connection: ConnectionId, publish: Publish) {
        let Publish { channel, confirm, targets, mut messages } = publish;
        let count = messages.len() as u64;
        let is_awaited = confirm.is_some();
        let mut refused = Vec::new();
        let mut is_kept = false;
        if targets.len() > 1 {
            self.shared_bodies.share(&mut messages);
        } else if messages.iter().any(|message| message.delay().is_some()) {
            for message in messages.iter_mut().filter(|message| message.delay().is_some()) {
                self.shared_bodies.share(std::slice::from_mut(message));
            }
        }
        for id in targets.iter() {
            if self.queues.get(id).is_some_and(|queue| queue.refuses_newcomers()) {
                is_kept |= self.enqueue_with_room(*id, &messages, is_awaited, at, &mut refused);
            } else if targets.len() > 1 {
                is_kept |= self.enqueue(*id, messages.iter().cloned(), is_awaited, at);
            }
        }
        if let [only] = *targets
            && self.queues.get(&only).is_some_and(|queue| !queue.refuses_newcomers())
        {
            is_kept = self.enqueue(only, messages, is_awaited, at);
        }
        let Some(first) = confirm else { return };
        let key = ChannelKey { connection, channel };
        if refused.is_empty() {
            self.confirm(key, first, count, is_kept);
        } else {
            refused.sort_unstable();
            refused.dedup();
            self.confirm_around(key, first, count, is_kept, &refused);
        }
    }

    /// Settles what a channel holds.
    pub(super) fn settle(&mut self, at: Instants, connection: ConnectionId, settle: &Settle) {
        let key = ChannelKey { connection, channel: settle.channel };
        let Some(slot) = self.clients.find_channel(key) else { return };
        let Some(queue) = self.queues.get_mut(&settle.queue) else { return };
        let released = queue.settle(slot, settle, at, &mut self.timings);
        self.commits.note_consumed(released.count.consumed);
        if released.needs_commit {
            self.mark_dirty_deferred(settle.queue, at.monotonic);
        }
        // Before the queue itself: another one of the channel's may have waited for longer.
        let freed = self.clients.settled(slot, released.count);
        self.unblock(key, freed);
        if self.clients.heard(slot) {
            self.unblock_channel(key);
        }
        self.schedule(settle.queue);
    }

    /// Adds messages to one queue; whether any of them goes to the store.
    pub(super) fn enqueue(
        &mut self,
        id: QueueId,
        messages: impl IntoIterator<Item = Message>,
        is_awaited: bool,
        at: Instants,
    ) -> bool {
        let has_room = self.memory.has_volatile_room();
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let (mut kept, mut volatile) = (0, 0);
        for message in messages {
            let is_kept = queue.enqueue(message, has_room, at);
            kept += u64::from(is_kept);
            volatile += u64::from(!is_kept);
        }
        let is_kept = kept > 0;
        if volatile > 0 && !queue.is_borrowed {
            queue.is_borrowed = true;
            self.borrowed.push(id);
        }
        if is_kept {
            self.mark_dirty(id);
        }
        if is_kept && !is_awaited {
            self.commits.defer_messages(kept, at.monotonic);
        }
        self.schedule(id);
        is_kept
    }

    /// Adds messages to a queue that refuses what it has no room for: the places in `messages` of the
    /// refused ones are added to `refused`.
    fn enqueue_with_room(
        &mut self,
        id: QueueId,
        messages: &[Message],
        is_awaited: bool,
        at: Instants,
        refused: &mut Vec<u64>,
    ) -> bool {
        let mut is_kept = false;
        let mut dead = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let is_full = |shard: &Self| {
                shard.queues.get(&id).is_some_and(|queue| queue.has_no_room_for(message))
            };
            if is_full(self) {
                // Consumers may take what is there.
                self.take_turn(id, at);
            }
            if !is_full(self) {
                is_kept |= self.enqueue(id, [message.clone()], is_awaited, at);
                continue;
            }
            refused.push(place as u64);
            if self.queues.get_mut(&id).is_some_and(|queue| queue.refuse()) {
                let reason = DeathReason::MaxLength;
                dead.push(DeadLetter { message: message.clone(), reason });
            }
        }
        if !dead.is_empty() {
            self.dead_letter(at, id, &dead);
        }
        is_kept
    }

    fn confirm(&mut self, key: ChannelKey, first: PublishSeq, count: u64, is_kept: bool) {
        if is_kept {
            self.commits.waiters.confirm(key, first, count);
        } else {
            let (channel, last) = (key.channel, PublishSeq((first.0 + count).saturating_sub(1)));
            self.outbox.push(key.connection, Event::Confirm { channel, first, last });
        }
    }

    /// Confirms `count` publishes from `first` on, except those at the places `refused`.
    fn confirm_around(
        &mut self,
        key: ChannelKey,
        first: PublishSeq,
        count: u64,
        is_kept: bool,
        refused: &[u64],
    ) {
        let mut next = 0;
        for run in refused.chunk_by(|a, b| a + 1 == *b) {
            let (Some(from), Some(to)) = (run.first(), run.last()) else { continue };
            if *from > next {
                self.confirm(key, PublishSeq(first.0 + next), from - next, is_kept);
            }
            let (first, last) = (PublishSeq(first.0 + from), PublishSeq(first.0 + to));
            let refuse = Event::Refuse { channel: key.channel, first, last };
            self.outbox.push(key.connection, refuse);
            next = to + 1;
        }
        if next < count {
            self.confirm(key, PublishSeq(first.0 + next), count - next, is_kept);
        }
    }
}
