//! Messages into queues, and their settlement by channels.

use super::Shard;
use super::traces::{Arrival, Names, Publisher};
use crate::command::Publish;
use crate::event::Event;
use crate::model::{ChannelKey, ConnectionId, DeathReason, Message, PublishSeq, QueueId, Settle};
use crate::queue::{DeadLetter, Instants};

/// What a publisher has to wait for before it is told that its messages are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Awaited {
    /// Nothing.
    Nothing,
    /// A sync of what commits have had so far.
    Sync,
    /// The next commit.
    Next,
    /// A sync of what commits have had so far, and the next commit.
    Both,
}

impl Awaited {
    /// The next commit, if there is something for it.
    pub(super) const fn next_if(is_kept: bool) -> Self {
        if is_kept { Self::Next } else { Self::Nothing }
    }

    /// This and the other.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Sync, Self::Next) | (Self::Next, Self::Sync) => Self::Both,
            _ => self.max(other),
        }
    }
}

/// Messages on their way into one queue after the other, and what became of them.
pub(super) struct Incoming<'a> {
    pub(super) messages: &'a [Message],
    /// Who published them.
    pub(super) by: Publisher<'a>,
    /// Whether their publisher waits for confirms.
    pub(super) is_awaited: bool,
    pub(super) at: Instants,
    /// The places of those that a queue refused.
    pub(super) refused: Vec<u64>,
    /// Those among them that become dead letters of the queue that is served.
    dead: Vec<DeadLetter>,
}

impl Shard {
    /// Puts messages into their queues; whoever asked for confirms gets them when all queues have
    /// them on stable storage, and at once when there is nothing to store. What a full queue
    /// refuses is refused. Returns what that waits for.
    pub(super) fn publish(
        &mut self,
        at: Instants,
        connection: ConnectionId,
        publish: Publish,
    ) -> Awaited {
        let Publish { channel, confirm, targets, messages } = publish;
        let count = messages.len() as u64;
        let (key, is_awaited) = (ChannelKey { connection, channel }, confirm.is_some());
        let by = Publisher::Channel(key);
        let (awaited, mut refused) = self.enqueue_all(at, &targets, messages, by, is_awaited);
        let Some(first) = confirm else { return awaited };
        if refused.is_empty() {
            self.confirm(key, first, count, awaited);
        } else {
            refused.sort_unstable();
            refused.dedup();
            self.confirm_around(key, first, count, awaited, &refused);
        }
        awaited
    }

    /// Puts messages into all of these queues. Returns what their publisher has to wait for, and the places of
    /// those that a queue refused, some more than once.
    pub(super) fn enqueue_all(
        &mut self,
        at: Instants,
        targets: &[QueueId],
        mut messages: Vec<Message>,
        by: Publisher<'_>,
        is_awaited: bool,
    ) -> (Awaited, Vec<u64>) {
        if targets.len() > 1 {
            self.shared_bodies.share(&mut messages);
        } else if messages.iter().any(|message| message.delay().is_some()) {
            for message in messages.iter_mut().filter(|message| message.delay().is_some()) {
                self.shared_bodies.share(std::slice::from_mut(message));
            }
        }
        match *targets {
            [only] if self.takes_all(only) => {
                let is_kept = self.enqueue(only, messages, Arrival::Published(by), is_awaited, at);
                (Awaited::next_if(is_kept), Vec::new())
            }
            _ => {
                let messages = &messages[..];
                let (refused, dead) = (Vec::new(), Vec::new());
                let mut incoming = Incoming { messages, by, is_awaited, at, refused, dead };
                let awaited = targets.iter().map(|id| self.enqueue_checked(*id, &mut incoming));
                (awaited.fold(Awaited::Nothing, Awaited::and), incoming.refused)
            }
        }
    }

    /// Whether a queue takes whatever comes.
    fn takes_all(&self, id: QueueId) -> bool {
        let queue = self.queues.get(&id);
        queue.is_none_or(|queue| !queue.refuses_newcomers() && !queue.deduplicates())
    }

    /// Adds those messages that the queue takes.
    fn enqueue_checked(&mut self, id: QueueId, incoming: &mut Incoming<'_>) -> Awaited {
        if self.takes_all(id) {
            let messages = incoming.messages.iter().cloned();
            let arrival = Arrival::Published(incoming.by);
            let is_kept = self.enqueue(id, messages, arrival, incoming.is_awaited, incoming.at);
            return Awaited::next_if(is_kept);
        }
        let awaited = if self.queues.get(&id).is_some_and(|queue| queue.deduplicates()) {
            self.enqueue_new(id, incoming)
        } else {
            let places = 0..incoming.messages.len();
            let is_kept = places.filter_map(|place| self.enqueue_one(id, place, incoming));
            Awaited::next_if(is_kept.fold(false, |any, is_kept| any | is_kept))
        };
        if !incoming.dead.is_empty() {
            self.dead_letter(incoming.at, id, &std::mem::take(&mut incoming.dead));
        }
        awaited
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
        arrival: Arrival<'_>,
        is_awaited: bool,
        at: Instants,
    ) -> bool {
        let has_room = self.memory.has_volatile_room();
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let records = queue.records_arrivals();
        let names = Names { clients: &self.clients, topology: &self.topology };
        let (mut kept, mut volatile) = (0, 0);
        for (place, message) in messages.into_iter().enumerate() {
            let coming = if records { arrival.coming(place, names) } else { None };
            let is_kept = queue.enqueue(message, coming, has_room, at);
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

    /// Adds one of the messages to a queue. Tells whether it goes to the store; `None`: the queue refused
    /// it, since it has no room for it.
    pub(super) fn enqueue_one(
        &mut self,
        id: QueueId,
        place: usize,
        incoming: &mut Incoming<'_>,
    ) -> Option<bool> {
        let message = incoming.messages.get(place)?;
        let at = incoming.at;
        let is_full = |shard: &Self| {
            let queue = shard.queues.get(&id).filter(|queue| queue.refuses_newcomers());
            queue.is_some_and(|queue| queue.has_no_room_for(message))
        };
        if is_full(self) {
            // Consumers may take what is there.
            self.take_turn(id, at);
        }
        if !is_full(self) {
            let arrival = Arrival::Published(incoming.by);
            return Some(self.enqueue(id, [message.clone()], arrival, incoming.is_awaited, at));
        }
        incoming.refused.push(place as u64);
        let queue = self.queues.get_mut(&id)?;
        let (clients, topology) = (&self.clients, &self.topology);
        let published = || incoming.by.happening(Names { clients, topology });
        let life = queue.record_refused(message, published, at);
        if queue.refuse() {
            let (message, reason) = (message.clone(), DeathReason::MaxLength);
            incoming.dead.push(DeadLetter { message, reason, life });
        }
        None
    }

    fn confirm(&mut self, key: ChannelKey, first: PublishSeq, count: u64, awaited: Awaited) {
        match awaited {
            Awaited::Nothing => {
                let last = PublishSeq((first.0 + count).saturating_sub(1));
                let event = Event::Confirm { channel: key.channel, first, last };
                self.outbox.push(key.connection, event);
            }
            Awaited::Sync => self.commits.after_sync().confirm(key, first, count),
            Awaited::Next => self.commits.waiters.confirm(key, first, count),
            Awaited::Both => {
                // When all of it is consumed at once, the next commit may have nothing to do.
                self.commits.sync_all();
                self.commits.waiters.confirm(key, first, count);
            }
        }
    }

    /// Confirms `count` publishes from `first` on, except those at the places `refused`.
    fn confirm_around(
        &mut self,
        key: ChannelKey,
        first: PublishSeq,
        count: u64,
        awaited: Awaited,
        refused: &[u64],
    ) {
        let mut next = 0;
        for run in refused.chunk_by(|a, b| a + 1 == *b) {
            let (Some(from), Some(to)) = (run.first(), run.last()) else { continue };
            if *from > next {
                self.confirm(key, PublishSeq(first.0 + next), from - next, awaited);
            }
            let (first, last) = (PublishSeq(first.0 + from), PublishSeq(first.0 + to));
            let refuse = Event::Refuse { channel: key.channel, first, last };
            self.outbox.push(key.connection, refuse);
            next = to + 1;
        }
        if next < count {
            self.confirm(key, PublishSeq(first.0 + next), count - next, awaited);
        }
    }
}
