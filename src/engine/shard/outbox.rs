//! Events on their way to connections, batched for each. Owned by the [`super::Shard`].

use crate::event::Event;
use crate::ids::ConnectionId;
use std::collections::{HashMap, VecDeque};

/// Events by connection, the connections in the order in which they got their first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    order: VecDeque<ConnectionId>,
    events: HashMap<ConnectionId, Vec<Event>>,
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

    /// Takes all events of one connection.
    pub(crate) fn poll(&mut self) -> Option<(ConnectionId, Vec<Event>)> {
        let connection = self.order.pop_front()?;
        Some((connection, self.events.remove(&connection)?))
    }
}
