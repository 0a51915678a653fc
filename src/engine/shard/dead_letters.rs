//! Dead letters from the queue they left to where they go, within one commit.

use super::Shard;
use super::death::{DeadLetterAddress, Obituary};
use crate::ids::{ConnectionId, QueueId};
use crate::object_name::ObjectName;
use crate::queue::{DEAD_LETTER_QUEUE_SUFFIX, DeadLetter, DeadLetters, Moment, Rules};
use crate::topology::QueueRequest;
use bytes::Bytes;
use forebay_wire::{FieldTable, ShortStr};

/// Nobody: the broker itself.
const BROKER: ConnectionId = ConnectionId(u64::MAX);

impl Shard {
    /// Puts dead letters of one queue where they belong. What has no place there, because nothing
    /// is bound, the exchange is gone or it goes round in circles, is dropped, as in RabbitMQ.
    pub(super) fn bury(&mut self, at: Moment, id: QueueId, letters: &[DeadLetter]) {
        let Some(record) = self.topology.queue_by_id(id) else { return };
        let (vhost, name) = (record.vhost.clone(), record.name.clone());
        let Some(address) = self.dead_letter_address(id) else { return };
        for letter in letters {
            let obituary = Obituary::new(letter, &name, &address, at.wall);
            let headers = || Some(obituary.headers.clone());
            let routes = self.topology.routes();
            let keys = &obituary.routing_keys;
            let targets = routes.route_from_broker(&vhost, &address.exchange, keys, &headers);
            for target in targets.iter() {
                let record = self.topology.queue_by_id(*target);
                if record.is_some_and(|record| !obituary.is_cycle(&record.name)) {
                    self.enqueue(*target, [obituary.message.clone()], false, at);
                }
            }
        }
        self.commits.sync_with_next();
    }

    fn dead_letter_address(&mut self, id: QueueId) -> Option<DeadLetterAddress> {
        let record = self.topology.queue_by_id(id)?;
        match Rules::new(record, self.queue_defaults).dead_letters {
            DeadLetters::Dropped => None,
            DeadLetters::Exchange => Some(DeadLetterAddress {
                exchange: record.settings.dead_letter_exchange.clone()?,
                routing_key: record.settings.dead_letter_routing_key.clone(),
            }),
            DeadLetters::DefaultQueue => {
                let name = [record.name.as_bytes(), DEAD_LETTER_QUEUE_SUFFIX.as_bytes()].concat();
                let name = ShortStr::try_from(Bytes::from(name)).ok()?;
                let vhost = record.vhost.clone();
                self.make_dead_letter_queue(&vhost, &name);
                Some(DeadLetterAddress { exchange: ShortStr::EMPTY, routing_key: Some(name) })
            }
        }
    }

    /// Made when the first message needs it.
    fn make_dead_letter_queue(&mut self, vhost: &ShortStr, name: &ShortStr) {
        if self.topology.find_queue(vhost, name).is_some() {
            return;
        }
        let request = QueueRequest {
            name: &ObjectName::stored(name.clone()),
            is_generated: true,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: &FieldTable::new(),
        };
        // A name that cannot be had leaves the letters without a place.
        if let Ok(queue) = self.topology.declare_queue(vhost, BROKER, request) {
            self.add_queue(queue.id);
            self.add_topology_operations();
        }
    }
}
