//! The consumers of a queue and whose turn it is. Belongs to a [`super::Queue`].
//!
//! Consumers that can take a message stand in a ring for each `x-priority`; one that cannot is
//! taken out of it and put back when something changed that may have held it up, so that a turn
//! does not walk over all those who wait for nothing. A consumer that leaves its place leaves it empty
//! there: to search for it would take as long as the ring is, for each of the consumers of a connection
//! that ends.

use crate::credit::{ChannelSlot, Clients, ConsumerId};
use crate::event::Delivery;
use crate::model::{ConsumerNumber, Monotonic};
use forebay_wire::{FieldTable, ShortStr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Empty places that a ring may have beside one for each consumer.
const SPARE_PLACES: usize = 16;

/// Whether a consumer is given messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerActivity {
    /// As all consumers of its queue are.
    Up,
    /// As the only one of its queue (`x-single-active-consumer`).
    SingleActive,
    /// Not before the single active one is gone.
    Waiting,
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) channel: ChannelSlot,
    pub(crate) tag: ShortStr,
    pub(crate) number: ConsumerNumber,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) priority: i64,
    /// Unacked messages at most; 0: no limit.
    pub(crate) prefetch: u16,
    /// `x-lease`: how long it may hold a message, in ms; `None`: as long as its queue says.
    pub(crate) lease: Option<u64>,
    /// As sent, for people.
    pub(crate) arguments: FieldTable,
    pub(crate) unacked: u64,
    /// When it last settled something, or began to hold something.
    pub(crate) active_since: Monotonic,
    /// Delivered in this turn, not handed on yet.
    pub(crate) outgoing: Vec<Delivery>,
    /// Its place in the ring of its priority, while it stands there.
    pub(crate) place: Option<Place>,
}

impl Consumer {
    /// A consumer that has been sent nothing.
    pub(crate) fn new(id: ConsumerId, channel: ChannelSlot, tag: ShortStr) -> Self {
        Self {
            id,
            channel,
            tag,
            number: ConsumerNumber::default(),
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: 0,
            lease: None,
            arguments: FieldTable::new(),
            unacked: 0,
            active_since: Monotonic::default(),
            outgoing: Vec::new(),
            place: None,
        }
    }

    /// It is given a message.
    pub(crate) fn deliver(&mut self, now: Monotonic) {
        if self.unacked == 0 {
            self.active_since = now;
        }
        self.unacked += u64::from(!self.no_ack);
    }

    /// Whether it may be given a message now.
    pub(crate) fn has_credit(&self, clients: &Clients) -> bool {
        // What a consumer without acknowledgements gets fills no limit, but as in RabbitMQ it
        // waits while its channel is full.
        let is_full = !self.no_ack && self.prefetch > 0 && self.unacked >= u64::from(self.prefetch);
        !is_full && !clients.is_channel_full(self.channel) && clients.may_deliver(self.channel)
    }
}

/// A place in a ring, unique in its queue.
type Place = u64;

/// The consumers of one `x-priority` that may be able to take a message, the next one first.
#[derive(Debug, Default)]
struct Ring {
    /// Some consumers have left their places.
    places: VecDeque<(Place, ConsumerId)>,
    /// How many have not.
    taken: usize,
}

/// A consumer that was cancelled while its client held messages of it: it is timed as before.
#[derive(Clone, Copy, Debug)]
struct Cancelled {
    channel: ChannelSlot,
    lease: Option<u64>,
    unacked: u64,
    active_since: Monotonic,
}

/// All consumers of a queue.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    by_id: BTreeMap<ConsumerId, Consumer>,
    cancelled: BTreeMap<ConsumerId, Cancelled>,
    rings: BTreeMap<Reverse<i64>, Ring>,
    /// The place that was taken last.
    last_place: Place,
    /// Some consumer has, or had, a lease of its own.
    has_leases: bool,
    /// Only one of them gets messages (`x-single-active-consumer`).
    single_active: bool,
    /// Which.
    active: Option<ConsumerId>,
    /// The channel whose connection was last chosen to become empty for a quarantined message.
    draining: Option<ChannelSlot>,
}

impl Consumers {
    /// No consumers.
    pub(crate) fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Whether one more would be one too many: nobody shares with an exclusive one, and where one
    /// is active at a time none is exclusive.
    pub(crate) fn refuse(&self, exclusive: bool) -> bool {
        self.has_exclusive() || (exclusive && (self.single_active || self.count() > 0))
    }

    /// Whether one asked to be the only one.
    fn has_exclusive(&self) -> bool {
        self.by_id.values().next().is_some_and(|consumer| consumer.exclusive)
    }

    /// All of them, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.by_id.values()
    }

    /// Those of this number and above, the oldest first.
    pub(crate) fn iter_from(&self, first: ConsumerId) -> impl Iterator<Item = &Consumer> {
        self.by_id.range(first..).map(|(_, consumer)| consumer)
    }

    /// Whether one of them is given messages.
    pub(crate) fn activity(&self, id: ConsumerId) -> ConsumerActivity {
        if !self.single_active {
            return ConsumerActivity::Up;
        }
        match self.active {
            Some(active) if active == id => ConsumerActivity::SingleActive,
            _ => ConsumerActivity::Waiting,
        }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, consumer: Consumer) {
        let id = consumer.id;
        self.has_leases |= consumer.lease.is_some();
        self.by_id.insert(id, consumer);
        self.unblock(id);
    }

    /// Takes one out. What its client holds stays timed as it was.
    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.by_id.remove(&id)?;
        let Consumer { channel, lease, unacked, active_since, .. } = consumer;
        if unacked > 0 {
            self.cancelled.insert(id, Cancelled { channel, lease, unacked, active_since });
        }
        self.active = self.active.filter(|active| *active != id);
        if consumer.place.is_some() {
            self.leave_place(consumer.priority);
        }
        let priority = Reverse(consumer.priority);
        if self.rings.get(&priority).is_some_and(|ring| ring.taken == 0) {
            self.rings.remove(&priority);
        }
        Some(consumer)
    }

    /// Something changed that may have held it up.
    pub(crate) fn unblock(&mut self, id: ConsumerId) {
        let Some(consumer) = self.by_id.get_mut(&id) else { return };
        if consumer.place.is_none() {
            self.last_place += 1;
            consumer.place = Some(self.last_place);
            let ring = self.rings.entry(Reverse(consumer.priority)).or_default();
            ring.places.push_back((self.last_place, id));
            ring.taken += 1;
        }
    }

    /// Something changed that held up several consumers together: this one stands behind those that
    /// were named before it.
    pub(crate) fn unblock_last(&mut self, id: ConsumerId) {
        let Some(consumer) = self.by_id.get_mut(&id) else { return };
        let priority = consumer.priority;
        if consumer.place.take().is_some() {
            self.leave_place(priority);
        }
        self.unblock(id);
    }

    /// A consumer of this priority has left its place. When more places are empty than taken, the ring is
    /// made anew without them.
    fn leave_place(&mut self, priority: i64) {
        let Some(ring) = self.rings.get_mut(&Reverse(priority)) else { return };
        ring.taken -= 1;
        if ring.taken == 0 {
            ring.places.clear();
        } else if ring.places.len() > 2 * ring.taken + SPARE_PLACES {
            let by_id = &self.by_id;
            ring.places.retain(|(place, id)| {
                by_id.get(id).is_some_and(|consumer| consumer.place == Some(*place))
            });
        }
    }

    /// `count` of its messages are no longer unacked.
    pub(crate) fn settled(&mut self, id: ConsumerId, count: u64, now: Monotonic) {
        if let Some(consumer) = self.by_id.get_mut(&id) {
            consumer.active_since = now;
            consumer.unacked = consumer.unacked.saturating_sub(count);
        } else if let Some(cancelled) = self.cancelled.get_mut(&id) {
            cancelled.active_since = now;
            cancelled.unacked = cancelled.unacked.saturating_sub(count);
            if cancelled.unacked == 0 {
                self.cancelled.remove(&id);
            }
        }
        self.unblock(id);
    }

    /// Channels ended: nothing is held any more of consumers that they had.
    pub(crate) fn forget_cancelled(&mut self, channels: &BTreeSet<ChannelSlot>) {
        self.cancelled.retain(|_, cancelled| !channels.contains(&cancelled.channel));
    }

    /// When it last settled something, or began to hold something.
    pub(crate) fn active_since(&self, id: ConsumerId) -> Monotonic {
        let consumer = self.by_id.get(&id).map(|consumer| consumer.active_since);
        let cancelled = || self.cancelled.get(&id).map(|cancelled| cancelled.active_since);
        consumer.or_else(cancelled).unwrap_or_default()
    }

    /// How long it may hold a message, in ms, where it said so itself.
    pub(crate) fn lease(&self, id: ConsumerId) -> Option<u64> {
        if !self.has_leases {
            return None;
        }
        match self.by_id.get(&id) {
            Some(consumer) => consumer.lease,
            None => self.cancelled.get(&id)?.lease,
        }
    }

    /// Its time begins again.
    pub(crate) fn set_active_since(&mut self, id: ConsumerId, now: Monotonic) {
        if let Some(consumer) = self.by_id.get_mut(&id) {
            consumer.active_since = now;
        } else if let Some(cancelled) = self.cancelled.get_mut(&id) {
            cancelled.active_since = now;
        }
    }

    /// Whether somebody stands ready, as far as is known.
    pub(crate) fn are_waiting(&self) -> bool {
        if !self.single_active {
            return self.rings.values().any(|ring| ring.taken > 0);
        }
        let active = self.active.and_then(|active| self.by_id.get(&active));
        active.is_some_and(|active| active.place.is_some())
    }

    /// Whether one of them could be given a message.
    pub(crate) fn have_credit(&self, clients: &Clients) -> bool {
        let is_served = |id: ConsumerId| !self.single_active || self.active == Some(id);
        let mut served = self.by_id.values().filter(|consumer| is_served(consumer.id));
        served.any(|consumer| consumer.has_credit(clients))
    }

    /// Whether somebody else could take what a client that hangs holds.
    pub(crate) fn is_anybody_there(&self, clients: &Clients) -> bool {
        self.by_id.values().any(|consumer| !clients.is_overdue(consumer.channel))
    }

    /// Where one is active at a time: an active consumer that hangs loses its turn when there is
    /// another, and the next one's begins once nothing is held that was given to one before it.
    /// `is_held_beside`: whether consumers but this one hold messages.
    pub(crate) fn choose_active(
        &mut self,
        clients: &Clients,
        is_held_beside: impl Fn(ConsumerId) -> bool,
    ) {
        if !self.single_active {
            return;
        }
        let hangs = |consumer: &Consumer| clients.is_overdue(consumer.channel);
        let active = self.active.and_then(|active| self.by_id.get(&active));
        if active.is_some_and(|active| !hangs(active) || !self.is_anybody_there(clients)) {
            return;
        }
        let next = self.by_id.values().find(|consumer| !hangs(consumer));
        self.active = next.map(|next| next.id).filter(|next| !is_held_beside(*next));
    }

    /// Whose turn it is: the highest priority first, round-robin among equals.
    pub(crate) fn next(&mut self, clients: &Clients) -> Option<ConsumerId> {
        if self.single_active {
            return self.next_active(clients);
        }
        for ring in self.rings.values_mut() {
            while let Some((place, id)) = ring.places.pop_front() {
                let Some(consumer) = self.by_id.get_mut(&id) else { continue };
                if consumer.place != Some(place) {
                    continue;
                }
                if consumer.has_credit(clients) {
                    ring.places.push_back((place, id));
                    return Some(id);
                }
                consumer.place = None;
                ring.taken -= 1;
            }
        }
        None
    }

    /// The single active consumer, when it can take a message.
    fn next_active(&mut self, clients: &Clients) -> Option<ConsumerId> {
        let active = self.by_id.get_mut(&self.active?)?;
        if active.has_credit(clients) {
            return Some(active.id);
        }
        let priority = active.priority;
        if active.place.take().is_some() {
            self.leave_place(priority);
        }
        None
    }

    /// The next consumer with credit among those whose channels are fit. The others keep their places.
    pub(crate) fn next_fit(
        &mut self,
        clients: &Clients,
        is_fit: impl Fn(ChannelSlot) -> bool,
    ) -> Option<ConsumerId> {
        for ring in self.rings.values_mut() {
            let at = ring.places.iter().position(|(place, id)| {
                let is_served = !self.single_active || self.active == Some(*id);
                let consumer = self
                    .by_id
                    .get(id)
                    .filter(|consumer| is_served && consumer.place == Some(*place));
                consumer.is_some_and(|consumer| {
                    is_fit(consumer.channel) && consumer.has_credit(clients)
                })
            });
            if let Some((place, id)) = at.and_then(|at| ring.places.remove(at)) {
                ring.places.push_back((place, id));
                return Some(id);
            }
        }
        None
    }

    /// The consumer of this name.
    pub(crate) fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.by_id.get(&id)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.by_id.get_mut(&id)
    }

    /// Whether all of them get messages, not only one at a time.
    pub(crate) fn are_parallel(&self) -> bool {
        !self.single_active
    }

    /// A quarantined message waits for an empty connection, and there is none: the one that holds
    /// least is sent no more until it is. One at a time, so that the others go on.
    pub(crate) fn drain_one(&mut self, clients: &mut Clients, now: Monotonic) {
        let is_under_way = |channel| clients.is_draining(channel) && !clients.is_overdue(channel);
        if self.draining.is_some_and(is_under_way) {
            return;
        }
        let is_served = |id: ConsumerId| !self.single_active || self.active == Some(id);
        let served = self.by_id.values().filter(|consumer| is_served(consumer.id));
        let channels = served.map(|consumer| consumer.channel).filter(|channel| {
            !clients.is_paused(*channel)
                && !clients.keeps(*channel)
                && !clients.is_overdue(*channel)
        });
        let least = channels.min_by_key(|channel| clients.held_by_connection(*channel));
        // One that is empty only waits for room in its output.
        self.draining = least.filter(|channel| !clients.is_empty(*channel));
        if let Some(channel) = self.draining {
            clients.drain(channel, now);
        }
    }

    /// Takes what was delivered in this turn, with what is to be known of its consumer.
    pub(crate) fn take_outgoing(&mut self, id: ConsumerId) -> Option<(&Consumer, Vec<Delivery>)> {
        let consumer = self.by_id.get_mut(&id)?;
        let outgoing = std::mem::take(&mut consumer.outgoing);
        Some((consumer, outgoing))
    }
}

#[cfg(test)]
mod tests;
