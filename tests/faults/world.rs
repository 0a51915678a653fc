//! Everything that a broker is made to promise at once, and the check of all of it.

use crate::disk::Moment;
use crate::harness::broker::Broker;
use crate::harness::random::Random;
use crate::load::{self, Books, Clock, Load};
use crate::topology::{Running, Topology};
use std::sync::Arc;

/// Clients that change the topology.
const OWNERS: usize = 3;

/// What was promised so far.
pub(crate) struct World {
    books: Books,
    topology: Topology,
    /// From when on the queues of the load are there for certain.
    prepared: Option<Moment>,
}

/// All clients, at work.
pub(crate) struct Storm {
    pub(crate) load: Load,
    owners: Running,
}

/// The clock where the moment of a fault does not matter: what was promised before the fault is all
/// that was promised.
pub(crate) fn no_clock() -> Clock {
    Arc::new(|| 0)
}

impl World {
    pub(crate) fn new() -> Self {
        Self { books: Books::default(), topology: Topology::new(OWNERS), prepared: None }
    }

    /// Sets all clients to work.
    pub(crate) async fn storm(
        &mut self,
        broker: &Broker,
        clock: &Clock,
        random: &mut Random,
    ) -> Storm {
        if self.prepared.is_none() {
            load::prepare(broker.address).await;
            self.prepared = Some(clock());
        }
        let owners = self.topology.start(broker, clock, random).await;
        Storm { load: Load::start(broker, &self.books, clock, random).await, owners }
    }

    /// Compares what is there after a fault at that moment with what was promised by then.
    pub(crate) async fn check(&self, broker: &Broker, fault: Moment, when: &str) {
        if self.prepared.is_some_and(|prepared| prepared <= fault) {
            self.books.check(broker, fault, when).await;
            self.topology.check(broker, fault, when).await;
        }
    }

    /// Takes what is there for what there must be from now on.
    pub(crate) async fn settle(&mut self, broker: &Broker) {
        self.books.settle(broker).await;
        self.topology.settle(broker).await;
        self.prepared = Some(0);
    }
}

impl Storm {
    /// Waits until all connections are broken.
    pub(crate) async fn end(self) {
        self.load.end().await;
        self.owners.end().await;
    }
}
