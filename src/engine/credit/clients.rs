//! The shard's side of connections and channels: what they may still be sent, and where they have
//! consumers and unacked messages. Owned by the [`crate::shard::Shard`]; queues ask it for credit in their
//! turns.

use super::isolation::{Isolation, IsolationEnds};
use super::memory::MemoryLimits;
use super::slab::Slab;
use crate::limits::{CHANNEL_QUEUES_UNCHECKED_MAX, REPLIES_BORROWED_BYTES_MAX};
use crate::model::{
    ChannelId, ChannelKey, ClientIdentity, ConnectionId, Message, Party, QueueId, ReplyAddress,
};
use bytes::Bytes;
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// One channel, for people.
#[derive(Clone, Copy, Debug)]
pub struct ChannelReport {
    /// Which.
    pub key: ChannelKey,
    /// Its consumers.
    pub consumers: usize,
    /// Messages that its consumers have not settled.
    pub unacked: u64,
    /// Those at most, of all its consumers; 0: no limit.
    pub prefetch: u16,
}

/// A consumer, unique while the process lives; ascending in the order of subscribing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerId(pub(crate) u64);

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
pub(crate) struct Client {
    vhost: ShortStr,
    identity: Arc<ClientIdentity>,
    /// Bytes that may still be sent; below 0 by one message at most.
    budget: i64,
    /// Bytes of direct replies that are on their way to it.
    replies: usize,
    pub(crate) channels: BTreeMap<ChannelId, ChannelSlot>,
    /// Deliveries of all its channels that are not settled.
    pub(crate) held: u64,
    pub(crate) isolation: Isolation,
}

#[derive(Debug)]
struct Channel {
    key: ChannelKey,
    client: u32,
    /// Unacked messages of all its consumers at most; 0: no limit.
    prefetch: u16,
    /// Deliveries of its consumers that are not settled, also those that were taken back.
    unacked: u64,
    /// `unacked` and what `basic.get` handed out.
    held: u64,
    /// Let a delivery time out and was not heard of since: it is sent nothing.
    is_overdue: bool,
    consumers: BTreeMap<ShortStr, ConsumerPlace>,
    /// What it waits for answers under (`amq.rabbitmq.reply-to`).
    reply_token: Option<u128>,
    /// How often its consumers were let go on together.
    rounds: usize,
    /// Queues of which it holds or held messages.
    queues: BTreeSet<QueueId>,
    /// When so many are remembered, those of which it holds nothing are forgotten.
    queues_checked_at: usize,
}

/// What is left of a channel that ended.
#[derive(Debug)]
pub(crate) struct ClosedChannel {
    pub(crate) slot: ChannelSlot,
    pub(crate) consumers: Vec<ConsumerPlace>,
    pub(crate) queues: BTreeSet<QueueId>,
    /// Its connection was sent nothing because of what it held, and may be sent something now.
    pub(crate) is_connection_freed: bool,
}

/// Messages that a channel was sent and has not settled, or has settled now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldCount {
    /// Those of consumers.
    pub(crate) consumed: u64,
    /// With those of `basic.get`.
    pub(crate) all: u64,
}

/// To what deliveries may begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    Nothing,
    Channel,
    Connection,
}

/// All connections and those of their channels that the shard has to know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) by_id: HashMap<ConnectionId, u32>,
    pub(crate) clients: Slab<Client>,
    channels: Slab<Channel>,
    limits: MemoryLimits,
    pub(crate) isolation_ends: IsolationEnds,
}

impl Clients {
    /// What holds for connections that begin from now on.
    pub(crate) fn limit(&mut self, limits: MemoryLimits) {
        self.limits = limits;
    }

    /// A connection begins.
    pub(crate) fn open(
        &mut self,
        connection: ConnectionId,
        vhost: ShortStr,
        identity: ClientIdentity,
    ) {
        let budget = self.limits.output as i64;
        let client = Client {
            vhost,
            identity: Arc::new(identity),
            budget,
            replies: 0,
            channels: BTreeMap::new(),
            held: 0,
            isolation: Isolation::None,
        };
        let number = self.clients.insert(client);
        self.by_id.insert(connection, number);
    }

    /// The virtual host that a connection works in.
    pub(crate) fn vhost(&self, connection: ConnectionId) -> Option<ShortStr> {
        Some(self.clients.get(*self.by_id.get(&connection)?)?.vhost.clone())
    }

    /// Who works on a channel, for people; `None`: its connection is gone.
    pub(crate) fn party_of(&self, key: ChannelKey) -> Option<Party> {
        let client = self.clients.get(*self.by_id.get(&key.connection)?)?;
        let ChannelKey { connection, channel } = key;
        Some(Party { connection, channel, identity: Arc::clone(&client.identity) })
    }

    /// The same, of a channel that consumes.
    pub(crate) fn party(&self, slot: ChannelSlot) -> Option<Party> {
        self.party_of(self.key(slot)?)
    }

    /// The channels of a connection.
    pub(crate) fn channels_of(&self, connection: ConnectionId) -> Vec<ChannelId> {
        let client = self.by_id.get(&connection).and_then(|number| self.clients.get(*number));
        client.map(|client| client.channels.keys().copied().collect()).unwrap_or_default()
    }

    /// A connection ended; its channels were closed before.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        if let Some(number) = self.by_id.remove(&connection) {
            self.end_isolation(number);
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
            held: 0,
            is_overdue: false,
            consumers: BTreeMap::new(),
            reply_token: None,
            rounds: 0,
            queues: BTreeSet::new(),
            queues_checked_at: CHANNEL_QUEUES_UNCHECKED_MAX,
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
        let is_connection_freed = self.let_go(number, channel.held);
        let consumers = channel.consumers.into_values().collect();
        Some(ClosedChannel { slot, consumers, queues: channel.queues, is_connection_freed })
    }

    /// The connection that a channel belongs to, by its place here.
    pub(crate) fn client_of(&self, slot: ChannelSlot) -> Option<u32> {
        Some(self.channels.get(slot.0)?.client)
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

    /// Whether a consumer of the channel may be sent something: its connection's output has room for
    /// one more delivery, and neither is held back.
    pub(crate) fn may_deliver(&self, slot: ChannelSlot) -> bool {
        let Some(channel) = self.channels.get(slot.0) else { return false };
        let client = self.clients.get(channel.client);
        !channel.is_overdue
            && client.is_some_and(|client| client.budget > 0 && !client.isolation.is_pause())
    }

    /// A delivery of `bytes`, by which so many messages became unacked.
    pub(crate) fn charge(&mut self, slot: ChannelSlot, bytes: usize, unacked: HeldCount) {
        let Some(channel) = self.channels.get_mut(slot.0) else { return };
        channel.unacked += unacked.consumed;
        channel.held += unacked.all;
        if let Some(client) = self.clients.get_mut(channel.client) {
            client.budget -= bytes as i64;
            client.held += unacked.all;
        }
    }

    /// Whose channel it is.
    pub(crate) fn connection(&self, slot: ChannelSlot) -> Option<ConnectionId> {
        Some(self.key(slot)?.connection)
    }

    /// Whether the channel let a delivery time out and was not heard of since.
    pub(crate) fn is_overdue(&self, slot: ChannelSlot) -> bool {
        self.channels.get(slot.0).is_some_and(|channel| channel.is_overdue)
    }

    /// The channel let a delivery time out.
    pub(crate) fn set_overdue(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.is_overdue = true;
        }
    }

    /// The client used the channel; whether that lets deliveries begin again.
    pub(crate) fn heard(&mut self, slot: ChannelSlot) -> bool {
        let channel = self.channels.get_mut(slot.0);
        channel.is_some_and(|channel| std::mem::take(&mut channel.is_overdue))
    }

    /// The channel holds, or held, messages of a queue.
    pub(crate) fn remember_queue(&mut self, slot: ChannelSlot, queue: QueueId) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.queues.insert(queue);
        }
    }

    /// Forgets the queues of which the channel holds nothing, each time their number has doubled.
    pub(crate) fn forget_queues(
        &mut self,
        slot: ChannelSlot,
        is_held: impl FnMut(&QueueId) -> bool,
    ) {
        let Some(channel) = self.channels.get_mut(slot.0) else { return };
        if channel.queues.len() >= channel.queues_checked_at {
            channel.queues.retain(is_held);
            channel.queues_checked_at = CHANNEL_QUEUES_UNCHECKED_MAX.max(2 * channel.queues.len());
        }
    }

    /// How many queues the channel remembers.
    #[cfg(test)]
    pub(crate) fn remembered_queues(&self, slot: ChannelSlot) -> usize {
        self.channels.get(slot.0).map_or(0, |channel| channel.queues.len())
    }

    /// Messages that the channel held are no longer unacked.
    pub(crate) fn settled(&mut self, slot: ChannelSlot, count: HeldCount) -> Freed {
        let was_full = self.is_channel_full(slot);
        let Some(channel) = self.channels.get_mut(slot.0) else { return Freed::Nothing };
        channel.unacked = channel.unacked.saturating_sub(count.consumed);
        channel.held = channel.held.saturating_sub(count.all);
        let client = channel.client;
        if self.let_go(client, count.all) {
            Freed::Connection
        } else if was_full && !self.is_channel_full(slot) {
            Freed::Channel
        } else {
            Freed::Nothing
        }
    }

    /// Changes the limit of a channel's consumers together.
    pub(crate) fn set_prefetch(&mut self, slot: ChannelSlot, prefetch: u16) {
        if let Some(channel) = self.channels.get_mut(slot.0) {
            channel.prefetch = prefetch;
        }
    }

    /// The channel waits for answers under this token, or for none.
    pub(crate) fn await_replies(&mut self, key: ChannelKey, token: Option<u128>) {
        let slot = self.channel(key);
        if let Some(channel) = slot.and_then(|slot| self.channels.get_mut(slot.0)) {
            channel.reply_token = token;
        }
    }

    /// Whether a channel waits for answers to this address.
    pub(crate) fn awaits_replies(&self, address: &ReplyAddress) -> bool {
        let slot = self.find_channel(address.key);
        let channel = slot.and_then(|slot| self.channels.get(slot.0));
        channel.is_some_and(|channel| channel.reply_token == Some(address.token))
    }

    /// A direct reply to a connection, as it is to be sent; nothing when the connection has gone, or
    /// does not read what it was sent before.
    pub(crate) fn reply(&mut self, connection: ConnectionId, message: Message) -> Option<Message> {
        let client = self.clients.get_mut(*self.by_id.get(&connection)?)?;
        if client.replies >= self.limits.replies {
            return None;
        }
        let message = if client.replies >= REPLIES_BORROWED_BYTES_MAX {
            message.copied_by(&mut |bytes| Bytes::copy_from_slice(bytes))
        } else {
            message
        };
        client.replies += message.size();
        Some(message)
    }

    /// Direct replies have left.
    pub(crate) fn replies_written(&mut self, connection: ConnectionId, bytes: usize) {
        let number = self.by_id.get(&connection).copied();
        if let Some(client) = number.and_then(|number| self.clients.get_mut(number)) {
            client.replies = client.replies.saturating_sub(bytes);
        }
    }

    /// Output has left. Whether that lets deliveries begin again.
    pub(crate) fn written(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        let number = self.by_id.get(&connection).copied();
        let Some(client) = number.and_then(|number| self.clients.get_mut(number)) else {
            return false;
        };
        let was_used_up = client.budget <= 0;
        client.budget = (client.budget + bytes as i64).min(self.limits.output as i64);
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

    /// Above every place that [`Self::report_channel`] knows.
    pub(crate) fn count_channel_places(&self) -> u32 {
        self.channels.count_places()
    }

    /// The channel at a place, for people.
    pub(crate) fn report_channel(&self, place: u32) -> Option<ChannelReport> {
        let channel = self.channels.get(place)?;
        Some(ChannelReport {
            key: channel.key,
            consumers: channel.consumers.len(),
            unacked: channel.unacked,
            prefetch: channel.prefetch,
        })
    }

    /// The consumers of a channel.
    pub(crate) fn consumers_of(&self, slot: ChannelSlot) -> Vec<ConsumerPlace> {
        let channel = self.channels.get(slot.0);
        channel.map(|channel| channel.consumers.values().copied().collect()).unwrap_or_default()
    }

    /// The consumers of a channel; each time another one stands first.
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
