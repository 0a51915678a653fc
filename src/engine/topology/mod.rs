//! What there is to route by: virtual hosts, exchanges, queues, bindings, and the policies over
//! them; beside them schedules, which publish into them.
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
mod delayed_type;
mod destinations;
mod equivalence;
mod exchange;
mod exchange_counters;
mod exchange_kind;
mod exchange_record;
mod field_equality;
mod headers;
pub(crate) mod ignored_arguments;
mod limits;
mod match_key;
mod matcher;
mod message_group;
pub(crate) mod names;
mod once_unchecked;
mod pause;
mod persistent;
mod policies;
mod policy;
mod policy_pass;
mod queue;
mod queue_ids;
mod queue_record;
mod record;
mod record_fields;
mod recovery;
mod removal;
mod repair;
pub(crate) mod reserved;
mod routes;
mod schedules;
mod settings;
mod settings_layer;
mod topic;
mod trial;
mod vhost;

pub(crate) use dead_letter_queues::{dead_letter_queue_name, is_dead_letter_queue};
pub use exchange_counters::ExchangeCounters;
pub use exchange_kind::ExchangeKind;
pub use exchange_record::ExchangeRecord;
pub(crate) use field_equality::{shown, type_name};
pub use message_group::GroupKey;
pub use pause::Pause;
pub use policy::{AppliesTo, Policy, PolicyError, PolicyOwner, PolicyRequest};
pub(crate) use policy_pass::PolicyPass;
pub use queue::DeclaredQueue;
pub use queue_record::QueueRecord;
pub use record_fields::RecordFlaw;
pub use recovery::{TopologyRecordError, queue_record_key, recorded_queue};
pub use repair::{Mending, RemovedRecord, RenamedQueue, mend, recovered_queue_name};
pub use routes::Routes;
pub use settings::{ArgumentError, QueueKind, QueueSettings};
pub use settings_layer::{DeliveryLimit, Overflow, RetryType};
pub use vhost::{VhostMetadata, VhostUpdate};

use crate::model::{ConnectionId, QueueId};
use crate::operation::Operation;
use crate::schedules::Schedule;
use binding::Bindings;
use forebay_wire::ShortStr;
use persistent::{Tree, TreeSet};
use policies::Policies;
use queue_ids::QueueIds;
use record::BindingNumber;
use removal::Removals;
use std::sync::Arc;

/// Virtual hosts, exchanges, queues, bindings, and the routes that follow from them.
#[derive(Clone, Debug)]
pub struct Topology {
    vhosts: Tree<ShortStr, Vhost>,
    queues: Tree<QueueId, Arc<QueueRecord>>,
    exclusive: TreeSet<(ConnectionId, QueueId)>,
    queue_ids: QueueIds,
    next_binding: BindingNumber,
    routes: Routes,
    removals: Removals,
    /// What the store must still learn, in order.
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, Default)]
struct Vhost {
    exchanges: Tree<ShortStr, ExchangeRecord>,
    queues: Tree<ShortStr, QueueId>,
    bindings: Bindings,
    policies: Policies,
    schedules: Tree<ShortStr, Arc<Schedule>>,
    metadata: Arc<VhostMetadata>,
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
            vhosts: Tree::default(),
            queues: Tree::default(),
            exclusive: TreeSet::default(),
            queue_ids: QueueIds::new(),
            next_binding: 0,
            routes: Routes::default(),
            removals: Removals::default(),
            operations: Vec::new(),
        }
    }

    /// All of it as it is now, to be looked at elsewhere: it stays as it is when this one changes.
    /// Costs a few reference counts. It is another one whenever the version of the routes is.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self {
            vhosts: self.vhosts.clone(),
            queues: self.queues.clone(),
            exclusive: self.exclusive.clone(),
            queue_ids: self.queue_ids,
            next_binding: self.next_binding,
            routes: self.routes.clone(),
            removals: self.removals.clone(),
            operations: Vec::new(),
        }
    }

    /// Where messages go now.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// What the store must learn since the last call, in order, to be written in one commit with
    /// whatever else the change brings about.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    /// Makes a virtual host with the exchanges that every one has; returns whether it is new.
    pub fn create_vhost(&mut self, name: &ShortStr) -> bool {
        self.put_vhost(name, VhostUpdate::default())
    }

    /// Makes a virtual host with what `update` says of it, or changes that of one that exists; returns
    /// whether it is new.
    pub fn put_vhost(&mut self, name: &ShortStr, update: VhostUpdate) -> bool {
        if let Some(host) = self.vhosts.get_mut(name) {
            if Arc::make_mut(&mut host.metadata).update(update) {
                self.operations.push(record::put_vhost(name, &host.metadata));
                self.routes.note_change();
            }
            return false;
        }
        let name = name.detached();
        let mut metadata = VhostMetadata::default();
        metadata.update(update);
        self.operations.push(record::put_vhost(&name, &metadata));
        self.routes.create_vhost(&name);
        let host = Vhost { metadata: Arc::new(metadata), ..Vhost::default() };
        self.vhosts.insert_mut(name.clone(), host);
        self.predeclare_exchanges(&name);
        true
    }

    /// What is said of a virtual host that is there.
    #[must_use]
    pub fn vhost_metadata(&self, name: &ShortStr) -> Option<&VhostMetadata> {
        self.vhosts.get(name).map(|host| &*host.metadata)
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
        self.vhosts.get(vhost).map_or(0, |host| host.queues.size())
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
