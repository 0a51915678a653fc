//! Declare, look-up and removal of queues (AMQP 0-9-1, 1.7) with RabbitMQ's checks.
//! The messages and consumers are the shard's.

use super::arguments::Arguments;
use super::names::Resource;
use super::pause::Pause;
use super::persistent::take;
use super::queue_record::QueueRecord;
use super::removal::GoneObject;
use super::reserved;
use super::settings::{QUEUE_TYPE, QueueKind, QueueSettings};
use super::{Topology, record};
use crate::model::{ConnectionId, Fault, QueueDeclaration, QueueId};
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use std::sync::Arc;

/// The queue that a declare found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredQueue {
    /// Its number.
    pub id: QueueId,
    /// Its name.
    pub name: ShortStr,
    /// Whether it was not there before.
    pub created: bool,
}

impl Topology {
    /// Declares a queue for a connection, or checks that it is there as described.
    ///
    /// # Errors
    /// 403 for a name that begins with `amq.`; 404 for a passive declare of what is not there; 405
    /// when it is there and exclusive to another connection, or with another `exclusive`; 406 when
    /// it is there and differs, or an argument has a wrong type or value. All close the channel.
    /// 540 for a type of queue and arguments that we don't have (closes the connection).
    pub fn declare_queue(
        &mut self,
        vhost: &ShortStr,
        connection: ConnectionId,
        declaration: &QueueDeclaration,
    ) -> Result<DeclaredQueue, Fault> {
        let default_kind = self.vhost(vhost)?.metadata.default_queue_type;
        let Some(kind) = default_kind.filter(|kind| takes_default(declaration, *kind)) else {
            return self.declare_queue_as_said(vhost, connection, declaration);
        };
        // One from before the virtual host had this default stays what it is.
        let there = self.find_queue(vhost, &declaration.name);
        if there.is_some_and(|there| there.settings.kind != kind) {
            return self.declare_queue_as_said(vhost, connection, declaration);
        }
        let mut declaration = declaration.clone();
        declaration.arguments.insert(ShortStr::from_static(QUEUE_TYPE), kind.name());
        self.declare_queue_as_said(vhost, connection, &declaration)
    }

    /// Declares a queue as [`Self::declare_queue`] does, except that a queue without a type is a
    /// classic one whatever the virtual host's default type is.
    ///
    /// # Errors
    /// Those of [`Self::declare_queue`].
    pub fn declare_queue_as_said(
        &mut self,
        vhost: &ShortStr,
        connection: ConnectionId,
        declaration: &QueueDeclaration,
    ) -> Result<DeclaredQueue, Fault> {
        self.vhost(vhost)?;
        let name = declaration.name.clone().into_short();
        if declaration.passive {
            let queue = self.queue(vhost, &name, connection)?;
            return Ok(DeclaredQueue { id: queue.id, name, created: false });
        }
        if !declaration.is_generated {
            Resource::queue(&name, vhost).check_not_reserved()?;
        }
        reserved::check_queue(&declaration.arguments, Resource::queue(&name, vhost))?;
        if let Some(there) = self.find_queue(vhost, &name) {
            there.check_equivalent(connection, declaration)?;
            return Ok(DeclaredQueue { id: there.id, name, created: false });
        }
        let resource = Resource::queue(&name, vhost);
        check_no_stream(&declaration.arguments, resource)?;
        let settings = QueueSettings::effective(&declaration.arguments, None, None)
            .map_err(|bad| bad.fault(resource))?;
        check_kind(settings.kind, resource, declaration)?;
        let id = self.next_queue();
        let name = name.detached();
        self.add_queue(QueueRecord {
            id,
            vhost: vhost.detached(),
            name: name.clone(),
            durable: declaration.durable && !declaration.exclusive,
            exclusive_owner: declaration.exclusive.then_some(connection),
            auto_delete: declaration.auto_delete,
            arguments: declaration.arguments.detached(),
            settings,
            policy: None,
            operator_policy: None,
            pause: None,
        });
        Ok(DeclaredQueue { id, name, created: true })
    }

    /// The queue that a connection may use by this name.
    ///
    /// # Errors
    /// 404 when it is not there, 405 when it is exclusive to another connection. Both close the
    /// channel.
    pub fn queue(
        &self,
        vhost: &ShortStr,
        name: &ShortStr,
        connection: ConnectionId,
    ) -> Result<&QueueRecord, Fault> {
        let resource = Resource::queue(name, vhost);
        let queue = self.find_queue(vhost, name).ok_or_else(|| resource.not_found())?;
        if queue.exclusive_owner.is_some_and(|owner| owner != connection) {
            return Err(resource.locked());
        }
        Ok(queue)
    }

    /// The queue of this name, whoever owns it.
    #[must_use]
    pub fn find_queue(&self, vhost: &ShortStr, name: &ShortStr) -> Option<&QueueRecord> {
        let queue = self.vhosts.get(vhost)?.queues.get(name)?;
        self.queues.get(queue).map(Arc::as_ref)
    }

    /// The queue of this number, until it is removed.
    #[must_use]
    pub fn queue_by_id(&self, queue: QueueId) -> Option<&QueueRecord> {
        self.queues.get(&queue).map(Arc::as_ref)
    }

    /// The record of a queue, to be kept: it stays as it is when a policy changes.
    pub(crate) fn queue_record(&self, queue: QueueId) -> Option<Arc<QueueRecord>> {
        self.queues.get(&queue).map(Arc::clone)
    }

    /// All queues, in the order in which they were made.
    pub fn queues(&self) -> impl Iterator<Item = &QueueRecord> {
        self.queues.values().map(Arc::as_ref)
    }

    /// The queues of this number and above.
    pub fn queues_from(&self, first: QueueId) -> impl Iterator<Item = &QueueRecord> {
        self.queues.range(first..).map(|(_, queue)| queue.as_ref())
    }

    /// The queues of a virtual host by name.
    pub fn queues_of(&self, vhost: &ShortStr) -> impl Iterator<Item = &QueueRecord> {
        let ids = self.vhosts.get(vhost).into_iter().flat_map(|host| host.queues.values());
        ids.filter_map(|id| self.queue_by_id(*id))
    }

    /// The exclusive queues of a connection, which go with it.
    pub fn exclusive_queues(&self, connection: ConnectionId) -> impl Iterator<Item = QueueId> {
        let first = (connection, QueueId(0));
        let last = (connection, QueueId(u64::MAX));
        self.exclusive.range(first..=last).map(|(_, queue)| *queue)
    }

    /// Removes a queue with its bindings, and the auto-delete exchanges that lose their last
    /// binding thereby; with many bindings in slices. Not there: no change.
    pub fn remove_queue(&mut self, queue: QueueId) -> Option<Arc<QueueRecord>> {
        let (vhost, name) = {
            let queue = self.queues.get(&queue)?;
            (queue.vhost.clone(), queue.name.clone())
        };
        let record = take(&mut self.queues, &queue)?;
        if let Some(host) = self.vhosts.get_mut(&vhost) {
            host.queues.remove_mut(&name);
        }
        if let Some(owner) = record.exclusive_owner {
            self.exclusive.remove_mut(&(owner, queue));
        }
        if record.durable {
            self.operations.push(record::remove_queue(queue));
        }
        self.routes.remove_queue(&vhost, &name);
        self.remove_bindings_of(GoneObject::queue(&vhost, &name, queue));
        Some(record)
    }

    /// Pauses a queue, or resumes it; of a durable one it is stored. Returns the queue's number when that
    /// changed something: one that is paused stays paused as it was, one that is not is left alone.
    ///
    /// # Errors
    /// 404 when the queue is not there, 405 when it is exclusive to a connection.
    pub fn set_pause(
        &mut self,
        vhost: &ShortStr,
        name: &ShortStr,
        pause: Option<Pause>,
    ) -> Result<Option<QueueId>, Fault> {
        let resource = Resource::queue(name, vhost);
        let there = self.find_queue(vhost, name).ok_or_else(|| resource.not_found())?;
        if there.exclusive_owner.is_some() {
            return Err(resource.locked());
        }
        if there.pause.is_some() == pause.is_some() {
            return Ok(None);
        }
        let id = there.id;
        let Some(queue) = self.queues.get_mut(&id).map(Arc::make_mut) else { return Ok(None) };
        queue.pause = pause.map(|pause| Pause { by: pause.by.detached(), ..pause });
        if queue.durable {
            self.operations.push(record::put_queue(queue));
        }
        self.routes.note_change();
        Ok(Some(id))
    }

    /// Adds a queue that is not there yet to a virtual host that is, under its policies.
    pub(super) fn add_queue(&mut self, mut queue: QueueRecord) {
        let Some(host) = self.vhosts.get_mut(&queue.vhost) else { return };
        queue.apply_policies(host.policies.of_queue(&queue.name, queue.settings.kind));
        if queue.durable {
            self.operations.push(record::put_queue(&queue));
        }
        if let Some(owner) = queue.exclusive_owner {
            self.exclusive.insert_mut((owner, queue.id));
        }
        host.queues.insert_mut(queue.name.clone(), queue.id);
        self.routes.insert_queue(&queue.vhost, &queue.name, queue.id);
        self.queues.insert_mut(queue.id, Arc::new(queue));
    }
}

/// Whether a virtual host's default type can be the type of the queue that is declared.
fn takes_default(declaration: &QueueDeclaration, kind: QueueKind) -> bool {
    let QueueDeclaration { durable, exclusive, auto_delete, .. } = *declaration;
    let can_be = match kind {
        QueueKind::Classic => false,
        QueueKind::Quorum => durable && !exclusive && !auto_delete,
    };
    can_be && !declaration.passive && declaration.arguments.get(QUEUE_TYPE).is_none()
}

/// There are no streams.
fn check_no_stream(arguments: &FieldTable, resource: Resource<'_>) -> Result<(), Fault> {
    let kind = arguments.get(QUEUE_TYPE).and_then(FieldValue::as_long_str);
    if kind.is_none_or(|kind| kind != "stream") {
        return Ok(());
    }
    let allowed = "'classic' or 'quorum', as there are no streams";
    let fault = Arguments::new(arguments).refused(QUEUE_TYPE, allowed).fault(resource);
    Err(Fault::connection(ReplyCode::NotImplemented, fault.text))
}

/// A quorum queue is durable and for everybody.
fn check_kind(
    kind: QueueKind,
    resource: Resource<'_>,
    declaration: &QueueDeclaration,
) -> Result<(), Fault> {
    let property = match kind {
        QueueKind::Classic => return Ok(()),
        QueueKind::Quorum if !declaration.durable => "non-durable",
        QueueKind::Quorum if declaration.auto_delete => "auto-delete",
        QueueKind::Quorum if declaration.exclusive => "exclusive-owner",
        QueueKind::Quorum => return Ok(()),
    };
    let text = format!(
        "invalid property '{property}' for {resource}: a quorum queue is durable, and neither \
         exclusive nor auto-delete"
    );
    Err(Fault::channel(ReplyCode::PreconditionFailed, text))
}
