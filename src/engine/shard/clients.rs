//! The shard's side of connections and channels: what they may still be sent, and where they have
//! consumers and unacked messages. Owned by the [`super::Shard`]; queues ask it for credit in their
//! turns.

use super::administering::ChannelReport;
use super::memory::MemoryLimits;
use super::slab::Slab;
use crate::ids::{ChannelId, ChannelKey, ConnectionId, QueueId};
use crate::limits::REPLIES_LOOSE_OCTETS_MAX;
use crate::message::Message;
use crate::queue::ConsumerId;
use bytes::Bytes;
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A channel while it lives; its number may be given to another afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChannelSlot(u32);

impl ChannelSlot {
    /// Not above any.
    pub(crate) const FIRST: Self = Self(0);
    /// Not below any.
    pub(crate) const LAST: Self = Self(u32::MAX);
}

/// Where a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerPlace {
    pub(crate) queue: QueueId,
    pub(crate) consumer: ConsumerId,
}

#[derive(Debug)]
struct Client {
    vhost: ShortStr,
    /// Octets that may still be sent; below 0 by one message at most.
    budget: i64,
    /// Octets of direct replies that are on their way to it.
    replies: usize,
    channels: BTreeMap<ChannelId, ChannelSlot>,
}

#[derive(Debug)]
struct Channel {
    key: ChannelKey,
    client: u32,
    /// Unacked messages of all its consumers at most; 0: no limit.
    prefetch: u16,
    unacked: u64,
    /// Is sent nothing until it has settled what it holds.
    is_isolated: bool,
    consumers: BTreeMap<ShortStr, ConsumerPlace>,
    /// How often its consumers were let go on together.
    rounds: usize,
    /// Queues of which it holds or held messages.
    queues: BTreeSet<QueueId>,
}

/// What is left of a channel that ended.
#[derive(Debug)]
pub(crate) struct ClosedChannel {
    pub(crate) slot: ChannelSlot,
    pub(crate) consumers: Vec<ConsumerPlace>,
    pub(crate) queues: BTreeSet<QueueId>,
    /// Messages that its consumers held.
    pub(crate) unacked: u64,
}

/// All connections and those of their channels that the shard has to know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: HashMap<ConnectionId, u32>,
    clients: Slab<Client>,
    channels: Slab<Channel>,
    limits: MemoryLimits,
}

impl Clients {
    /// What holds for connections that begin from now on.
    pub(crate) fn limit(&mut self, limits: MemoryLimits) {
        self.limits = limits;
    }

    /// A connection begins.
    pub(crate) fn open(&mut self, connection: ConnectionId, vhost: ShortStr) {
        let budget = self.limits.output as i64;
        let client = Client { vhost, budget, replies: 0, channels: BTreeMap::new() };
        let number = self.clients.insert(client);
        self.by_id.insert(connection, number);
    }

    /// The virtual host that a connection works in.
    pub(crate) fn vhost(&self, connection: ConnectionId) -> Option<ShortStr> {
        Some(self.clients.get(*self.by_id.get(&connection)?)?.vhost.clone())
    }

    /// The channels of a connection.
    pub(crate) fn channels_of(&self, connection: ConnectionId) -> Vec<ChannelId> {
        let client = self.by_id.get(&connection).and_then(|number| self.clients.get(*number));
        client.map(|client| client.channels.keys().copied().collect()).unwrap_or_default()
    }

    /// A connection ended; its channels were closed before.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        if let Some(number) = self.by_id.remove(&connection) {
            self.clients.remove(number);
        }
    }

    /// The channel, known from now on. Nothing when its connection is not there.
    pub(crate) fn channel(&mut self, key: ChannelKey) -> Option<ChannelSlot> {
        let number = *self.by_id.get(&key.connection)?;
        let client = self.clients.get_mut(number)?;
        if let Some(slot) = client.channels.get(&key.channel) {
            return Some(*slot);
        }
        let slot = ChannelSlot(self.channels.insert(Channel {
            key,
            client: number,
            prefetch: 0,
            unacked: 0,
            is_isolated: false,
            consumers: BTreeMap::new(),
            rounds: 0,
            queues: BTreeSet::new(),
        }));
        client.channels.insert(key.channel, slot);
        Some(slot)
    }

    /// The channel, when it is known.
    pub(crate) fn find_channel(&self, key: ChannelKey) -> Option<ChannelSlot> {
        let client = self.clients.get(*self.by_id.get(&key.connection)?)?;
        client.channels.get(&key.channel).copied()
    }

    /// A channel ended.
    pub(crate) fn close_channel(&mut self, key: ChannelKey) -> Option<ClosedChannel> {
        let number = *self.by_id.get(&key.connection)?;
        let slot = self.clients.get_mut(number)?.channels.remove(&key.channel)?;
        let channel = self.channels.remove(slot.0)?;
        let consumers = channel.consumers.into_values().collect();
        Some(ClosedChannel { slot, consumers, queues: channel.queues, unacked: channel.unacked })
    }

    /// The name by which others know a channel.
    pub(crate) fn key(&self, slot: ChannelSlot) -> Option<ChannelKey> {
        Some(self.channels.get(slot.0)?.key)
    }

    /// Whether the channel's consumers together may have no more unacked.
    pub(crate) fn is_channel_full(&self, slot: ChannelSlot) -> bool {
        self.channels.get(slot.0).is_none_or(|channel| {
            channel.prefetch > 0 && channel.unacked >= u64::from(channel.prefetch)
        })
    }

    /// Whether its connection's output has room for one more delivery.
    pub(crate) fn may_deliver(&self, slot: ChannelSlot) -> bool {
        let Some(channel) = self.channels.get(slot.0) else { return false };
        !channel.is_isolated
            && self.clients.get(channel.client).is_some_and(|client| client.budget > 0)
    }

    /// A delivery of `octets`, by which `unacked` messages of consumers became unacked.
    pub(crate) fn charge(&mut self, slot: ChannelSlot, octets: usize, unacked: u64) {
        let Some(channel) = self.channels.get_mut(slot.0) else { return };
        channel.unacked += unacked;
        if let Some(client) = self.clients.get_mut(channel.client) {
            client.budget -= octets as i64;
        }
    }

    /// How many messages the channel's consumers hold.
    pub(crate) fn unacked(&self, slot: ChannelSlot) -> u64 {
        self.channels.get(slot.0).map_or(0, |channel| channel.unacked)
    }

    /// The channel's consumers hold nothing.
    pub(crate) fn is_idle(&self, slot: ChannelSlot) -> bool {
        self.channels.get(slot.0).is_some_and(|channel| channel.unacked == 0)
    }

    /// Whether the channel is sent nothing until it has settled what it holds.
    pub(crate) fn is_isolated(&self, slot: ChannelSlot) -> bool {
        self.channels.get(slot.0).is_some_and(|channel| channel.is_isolated)
    }

    /// The channel is sent nothing until it has settled what it holds.
    pub(crate) fn isolate(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.is_isolated = true;
        }
    }

    /// The channel holds, or held, messages of a queue.
    pub(crate) fn remember_queue(&mut self, slot: ChannelSlot, queue: QueueId) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.queues.insert(queue);
        }
    }

    /// Messages of the channel's consumers are no longer unacked. Whether that lets deliveries
    /// begin again.
    pub(crate) fn settled(&mut self, slot: ChannelSlot, count: u64) -> bool {
        let was_full = self.is_channel_full(slot);
        let mut was_isolated = false;
        let Some(channel) = self.channels.get_mut(slot.0) else { return false };
        channel.unacked = channel.unacked.saturating_sub(count);
        if channel.unacked == 0 {
            was_isolated = std::mem::take(&mut channel.is_isolated);
        }
        was_isolated || (was_full && !self.is_channel_full(slot))
    }

    /// Changes the limit of a channel's consumers together.
    pub(crate) fn set_prefetch(&mut self, slot: ChannelSlot, prefetch: u16) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.prefetch = prefetch;
        }
    }

    /// A direct reply to a connection, as it is to be sent; nothing when the connection has gone, or
    /// does not read what it was sent before.
    pub(crate) fn reply(&mut self, connection: ConnectionId, message: Message) -> Option<Message> {
        let client = self.clients.get_mut(*self.by_id.get(&connection)?)?;
        if client.replies >= self.limits.replies {
            return None;
        }
        let message = if client.replies >= REPLIES_LOOSE_OCTETS_MAX {
            message.copied_by(&mut |octets| Bytes::copy_from_slice(octets))
        } else {
            message
        };
        client.replies += message.size();
        Some(message)
    }

    /// Direct replies have left.
    pub(crate) fn replies_written(&mut self, connection: ConnectionId, octets: usize) {
        let number = self.by_id.get(&connection).copied();
        if let Some(client) = number.and_then(|number| self.clients.get_mut(number)) {
            client.replies = client.replies.saturating_sub(octets);
        }
    }

    /// Output has left. Whether that lets deliveries begin again.
    pub(crate) fn written(&mut self, connection: ConnectionId, octets: usize) -> bool {
        let number = self.by_id.get(&connection).copied();
        let Some(client) = number.and_then(|number| self.clients.get_mut(number)) else {
            return false;
        };
        let was_used_up = client.budget <= 0;
        client.budget = (client.budget + octets as i64).min(self.limits.output as i64);
        was_used_up && client.budget > 0
    }

    /// Adds a consumer to its channel.
    pub(crate) fn add_consumer(&mut self, slot: ChannelSlot, tag: ShortStr, place: ConsumerPlace) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.consumers.insert(tag, place);
        }
    }

    /// Takes a consumer from its channel.
    pub(crate) fn remove_consumer(
        &mut self,
        slot: ChannelSlot,
        tag: &ShortStr,
    ) -> Option<ConsumerPlace> {
        self.channels.get_mut(slot.0)?.consumers.remove(tag)
    }

    /// All channels, for people.
    pub(crate) fn reports(&self) -> Vec<ChannelReport> {
        let slots = self.by_id.values().filter_map(|number| self.clients.get(*number));
        let slots = slots.flat_map(|client| client.channels.values());
        let report = |slot: &ChannelSlot| {
            let channel = self.channels.get(slot.0)?;
            Some(ChannelReport {
                key: channel.key,
                consumers: channel.consumers.len(),
                unacked: channel.unacked,
                prefetch: channel.prefetch,
            })
        };
        slots.filter_map(report).collect()
    }

    /// The consumers of a channel.
    pub(crate) fn consumers_of(&self, slot: ChannelSlot) -> Vec<ConsumerPlace> {
        let channel = self.channels.get(slot.0);
        channel.map(|channel| channel.consumers.values().copied().collect()).unwrap_or_default()
    }

    /// The same; each time another one stands first.
    pub(crate) fn consumers_by_turns(&mut self, slot: ChannelSlot) -> Vec<ConsumerPlace> {
        let mut consumers = self.consumers_of(slot);
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.rounds = channel.rounds.wrapping_add(1);
            let first = channel.rounds.checked_rem(consumers.len()).unwrap_or(0);
            consumers.rotate_left(first);
        }
        consumers
    }
}
