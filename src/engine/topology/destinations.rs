//! Where a set of bindings leads: queues and further exchanges, as a persistent value.
//!
//! Owned by the matchers of a [`super::routes::Routes`] snapshot. The prepared [`Targets`] are
//! made when the first message asks for them and then shared by all messages and by all later
//! snapshots until the set changes, so that a route to one place allocates nothing.

use crate::model::{QueueId, Targets};
use forebay_wire::ShortStr;
use rpds::RedBlackTreeSetSync;
use std::sync::OnceLock;

/// The resolved end of a binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// A queue.
    Queue(QueueId),
    /// An exchange of the same virtual host, by name.
    Exchange(ShortStr),
}

/// Distinct queues and exchanges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations {
    queues: RedBlackTreeSetSync<QueueId>,
    exchanges: RedBlackTreeSetSync<ShortStr>,
    prepared: OnceLock<Targets>,
}

impl Destinations {
    /// Adds one; again: no change.
    pub(crate) fn insert(&mut self, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Queue(queue) => {
                self.queues.insert_mut(*queue);
                self.prepared = OnceLock::new();
            }
            Endpoint::Exchange(exchange) => self.exchanges.insert_mut(exchange.clone()),
        }
    }

    /// Takes one out; not there: no change.
    pub(crate) fn remove(&mut self, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Queue(queue) => {
                self.queues.remove_mut(queue);
                self.prepared = OnceLock::new();
            }
            Endpoint::Exchange(exchange) => {
                self.exchanges.remove_mut(exchange.as_bytes());
            }
        }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.exchanges.is_empty()
    }

    /// The queues, ready to be shared.
    pub(crate) fn queues(&self) -> &Targets {
        self.prepared.get_or_init(|| self.queues.iter().copied().collect())
    }

    /// The exchanges, ascending.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &ShortStr> {
        self.exchanges.iter()
    }
}
