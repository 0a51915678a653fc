//! All connections that are open, by number: how many there are, and the way to tell them
//! something. Each connection task enters itself and leaves when it ends.

use forebay_engine::event::Event;
use forebay_engine::fault::Fault;
use forebay_engine::ids::ConnectionId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Where a connection's news go. Unbounded as a channel, bounded by what is sent: deliveries by
/// the engine's budget, replies by one open request, confirms by what was published.
pub type EventSender = UnboundedSender<Vec<Event>>;
/// The other end, in the connection's task.
pub type EventReceiver = UnboundedReceiver<Vec<Event>>;

/// The open connections. Clones are the same register.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    register: Mutex<Register>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Register {
    opened_total: u64,
    closing: Option<Fault>,
    senders: HashMap<ConnectionId, EventSender>,
}

/// A place in the register, given back when dropped.
#[derive(Debug)]
pub struct Entry {
    id: ConnectionId,
    sender: EventSender,
    connections: Connections,
}

impl Connections {
    /// Enters a new connection and gives it a number; nothing when `max` are open already. One
    /// that enters while all are being closed is told so at once.
    #[must_use]
    pub fn enter(&self, max: usize) -> Option<(Entry, EventReceiver)> {
        let mut register = self.register();
        if register.senders.len() >= max {
            return None;
        }
        let (sender, receiver) = unbounded_channel();
        register.opened_total += 1;
        let id = ConnectionId(register.opened_total);
        if let Some(fault) = register.closing.clone() {
            // The receiver is at hand: this can't fail.
            let _ = sender.send(vec![Event::Close { fault }]);
        }
        register.senders.insert(id, sender.clone());
        Some((Entry { id, sender, connections: self.clone() }, receiver))
    }

    /// Tells every connection, and all that come later, to close with this fault.
    pub fn close_all(&self, fault: &Fault) {
        let mut register = self.register();
        register.closing = Some(fault.clone());
        for sender in register.senders.values() {
            // A connection that ended just now needs no telling.
            let _ = sender.send(vec![Event::Close { fault: fault.clone() }]);
        }
    }

    /// Waits until none is open.
    pub async fn all_left(&self) {
        loop {
            let left = self.inner.left.notified();
            if self.register().senders.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// How many are open, and how many were ever opened.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        let register = self.register();
        (register.senders.len(), register.opened_total)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.inner.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Where to send its news.
    #[must_use]
    pub fn sender(&self) -> EventSender {
        self.sender.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let empty = {
            let mut register = self.connections.register();
            register.senders.remove(&self.id);
            register.senders.is_empty()
        };
        if empty {
            self.connections.inner.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_wire::ReplyCode;

    #[tokio::test]
    async fn everybody_is_told_to_close_also_who_comes_later() {
        let connections = Connections::default();
        let (early, mut early_events) = connections.enter(10).unwrap();
        let fault = Fault::connection(ReplyCode::ConnectionForced, "shutdown");
        connections.close_all(&fault);
        let (late, mut late_events) = connections.enter(10).unwrap();
        for events in [&mut early_events, &mut late_events] {
            let news = events.recv().await.unwrap();
            assert!(matches!(news.as_slice(), [Event::Close { fault: f }] if *f == fault));
        }
        assert!(early.id() < late.id());
        let left = tokio::spawn({
            let connections = connections.clone();
            async move { connections.all_left().await }
        });
        drop(early);
        drop(late);
        left.await.unwrap();
        assert_eq!(connections.counts(), (0, 2));
    }

    #[test]
    fn no_more_enter_than_there_is_room_for() {
        let connections = Connections::default();
        let first = connections.enter(1).unwrap();
        assert!(connections.enter(1).is_none());
        drop(first);
        assert!(connections.enter(1).is_some());
    }
}
