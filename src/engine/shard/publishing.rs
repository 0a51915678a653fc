//! Messages into queues, and their settlement by channels.

use super::Shard;
use crate::command::{Publish, Settle};
use crate::event::Event;
use crate::ids::{ChannelKey, ConnectionId, PublishSeq, QueueId};
use crate::message::Message;
use crate::time::{Monotonic, Now};

impl Shard {
    /// Puts messages into their queues; whoever asked for confirms gets them when all queues have
    /// them on stable storage, and at once when there is nothing to store.
    pub(super) fn publish(&mut self, now: Now, connection: ConnectionId, publish: Publish) {
        let Publish { channel, confirm, targets, messages } = publish;
        let count = messages.len() as u64;
        let mut is_kept = false;
        if let [only] = *targets {
            is_kept = self.enqueue(only, messages, confirm.is_some(), now.monotonic);
        } else {
            for queue in targets.iter() {
                let copies = messages.iter().cloned();
                is_kept |= self.enqueue(*queue, copies, confirm.is_some(), now.monotonic);
            }
        }
        let Some(first) = confirm else { return };
        if is_kept {
            self.commits.promises.confirm(ChannelKey { connection, channel }, first, count);
        } else {
            let last = PublishSeq((first.0 + count).saturating_sub(1));
            self.outbox.push(connection, Event::Confirm { channel, first, last });
        }
    }

    /// Settles what a channel holds.
    pub(super) fn settle(&mut self, now: Now, connection: ConnectionId, settle: &Settle) {
        let key = ChannelKey { connection, channel: settle.channel };
        let Some(slot) = self.clients.find_channel(key) else { return };
        let Some(queue) = self.queues.get_mut(&settle.queue) else { return };
        let released = queue.settle(slot, settle);
        if released.is_stored {
            self.touch_stored(settle.queue, now.monotonic);
        }
        self.schedule(settle.queue);
        if self.clients.settled(slot, released.consumed) {
            self.unblock_channel(key);
        }
    }

    /// Adds messages to one queue; whether any of them is to be kept.
    fn enqueue(
        &mut self,
        id: QueueId,
        messages: impl IntoIterator<Item = Message>,
        is_awaited: bool,
        now: Monotonic,
    ) -> bool {
        let has_room = self.memory.has_volatile_room();
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        let mut octets = 0;
        for message in messages {
            let size = message.size() as u64;
            octets += if queue.enqueue(message, has_room) { size } else { 0 };
        }
        let is_kept = octets > 0;
        if is_kept {
            self.touch(id);
        }
        if is_kept && !is_awaited {
            self.commits.defer_octets(octets, now);
        }
        self.schedule(id);
        is_kept
    }
}
