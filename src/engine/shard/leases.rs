//! Clients that ask for more time for a delivery that they hold.

use super::Shard;
use crate::command::Extend;
use crate::event::Event;
use crate::model::{ChannelKey, ConnectionId};
use crate::queue::Instants;

impl Shard {
    /// Gives a delivery more time, and tells who asked for confirms whether it had not been taken back
    /// before.
    pub(super) fn extend(&mut self, at: Instants, connection: ConnectionId, extend: Extend) {
        let Extend { channel, queue: id, position, lease, confirm } = extend;
        let slot = self.clients.find_channel(ChannelKey { connection, channel });
        let queue = self.queues.get_mut(&id);
        let is_held = slot
            .zip(queue)
            .is_some_and(|(slot, queue)| queue.extend(slot, position, lease, at.monotonic));
        // The queue has another time to look at.
        self.schedule(id);
        let Some(number) = confirm else { return };
        let (first, last) = (number, number);
        self.outbox.push(
            connection,
            match is_held {
                true => Event::Confirm { channel, first, last },
                false => Event::Refuse { channel, first, last },
            },
        );
    }
}
