//! Consumers and channels: subscribing, cancelling, credit, `basic.get`, and their end.

use super::Shard;
use crate::command::Subscribe;
use crate::credit::ConsumerId;
use crate::credit::{ChannelSlot, ConsumerPlace, Freed};
use crate::event::Reply;
use crate::model::{ChannelId, ChannelKey, ConnectionId, Fault, QueueId};
use crate::queue::{ChannelEnding, Consumer, GetKind, Instants, PendingGet};
use crate::topology::arguments::{Arguments, BadArgument};
use crate::topology::names::Resource;
use crate::topology::{ignored_arguments, reserved};
use forebay_wire::{ReplyCode, ShortStr};
use std::collections::{BTreeMap, BTreeSet};

/// The argument of a consumer that says how long it may hold a message.
const LEASE: &str = "x-lease";

impl Shard {
    /// `basic.consume`.
    pub(super) fn subscribe(&mut self, connection: ConnectionId, subscribe: Subscribe) {
        let key = ChannelKey { connection, channel: subscribe.channel };
        match self.admit(key, subscribe) {
            Ok(queue) => {
                self.reply(key, Ok(Reply::Done));
                self.schedule(queue);
            }
            Err(fault) => self.reply(key, Err(fault)),
        }
    }

    /// `basic.cancel`, and every other end of a consumer that its client wanted.
    pub(super) fn cancel(&mut self, at: Instants, key: ChannelKey, tag: &ShortStr) {
        let Some(slot) = self.clients.find_channel(key) else { return };
        if let Some(place) = self.clients.remove_consumer(slot, tag) {
            self.remove_consumer(at, place);
            self.add_topology_operations();
        }
    }

    /// `basic.qos` for the whole channel.
    pub(super) fn set_prefetch(&mut self, key: ChannelKey, count: u16) {
        let Some(slot) = self.clients.channel(key) else { return };
        self.clients.set_prefetch(slot, count);
        self.unblock_channel(key);
    }

    /// `basic.get`; the queue replies in its turn.
    pub(super) fn get(&mut self, at: Instants, key: ChannelKey, name: &ShortStr, kind: GetKind) {
        let Some(slot) = self.clients.channel(key) else { return };
        let Some(vhost) = self.clients.vhost(key.connection) else { return };
        self.forget_settled_queues(slot);
        let (connection, channel) = (key.connection, key.channel);
        match self.topology.queue(&vhost, name, connection).map(|queue| queue.id) {
            Ok(id) => {
                if let Err(fault) = self.check_not_damaged(id) {
                    return self.reply(key, Err(fault));
                }
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.used(at.monotonic);
                    queue.get(PendingGet { connection, channel, slot, kind });
                }
                self.schedule(id);
            }
            Err(fault) => self.reply(key, Err(fault)),
        }
    }

    /// Lets the channel forget queues of which it holds nothing, once it remembers many.
    pub(super) fn forget_settled_queues(&mut self, slot: ChannelSlot) {
        let queues = &self.queues;
        let is_held = |id: &QueueId| queues.get(id).is_some_and(|queue| queue.is_held_by(slot));
        self.clients.forget_queues(slot, is_held);
    }

    /// The channel's consumers may be able to take messages again, each time another one first.
    pub(super) fn unblock_channel(&mut self, key: ChannelKey) {
        let Some(slot) = self.clients.find_channel(key) else { return };
        for place in self.clients.consumers_by_turns(slot) {
            if let Some(queue) = self.queues.get_mut(&place.queue) {
                queue.consumers.unblock_last(place.consumer);
            }
            self.schedule(place.queue);
        }
    }

    /// The channel settled messages, or these are gone: deliveries may begin again.
    pub(super) fn unblock(&mut self, key: ChannelKey, freed: Freed) {
        match freed {
            Freed::Nothing => {}
            Freed::Channel => self.unblock_channel(key),
            Freed::Connection => self.unblock_connection(key.connection),
        }
    }

    /// Lets the consumers of all channels of a connection go on.
    pub(super) fn unblock_connection(&mut self, connection: ConnectionId) {
        for channel in self.clients.channels_of(connection) {
            self.unblock_channel(ChannelKey { connection, channel });
        }
    }

    /// The client used the channel.
    pub(super) fn hear(&mut self, key: ChannelKey) {
        let slot = self.clients.find_channel(key);
        if slot.is_some_and(|slot| self.clients.heard(slot)) {
            self.unblock_channel(key);
        }
    }

    /// Channels of a connection end: their consumers go, what they held returns. Each queue is gone
    /// through once for all of them: a connection may have thousands, and a queue may have a million
    /// messages that others hold.
    pub(super) fn close_channels(
        &mut self,
        at: Instants,
        connection: ConnectionId,
        channels: impl IntoIterator<Item = ChannelId>,
        ending: ChannelEnding,
    ) {
        let mut holders: BTreeMap<QueueId, BTreeSet<ChannelSlot>> = BTreeMap::new();
        let mut is_connection_freed = false;
        for channel in channels {
            let key = ChannelKey { connection, channel };
            let Some(closed) = self.clients.close_channel(key) else { continue };
            is_connection_freed |= closed.is_connection_freed;
            for place in closed.consumers {
                self.remove_consumer(at, place);
            }
            for id in closed.queues {
                holders.entry(id).or_default().insert(closed.slot);
            }
        }
        for (id, slots) in holders {
            self.return_held(at, id, &slots, ending);
        }
        if is_connection_freed {
            self.unblock_connection(connection);
        }
        self.add_topology_operations();
    }

    fn return_held(
        &mut self,
        at: Instants,
        id: QueueId,
        slots: &BTreeSet<ChannelSlot>,
        ending: ChannelEnding,
    ) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if queue.end_channels(slots, ending, at).needs_commit {
            self.mark_dirty_deferred(id, at.monotonic);
        }
        self.schedule(id);
    }

    fn admit(&mut self, key: ChannelKey, subscribe: Subscribe) -> Result<QueueId, Fault> {
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let id = self.topology.queue(&vhost, &subscribe.queue, key.connection)?.id;
        self.check_not_damaged(id)?;
        let in_use = || {
            let name = &subscribe.queue;
            let text = format!("queue '{name}' in vhost '{vhost}' in exclusive use");
            Fault::channel(ReplyCode::AccessRefused, text)
        };
        let slot = self.clients.channel(key).ok_or_else(in_use)?;
        self.forget_settled_queues(slot);
        let queue = self.queues.get_mut(&id).ok_or_else(in_use)?;
        if queue.consumers.refuse(subscribe.exclusive) {
            return Err(in_use());
        }
        let settings = ConsumerSettings::read(&subscribe, &vhost)?;
        self.last_consumer += 1;
        let consumer = ConsumerId(self.last_consumer);
        let tag = subscribe.consumer_tag.detached();
        queue.had_consumers = true;
        queue.consumers.add(Consumer {
            no_ack: subscribe.no_ack,
            exclusive: subscribe.exclusive,
            priority: settings.priority,
            lease: settings.lease,
            prefetch: subscribe.prefetch,
            number: subscribe.number,
            arguments: subscribe.arguments.detached(),
            ..Consumer::new(consumer, slot, tag.clone())
        });
        self.clients.add_consumer(slot, tag, ConsumerPlace { queue: id, consumer });
        Ok(id)
    }

    fn remove_consumer(&mut self, at: Instants, place: ConsumerPlace) {
        let Some(queue) = self.queues.get_mut(&place.queue) else { return };
        queue.consumers.remove(place.consumer);
        queue.used(at.monotonic);
        let is_unused = queue.had_consumers && queue.consumers.count() == 0;
        let record = self.topology.queue_by_id(place.queue);
        if is_unused && record.is_some_and(|record| record.auto_delete) {
            self.delete_queue(at, place.queue);
        } else {
            self.schedule(place.queue);
        }
    }
}

/// What the arguments of a consumer say.
struct ConsumerSettings {
    /// `x-priority`; 0 when it is not given.
    priority: i64,
    /// `x-lease`, in ms.
    lease: Option<u64>,
}

impl ConsumerSettings {
    fn read(subscribe: &Subscribe, vhost: &ShortStr) -> Result<Self, Fault> {
        let resource = Resource::queue(&subscribe.queue, vhost);
        reserved::check_consumer(&subscribe.arguments, resource)?;
        let arguments = Arguments::new(&subscribe.arguments);
        Self::read_checked(arguments, subscribe.no_ack).map_err(|bad| bad.fault(resource))
    }

    fn read_checked(arguments: Arguments<'_>, no_ack: bool) -> Result<Self, BadArgument> {
        ignored_arguments::check_consumer(arguments)?;
        let lease = arguments.duration(LEASE, 1)?;
        if lease.is_some() && no_ack {
            return Err(arguments.refused(LEASE, "it only on a consumer that acknowledges"));
        }
        Ok(Self { priority: arguments.signed("x-priority")?.unwrap_or(0), lease })
    }
}
