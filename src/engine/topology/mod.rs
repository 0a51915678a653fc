//! What there is to route by: virtual hosts, exchanges, queues, bindings, and the policies over
//! them.
//!
//! Owned by the shard, which asks it on behalf of connections. It applies every rule of declare,
//! delete, bind and unbind with RabbitMQ's checks, codes and texts; it keeps the immutable
//! [`Routes`] that connections route by, and says what must become durable as records. It knows
//! nothing of messages and consumers: `if-unused` and `if-empty` of queues, and when an
//! auto-delete or exclusive queue goes, are the shard's to decide.

pub(crate) mod arguments;
mod binding;
mod consistent_hash;
mod dead_letter_queues;
mod destinations;
mod equivalence;
mod exchange;
mod headers;
pub(crate) mod inert;
mod layer;
mod limits;
mod matcher;
mod meaning;
mod mending;
pub(crate) mod names;
mod persistent;
mod policies;
mod policy;
mod queue;
mod queue_ids;
mod record;
mod recovery;
mod removal;
pub(crate) mod reserved;
mod routes;
mod settings;
mod topic;
mod trial;

pub(crate) use dead_letter_queues::{dead_letter_queue_name, is_dead_letter_queue};
pub use exchange::{ExchangeKind, ExchangeRecord, ExchangeRequest};
pub use mending::{Mending, RemovedRecord, RenamedQueue, mend, recovered_queue_name};
pub use policy::{AppliesTo, Policy, PolicyError, PolicyOwner, PolicyRequest};
pub use queue::{DeclaredQueue, QueueRecord, QueueRequest};
pub use recovery::{RecordFlaw, TopologyRecordError, queue_record_key, recorded_queue};
pub use routes::Routes;
pub use settings::{ArgumentError, DeliveryLimit, Overflow, QueueKind, QueueSettings};

use crate::access::AccessControl;
use crate::ids::{ConnectionId, QueueId};
use crate::operation::Operation;
use binding::{BindingNumber, Bindings};
use forebay_wire::ShortStr;
use policies::Policies;
use queue_ids::QueueIds;
use removal::Removals;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Virtual hosts, exchanges, queues, bindings, and the routes that follow from them.
#[derive(Clone, Debug)]
pub struct Topology {
    vhosts: BTreeMap<ShortStr, Vhost>,
    queues: BTreeMap<QueueId, Arc<QueueRecord>>,
    exclusive: BTreeSet<(ConnectionId, QueueId)>,
    queue_ids: QueueIds,
    next_binding: BindingNumber,
    routes: Routes,
    removals: Removals,
    /// What the store must still learn, in order.
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, Default)]
struct Vhost {
    exchanges: BTreeMap<ShortStr, ExchangeRecord>,
    queues: BTreeMap<ShortStr, QueueId>,
    bindings: Bindings,
    policies: Policies,
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

impl Topology {
    /// Without even a virtual host.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vhosts: BTreeMap::new(),
            queues: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            queue_ids: QueueIds::new(),
            next_binding: 0,
            routes: Routes::default(),
            removals: Removals::default(),
            operations: Vec::new(),
        }
    }

    /// Where messages go now.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Publishes who may do what with the routes, so that both change at once for connections.
    pub fn publish_access(&mut self, access: &AccessControl) {
        self.routes.set_access(access);
    }

    /// What the store must learn since the last call, in order, to be written in one commit with
    /// whatever else the change brings about.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    /// Makes a virtual host with the exchanges that every one has; returns whether it is new.
    pub fn create_vhost(&mut self, name: &ShortStr) -> bool {
        if self.vhosts.contains_key(name) {
            return false;
        }
        let name = name.detached();
        self.operations.push(record::put_vhost(&name));
        self.routes.create_vhost(&name);
        self.vhosts.insert(name.clone(), Vhost::default());
        self.predeclare_exchanges(&name);
        true
    }

    /// Removes a virtual host and all that is in it; returns its queues, or nothing when it is not
    /// there.
    pub fn delete_vhost(&mut self, name: &ShortStr) -> Option<Vec<Arc<QueueRecord>>> {
        let queues = self.begin_vhost_removal(name)?;
        let queues = queues.into_iter().filter_map(|queue| self.remove_queue(queue)).collect();
        while self.removals_done() < self.removals_begun() {
            self.take_away(usize::MAX);
        }
        Some(queues)
    }

    /// How many queues a virtual host has.
    #[must_use]
    pub fn count_queues(&self, vhost: &ShortStr) -> usize {
        self.vhosts.get(vhost).map_or(0, |host| host.queues.len())
    }

    /// The virtual hosts by name.
    pub fn vhosts(&self) -> impl Iterator<Item = &ShortStr> {
        self.vhosts.keys()
    }

    /// A number for a new queue.
    fn next_queue(&mut self) -> QueueId {
        let (queue, ceiling) = self.queue_ids.next();
        self.operations.extend(ceiling.map(record::put_next_queue));
        queue
    }
}

#[cfg(test)]
mod tests;
