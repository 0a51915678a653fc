//! Queues of which stored messages can't be read. Such a queue is set aside, so that all others go on:
//! its consumers are cancelled, it delivers nothing and refuses what is published to it. What its
//! clients hold can still be settled; it can be purged and deleted.

use super::Shard;
use crate::event::Event;
use crate::model::{ChannelKey, Fault, Level, Now, Offset, QueueId};
use crate::queue::QueueState;
use forebay_wire::ReplyCode;
use std::sync::Arc;

/// A [`Fetch`](super::Fetch) that the store can't answer, because what it holds is damaged.
#[derive(Clone, Debug)]
pub struct DamagedFetch {
    /// The queue.
    pub queue: QueueId,
    /// The level of it.
    pub level: Level,
    /// As asked for.
    pub from: Offset,
    /// What is damaged, for people.
    pub what: Arc<str>,
}

impl Shard {
    /// Sets a queue aside because of a fetch that can't be answered. Tells whether it did: a queue that
    /// was deleted or purged meanwhile does not need what is damaged.
    pub fn handle_damaged(&mut self, now: Now, damaged: DamagedFetch) -> bool {
        let DamagedFetch { queue: id, level, from, what } = damaged;
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let is_news = queue.handle_damaged(level, from, what);
        if is_news {
            self.set_aside(id);
        }
        let at = self.begin(now);
        self.schedule(id);
        self.run_turns(at);
        is_news
    }

    /// Queues that are set aside, with what is damaged.
    pub fn damaged_queues(&self) -> impl Iterator<Item = (QueueId, &Arc<str>)> {
        self.queues.iter().filter_map(|(id, queue)| match queue.state() {
            QueueState::Damaged(what) => Some((*id, what)),
            QueueState::Running => None,
        })
    }

    /// Refuses what a queue that is set aside can't do.
    ///
    /// # Errors
    /// 404, as RabbitMQ says of a queue that has crashed; closes the channel.
    pub(super) fn check_not_damaged(&self, id: QueueId) -> Result<(), Fault> {
        match self.queues.get(&id) {
            Some(queue) if queue.state().is_damaged() => Err(self.damaged_fault(id)),
            _ => Ok(()),
        }
    }

    pub(super) fn damaged_fault(&self, id: QueueId) -> Fault {
        let record = self.topology.queue_by_id(id);
        let queue = record.map_or_else(
            || "the queue".to_owned(),
            |record| format!("queue '{}' in vhost '{}'", record.name, record.vhost),
        );
        let text = format!(
            "{queue} has crashed: stored messages of it are damaged. See `forebay verify`, then `forebay \
             repair --accept-loss`, or delete the queue"
        );
        Fault::channel(ReplyCode::NotFound, text)
    }

    /// Tells everybody who waits for messages of a queue that none will come.
    pub(super) fn set_aside(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let (consumers, gets) = (queue.take_consumers(), queue.take_gets());
        for consumer in consumers.iter() {
            let Some(key) = self.clients.key(consumer.channel) else { continue };
            self.clients.remove_consumer(consumer.channel, &consumer.tag);
            let (channel, number) = (key.channel, consumer.number);
            self.outbox.push_late(key.connection, Event::ConsumerCancelled { channel, number });
        }
        for get in gets {
            let key = ChannelKey { connection: get.connection, channel: get.channel };
            self.reply(key, Err(self.damaged_fault(id)));
        }
        self.end_sweeps(id, |shard, _| shard.damaged_fault(id));
        self.end_delayed_requests(id, |shard, _| shard.damaged_fault(id));
    }
}
