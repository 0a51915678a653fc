//! Exchanges, queues and bindings as clients ask for them (AMQP 0-9-1, 1.6 and 1.7): the topology
//! decides, the queues follow.

use super::Shard;
use crate::access::Limit;
use crate::event::{Event, Reply};
use crate::model::{ChannelKey, Fault, QueueDeclaration, QueueId, TopologyRequest};
use crate::operation::Operation;
use crate::queue::{Discarded, Instants, Queue, Rules};
use forebay_wire::{ReplyCode, ShortStr};

impl Shard {
    /// Does what was asked, and replies when it is durable, or at once when nothing had to be
    /// stored or nobody waits. What concerns an object that is being removed waits for that.
    pub(super) fn handle_topology(
        &mut self,
        at: Instants,
        key: ChannelKey,
        request: TopologyRequest,
        nowait: bool,
    ) {
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let Some(request) = self.holds_topology(key, &vhost, request, nowait) else { return };
        let removals = self.topology.removals_begun();
        let reply = self.apply(at, key, &vhost, request);
        self.add_topology_operations();
        if self.topology.removals_begun() > removals {
            self.reply_when_done(key, reply, !nowait);
        } else if nowait {
            self.reply(key, reply);
        } else {
            self.reply_when_durable(key, reply);
        }
    }

    /// Deletes a queue with all it has; its consumers are told, who held messages holds none.
    /// Returns how many messages were ready.
    pub(super) fn delete_queue(&mut self, at: Instants, id: QueueId) -> u64 {
        let record = self.topology.remove_queue(id);
        let Some(mut queue) = self.queues.remove(&id) else { return 0 };
        for consumer in queue.consumers.iter() {
            let Some(key) = self.clients.key(consumer.channel) else { continue };
            self.clients.remove_consumer(consumer.channel, &consumer.tag);
            let (channel, number) = (key.channel, consumer.number);
            let event = Event::ConsumerCancelled { channel, number };
            self.outbox.push_late(key.connection, event);
        }
        for get in queue.take_gets() {
            let name = record.as_ref().map(|record| record.name.clone()).unwrap_or_default();
            let text = format!("queue '{name}' was deleted while it was asked for a message");
            let fault = Fault::channel(ReplyCode::NotFound, text);
            let key = ChannelKey { connection: get.connection, channel: get.channel };
            self.reply(key, Err(fault));
        }
        let deleted = |_: &Self, name: &ShortStr| {
            let text = format!("queue '{name}' was deleted while it was looked at");
            Fault::channel(ReplyCode::NotFound, text)
        };
        self.end_sweeps(id, deleted);
        self.end_delayed_requests(id, deleted);
        for (slot, count) in queue.held_by_channels() {
            let freed = self.clients.settled(slot, count);
            if let Some(key) = self.clients.key(slot) {
                self.unblock(key, freed);
            }
        }
        if queue.is_stored {
            self.commits.add_operations(vec![Operation::DropQueue { queue: id }]);
        }
        let statistics = queue.statistics();
        self.turnover.deleted += 1;
        self.gone.absorb(&statistics);
        queue.forget_memory(&mut self.memory);
        let mut discarded = Discarded::default();
        queue.discard(&mut discarded);
        self.discarded.push_back(discarded);
        self.count_abandoned_spans(queue.abandon_spans());
        queue.discard_keys();
        self.remove_key_records(id, queue.take_dead_key_records());
        if let Some(when) = queue.timer {
            self.timers.remove(&(when, id));
        }
        self.forget_delayed(id);
        self.commits.defer(at.monotonic);
        statistics.ready
    }

    fn apply(
        &mut self,
        at: Instants,
        key: ChannelKey,
        vhost: &ShortStr,
        request: TopologyRequest,
    ) -> Result<Reply, Fault> {
        let connection = key.connection;
        match &request {
            TopologyRequest::DeclareExchange(declaration) => {
                self.topology.declare_exchange(vhost, declaration)?;
            }
            TopologyRequest::DeleteExchange { name, if_unused } => {
                self.topology.delete_exchange(vhost, name, *if_unused)?;
            }
            TopologyRequest::Bind(binding) => self.topology.bind(vhost, connection, binding)?,
            TopologyRequest::Unbind(binding) => self.topology.unbind(vhost, connection, binding)?,
            TopologyRequest::DeclareQueue(declaration) => {
                return self.declare_queue(at, key, vhost, declaration);
            }
            TopologyRequest::PurgeQueue { name } => {
                let id = self.topology.queue(vhost, name, connection)?.id;
                return Ok(Reply::MessageCount(count(self.purge_queue(at, id))));
            }
            TopologyRequest::DeleteQueue { name, if_unused, if_empty } => {
                return self.delete_named(at, key, vhost, name, (*if_unused, *if_empty));
            }
        }
        Ok(Reply::Done)
    }

    fn declare_queue(
        &mut self,
        at: Instants,
        key: ChannelKey,
        vhost: &ShortStr,
        declaration: &QueueDeclaration,
    ) -> Result<Reply, Fault> {
        self.check_room(vhost, declaration)?;
        let declared = self.topology.declare_queue(vhost, key.connection, declaration)?;
        self.turnover.declared += 1;
        if declared.created {
            self.add_queue(declared.id);
        }
        if let Some(queue) = self.queues.get_mut(&declared.id) {
            queue.used(at.monotonic);
        }
        self.schedule(declared.id);
        let queue = self.queues.get(&declared.id);
        Ok(Reply::QueueDeclared {
            name: declared.name,
            messages: count(queue.map_or(0, |queue| queue.ready())),
            consumers: count(queue.map_or(0, |queue| queue.consumers.count() as u64)),
        })
    }

    /// Whether an operator lets the virtual host have one more queue, if this makes one.
    fn check_room(&self, vhost: &ShortStr, declaration: &QueueDeclaration) -> Result<(), Fault> {
        let Some(most) = self.access.snapshot().limits().get(Limit::VhostQueues, vhost) else {
            return Ok(());
        };
        let name = &declaration.name;
        let makes_one = !declaration.passive && self.topology.find_queue(vhost, name).is_none();
        if !makes_one || (self.topology.count_queues(vhost) as u64) < most {
            return Ok(());
        }
        let text = format!(
            "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({most}) is reached"
        );
        Err(Fault::channel(ReplyCode::PreconditionFailed, text))
    }

    /// Makes the queue for a record that the topology has.
    pub(super) fn add_queue(&mut self, id: QueueId) {
        let Some(record) = self.topology.queue_by_id(id) else { return };
        let rules = Rules::new(record, self.queue_defaults);
        let mut queue = Queue::new(id, rules);
        if self.spans.is_wanted() {
            queue.record_spans();
        }
        self.queues.insert(id, Box::new(queue));
        self.turnover.created += 1;
        self.schedule(id);
    }

    fn purge_queue(&mut self, at: Instants, id: QueueId) -> u64 {
        let Some(queue) = self.queues.get_mut(&id) else { return 0 };
        let mut discarded = Discarded::default();
        let purged = queue.purge(&mut discarded, at);
        queue.account(&mut self.memory);
        self.discarded.push_back(discarded);
        self.schedule(id);
        let queue = self.queues.get(&id);
        if purged > 0 && queue.is_some_and(|queue| queue.is_durable() || queue.is_stored) {
            self.mark_dirty_deferred(id, at.monotonic);
            self.commits.must_sync();
        }
        purged
    }

    fn delete_named(
        &mut self,
        at: Instants,
        key: ChannelKey,
        vhost: &ShortStr,
        name: &ShortStr,
        (if_unused, if_empty): (bool, bool),
    ) -> Result<Reply, Fault> {
        let Some(record) = self.topology.find_queue(vhost, name) else {
            return Ok(Reply::MessageCount(0));
        };
        let id = record.id;
        self.topology.queue(vhost, name, key.connection)?;
        let refused = |why: &str| {
            let text = format!("queue '{name}' in vhost '{vhost}' {why}");
            Err(Fault::channel(ReplyCode::PreconditionFailed, text))
        };
        let queue = self.queues.get(&id);
        if if_unused && queue.is_some_and(|queue| queue.consumers.count() > 0) {
            return refused("in use");
        }
        if if_empty && queue.is_some_and(|queue| queue.length() + queue.delayed_count() > 0) {
            return refused("not empty");
        }
        Ok(Reply::MessageCount(count(self.delete_queue(at, id))))
    }
}

/// As the protocol counts: in 32 bits.
fn count(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
