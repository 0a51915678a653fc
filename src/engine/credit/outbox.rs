//! Events on their way to connections, batched for each. Owned by the [`crate::shard::Shard`].

use crate::event::Event;
use crate::model::ConnectionId;
use std::collections::{HashMap, VecDeque};

/// Events by connection, the connections in the order in which they got their first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    order: VecDeque<ConnectionId>,
    events: HashMap<ConnectionId, Vec<Event>>,
    /// What is told after all of these.
    late: Vec<(ConnectionId, Event)>,
}

impl Outbox {
    /// Adds an event.
    pub(crate) fn push(&mut self, connection: ConnectionId, event: Event) {
        self.events
            .entry(connection)
            .or_insert_with(|| {
                self.order.push_back(connection);
                Vec::new()
            })
            .push(event);
    }

    /// Adds an event that is told after the others: a cancelled consumer must not hear of it
    /// before the answer to the `queue.delete` that its own connection sent.
    pub(crate) fn push_late(&mut self, connection: ConnectionId, event: Event) {
        self.late.push((connection, event));
    }

    /// Takes what would be told late, to be told still later.
    pub(crate) fn take_late(&mut self) -> Vec<(ConnectionId, Event)> {
        std::mem::take(&mut self.late)
    }

    /// Takes all events of one connection.
    pub(crate) fn poll(&mut self) -> Option<(ConnectionId, Vec<Event>)> {
        if self.order.is_empty() {
            for (connection, event) in self.take_late() {
                self.push(connection, event);
            }
        }
        let connection = self.order.pop_front()?;
        Some((connection, self.events.remove(&connection)?))
    }
}
