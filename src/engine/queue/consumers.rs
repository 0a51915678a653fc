//! The consumers of a queue and whose turn it is. Belongs to a [`super::Queue`].
//!
//! Consumers that can take a message stand in a ring for each `x-priority`; one that cannot is
//! taken out of it and put back when something changed that may have held it up, so that a turn
//! does not walk over all those who wait for nothing.

use crate::event::Delivery;
use crate::shard::clients::{ChannelSlot, Clients};
use crate::time::Monotonic;
use forebay_wire::ShortStr;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// A consumer, unique while the process lives; ascending in the order of subscribing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// A subscription.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) channel: ChannelSlot,
    pub(crate) tag: ShortStr,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) priority: i64,
    /// Unacked messages at most; 0: no limit.
    pub(crate) prefetch: u16,
    pub(crate) unacked: u64,
    /// When it last settled something, or began to hold something.
    pub(crate) active_since: Monotonic,
    /// Delivered in this turn, not handed on yet.
    pub(crate) outgoing: Vec<Delivery>,
    /// Stands in the ring of its priority.
    pub(crate) in_ring: bool,
}

impl Consumer {
    /// A consumer that has been sent nothing.
    pub(crate) fn new(id: ConsumerId, channel: ChannelSlot, tag: ShortStr) -> Self {
        Self {
            id,
            channel,
            tag,
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: 0,
            unacked: 0,
            active_since: Monotonic::default(),
            outgoing: Vec::new(),
            in_ring: false,
        }
    }

    /// It is given a message.
    pub(crate) fn deliver(&mut self, now: Monotonic) {
        if self.unacked == 0 {
            self.active_since = now;
        }
        self.unacked += u64::from(!self.no_ack);
    }

    fn has_credit(&self, clients: &Clients) -> bool {
        // What a consumer without acknowledgements gets fills no limit, but as in RabbitMQ it
        // waits while its channel is full.
        let is_full = !self.no_ack && self.prefetch > 0 && self.unacked >= u64::from(self.prefetch);
        !is_full && !clients.is_channel_full(self.channel) && clients.may_deliver(self.channel)
    }
}

/// All consumers of a queue.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    by_id: BTreeMap<ConsumerId, Consumer>,
    rings: BTreeMap<Reverse<i64>, VecDeque<ConsumerId>>,
    /// Only the first of them gets messages (`x-single-active-consumer`).
    single_active: bool,
    /// The channel that was last set aside for a suspect.
    set_aside: Option<ChannelSlot>,
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

    /// Adds one.
    pub(crate) fn add(&mut self, consumer: Consumer) {
        let id = consumer.id;
        self.by_id.insert(id, consumer);
        self.unblock(id);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.by_id.remove(&id)?;
        let priority = Reverse(consumer.priority);
        if let Some(ring) = self.rings.get_mut(&priority) {
            ring.retain(|other| *other != id);
            if ring.is_empty() {
                self.rings.remove(&priority);
            }
        }
        Some(consumer)
    }

    /// Something changed that may have held it up.
    pub(crate) fn unblock(&mut self, id: ConsumerId) {
        let Some(consumer) = self.by_id.get_mut(&id) else { return };
        if !consumer.in_ring {
            consumer.in_ring = true;
            self.rings.entry(Reverse(consumer.priority)).or_default().push_back(id);
        }
    }

    /// The same for one of several that were held up together: it stands behind those that were
    /// named before it.
    pub(crate) fn unblock_last(&mut self, id: ConsumerId) {
        let Some(consumer) = self.by_id.get_mut(&id) else { return };
        if std::mem::take(&mut consumer.in_ring)
            && let Some(ring) = self.rings.get_mut(&Reverse(consumer.priority))
        {
            ring.retain(|other| *other != id);
        }
        self.unblock(id);
    }

    /// Changes its prefetch limit.
    pub(crate) fn set_prefetch(&mut self, id: ConsumerId, prefetch: u16) {
        if let Some(consumer) = self.by_id.get_mut(&id) {
            consumer.prefetch = prefetch;
        }
        self.unblock(id);
    }

    /// `count` of its messages are no longer unacked.
    pub(crate) fn settled(&mut self, id: ConsumerId, count: u64, now: Monotonic) {
        if let Some(consumer) = self.by_id.get_mut(&id) {
            consumer.active_since = now;
            consumer.unacked = consumer.unacked.saturating_sub(count);
        }
        self.unblock(id);
    }

    /// When it last settled something, or began to hold something.
    pub(crate) fn active_since(&self, id: ConsumerId) -> Monotonic {
        self.by_id.get(&id).map_or(Monotonic::default(), |consumer| consumer.active_since)
    }

    /// Its time begins again.
    pub(crate) fn set_active_since(&mut self, id: ConsumerId, now: Monotonic) {
        if let Some(consumer) = self.by_id.get_mut(&id) {
            consumer.active_since = now;
        }
    }

    /// Whether somebody stands ready, as far as is known.
    pub(crate) fn are_waiting(&self) -> bool {
        self.rings.values().any(|ring| !ring.is_empty())
    }

    /// Whether one of them could be given a message.
    pub(crate) fn have_credit(&self, clients: &Clients) -> bool {
        let served = if self.single_active { 1 } else { self.by_id.len() };
        self.by_id.values().take(served).any(|consumer| consumer.has_credit(clients))
    }

    /// Whose turn it is: the highest priority first, round-robin among equals.
    pub(crate) fn next(&mut self, clients: &Clients) -> Option<&mut Consumer> {
        let active = self.by_id.keys().next().copied();
        let mut chosen = None;
        for ring in self.rings.values_mut() {
            let mut passed = 0;
            while passed < ring.len()
                && let Some(id) = ring.pop_front()
            {
                let Some(consumer) = self.by_id.get_mut(&id) else { continue };
                if self.single_active && active != Some(id) {
                    ring.push_back(id);
                    passed += 1;
                } else if consumer.has_credit(clients) {
                    ring.push_back(id);
                    chosen = Some(id);
                    break;
                } else {
                    consumer.in_ring = false;
                }
            }
            if chosen.is_some() {
                break;
            }
        }
        self.by_id.get_mut(&chosen?)
    }

    /// A consumer with credit on a channel that holds nothing at all.
    pub(crate) fn next_idle(&mut self, clients: &Clients) -> Option<&mut Consumer> {
        let active = self.by_id.keys().next().copied().filter(|_| self.single_active);
        let idle = self.rings.values().flatten().copied().find(|id| {
            let consumer = self.by_id.get(id);
            active.is_none_or(|active| active == *id)
                && consumer.is_some_and(|consumer| {
                    consumer.has_credit(clients) && clients.is_idle(consumer.channel)
                })
        });
        self.by_id.get_mut(&idle?)
    }

    /// Whether all of them get messages, not only one at a time.
    pub(crate) fn are_parallel(&self) -> bool {
        !self.single_active
    }

    /// A message waits for a channel that holds nothing, and there is none: the one that holds least
    /// is sent no more until it is empty. One channel at a time, so that the others go on.
    pub(crate) fn set_one_aside(&mut self, clients: &mut Clients) {
        if self.set_aside.is_some_and(|channel| clients.is_isolated(channel)) {
            return;
        }
        let channels = self.by_id.values().map(|consumer| consumer.channel);
        let channels = channels.filter(|channel| !clients.is_isolated(*channel));
        let least = channels.min_by_key(|channel| clients.unacked(*channel));
        // One that is empty only waits for room in its output.
        self.set_aside = least.filter(|channel| !clients.is_idle(*channel));
        if let Some(channel) = self.set_aside {
            clients.isolate(channel);
        }
    }

    /// The channel lets too much time pass: suspects wait for another one.
    pub(crate) fn give_up(&mut self, channel: ChannelSlot) {
        self.set_aside = self.set_aside.filter(|set_aside| *set_aside != channel);
    }

    /// Takes what was delivered in this turn, with what is to be known of its consumer.
    pub(crate) fn take_outgoing(&mut self, id: ConsumerId) -> Option<(&Consumer, Vec<Delivery>)> {
        let consumer = self.by_id.get_mut(&id)?;
        let outgoing = std::mem::take(&mut consumer.outgoing);
        Some((consumer, outgoing))
    }
}
