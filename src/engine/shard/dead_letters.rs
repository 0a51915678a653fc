//! Dead letters from the queue they left to where they go, within one commit.

use super::Shard;
use super::dead_letter_copy::{DeadLetterAddress, DeadLetterCopy};
use super::traces::Arrival;
use crate::limits::DEAD_LETTER_WORK;
use crate::model::{ConnectionId, ObjectName, QueueDeclaration, QueueId};
use crate::queue::{DeadLetter, DeadLetters, Instants, Rules};
use crate::topology::dead_letter_queue_name;
use crate::trace::Happening;
use forebay_wire::ShortStr;

/// Nobody: the broker itself.
const BROKER: ConnectionId = ConnectionId(u64::MAX);

/// A queue that messages die in.
struct Origin {
    id: QueueId,
    vhost: ShortStr,
    name: ShortStr,
    rules: Rules,
}

impl Shard {
    /// Puts dead letters of one queue where they belong. What no queue takes, because nothing is
    /// bound, the exchange is gone or it goes round in circles, is dropped, as in RabbitMQ, and
    /// counted. What goes too far by itself stays in the queue's own dead-letter queue.
    pub(super) fn dead_letter(&mut self, at: Instants, id: QueueId, letters: &[DeadLetter]) {
        let Some(record) = self.topology.queue_by_id(id) else { return };
        let rules = Rules::new(record, self.queue_defaults);
        let (vhost, name) = (record.vhost.clone(), record.name.clone());
        let origin = Origin { id, vhost, name, rules };
        let Some(address) = self.dead_letter_address(&origin) else { return };
        for letter in letters {
            let copy = DeadLetterCopy::new(letter, &origin.name, &address, at.wall);
            let queues = self.queues_for(&origin, &address, &copy);
            if copy.goes_too_far(queues.len()) {
                self.keep_dead_letter(at, &origin, letter);
            } else {
                self.put_dead_letter(at, &origin, copy, &queues, letter);
            }
        }
        self.commits.sync_with_next();
    }

    /// The queues that a dead letter goes to, without those that it came through before by itself.
    fn queues_for(
        &self,
        origin: &Origin,
        address: &DeadLetterAddress,
        copy: &DeadLetterCopy<'_>,
    ) -> Vec<QueueId> {
        let headers = || Some(copy.headers.clone());
        let (routes, keys) = (self.topology.routes(), &copy.routing_keys);
        let targets = routes.route_from_broker(&origin.vhost, &address.exchange, keys, &headers);
        let is_new = |target: &&QueueId| {
            let record = self.topology.queue_by_id(**target);
            record.is_some_and(|record| !copy.is_cycle(&record.name))
        };
        targets.iter().filter(is_new).copied().collect()
    }

    fn put_dead_letter(
        &mut self,
        at: Instants,
        origin: &Origin,
        copy: DeadLetterCopy<'_>,
        queues: &[QueueId],
        letter: &DeadLetter,
    ) {
        self.work.spend(DEAD_LETTER_WORK * queues.len().max(1));
        self.record_dead_letter(at, origin, letter, copy.exchange(), queues);
        if queues.is_empty() {
            return self.drop_dead_letter(origin);
        }
        let mut message = copy.into_message(queues.len(), at.wall);
        if queues.len() > 1 {
            self.shared_bodies.share(std::slice::from_mut(&mut message));
        }
        for queue in queues {
            let arrival = Arrival::DeadLetter { from: origin.id, reason: letter.reason };
            self.enqueue(*queue, [message.clone()], arrival, false, at);
        }
    }

    /// Has the queue that a message died in say where it went.
    fn record_dead_letter(
        &mut self,
        at: Instants,
        origin: &Origin,
        letter: &DeadLetter,
        exchange: &ShortStr,
        queues: &[QueueId],
    ) {
        if letter.life.is_none() {
            return;
        }
        let (exchange, queues) = (exchange.clone(), queues.iter().map(|id| self.queue_name(*id)));
        let queues = queues.collect();
        if let Some(queue) = self.queues.get_mut(&origin.id) {
            queue.record_afterwards(letter.life, at, || Happening::DeadLettered {
                exchange,
                queues,
            });
        }
    }

    /// A dead letter is not to go on by itself: it waits for a person in the dead-letter queue that
    /// the broker makes for the queue it died in. One that has none drops it.
    fn keep_dead_letter(&mut self, at: Instants, origin: &Origin, letter: &DeadLetter) {
        if !origin.rules.has_dead_letter_queue {
            self.record_dead_letter(at, origin, letter, &ShortStr::EMPTY, &[]);
            return self.drop_dead_letter(origin);
        }
        let address = self.default_address(origin);
        let mut copy = DeadLetterCopy::new(letter, &origin.name, &address, at.wall);
        copy.forget_copies();
        let queues = self.queues_for(origin, &address, &copy);
        self.put_dead_letter(at, origin, copy, &queues, letter);
    }

    fn drop_dead_letter(&mut self, origin: &Origin) {
        if let Some(queue) = self.queues.get_mut(&origin.id) {
            queue.count_dropped_dead_letter();
        }
    }

    fn dead_letter_address(&mut self, origin: &Origin) -> Option<DeadLetterAddress> {
        match origin.rules.dead_letters {
            DeadLetters::Dropped => None,
            DeadLetters::DefaultQueue => Some(self.default_address(origin)),
            DeadLetters::Exchange => {
                let settings = &self.topology.queue_by_id(origin.id)?.settings;
                Some(DeadLetterAddress {
                    exchange: settings.dead_letter_exchange.clone()?,
                    routing_key: settings.dead_letter_routing_key.clone(),
                })
            }
        }
    }

    /// The queue's own dead-letter queue, which is made when the first message needs it.
    fn default_address(&mut self, origin: &Origin) -> DeadLetterAddress {
        let name = dead_letter_queue_name(&origin.name);
        if self.topology.find_queue(&origin.vhost, &name).is_none() {
            self.make_dead_letter_queue(&origin.vhost, &name);
        }
        DeadLetterAddress { exchange: ShortStr::EMPTY, routing_key: Some(name) }
    }

    fn make_dead_letter_queue(&mut self, vhost: &ShortStr, name: &ShortStr) {
        // The name comes as a generated one: that of a queue whose name begins with `amq.` does too,
        // and no client could declare it.
        let declaration = QueueDeclaration {
            name: ObjectName::stored(name.clone()),
            is_generated: true,
            durable: true,
            ..QueueDeclaration::default()
        };
        if let Ok(queue) = self.topology.declare_queue(vhost, BROKER, &declaration) {
            self.add_queue(queue.id);
            self.add_topology_operations();
        }
    }
}
