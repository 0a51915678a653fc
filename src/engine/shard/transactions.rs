//! `tx.commit` (AMQP 0-9-1, 1.9): all of a transaction, or nothing of it.

use super::Shard;
use super::publishing::Awaited;
use crate::command::{DirectReply, Publish};
use crate::event::Reply;
use crate::model::{ChannelKey, Fault, QueueId, Settle};
use crate::queue::Instants;
use crate::topology::names::Resource;
use forebay_wire::ReplyCode;
use std::collections::{BTreeMap, BTreeSet};

/// What a transaction brings a queue.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    messages: u64,
    bytes: u64,
}

impl Shard {
    /// Does all of it and replies when it is durable; refuses it when a queue has no room for its
    /// part.
    pub(super) fn commit_transaction(
        &mut self,
        at: Instants,
        key: ChannelKey,
        publishes: Vec<Publish>,
        settles: &[Settle],
        replies: Vec<DirectReply>,
    ) {
        if let Err(fault) = self.check_room_for(at, &publishes) {
            return self.reply(key, Err(fault));
        }
        for publish in publishes {
            let awaited = self.publish(at, key.connection, publish);
            if matches!(awaited, Awaited::Sync | Awaited::Both) {
                // A duplicate of what is not on stable storage yet.
                self.commits.sync_all();
            }
        }
        for settle in settles {
            self.settle(at, key.connection, settle);
        }
        for reply in replies {
            self.direct_reply(key.connection, reply);
        }
        self.commits.must_sync();
        self.commits.waiters.reply(key, Ok(Reply::Done));
    }

    /// Whether every queue that refuses newcomers when it is full has room for all that is meant for
    /// it, and none is damaged.
    ///
    /// # Errors
    /// 406, closes the channel.
    fn check_room_for(&mut self, at: Instants, publishes: &[Publish]) -> Result<(), Fault> {
        let mut loads: BTreeMap<QueueId, Load> = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for publish in publishes {
            for id in publish.targets.iter() {
                if !self.queues.get(id).is_some_and(|queue| queue.refuses_newcomers()) {
                    continue;
                }
                let load = loads.entry(*id).or_default();
                // Delayed ones take room when they are due.
                let now = publish.messages.iter().filter(|message| message.delay().is_none());
                for message in now {
                    if self.is_new(*id, message, at, &mut keys) {
                        load.messages += 1;
                        load.bytes += message.body().len() as u64;
                    }
                }
            }
        }
        for (id, load) in loads {
            let is_full = |shard: &Self| {
                let queue = shard.queues.get(&id);
                queue.is_some_and(|queue| !queue.has_room_for(load.messages, load.bytes))
            };
            if is_full(self) {
                // Consumers may take what is there.
                self.take_turn(id, at);
            }
            if is_full(self) {
                return Err(self.has_no_room(id, load));
            }
        }
        Ok(())
    }

    /// Counts what the queue refuses.
    fn has_no_room(&mut self, id: QueueId, load: Load) -> Fault {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.count_refused(load.messages);
        }
        if let Err(fault) = self.check_not_damaged(id) {
            return Fault { code: ReplyCode::PreconditionFailed, ..fault };
        }
        let record = self.topology.queue_by_id(id);
        let queue = record.map(|record| Resource::queue(&record.name, &record.vhost).to_string());
        let text = format!(
            "{} has no room for the {} messages of the transaction (x-overflow), of which nothing \
             was done",
            queue.unwrap_or_default(),
            load.messages
        );
        Fault::channel(ReplyCode::PreconditionFailed, text)
    }
}
