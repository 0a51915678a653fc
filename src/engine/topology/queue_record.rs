//! A queue as the topology keeps it.

use super::equivalence::{check_arguments, check_field};
use super::ignored_arguments::IGNORED_ARGUMENTS;
use super::names::Resource;
use super::pause::Pause;
use super::policies::EffectivePolicies;
use super::settings::{QUEUE_ARGUMENTS, QUEUE_TYPE, QueueSettings};
use crate::model::{ConnectionId, Fault, QueueDeclaration, QueueId};
use forebay_wire::{FieldTable, FieldValue, ShortStr};

/// A queue as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRecord {
    /// Its number, for ever.
    pub id: QueueId,
    /// Its virtual host.
    pub vhost: ShortStr,
    /// Its name.
    pub name: ShortStr,
    /// Survives a restart. An exclusive queue never does.
    pub durable: bool,
    /// The connection that alone may use it, and with which it goes.
    pub exclusive_owner: Option<ConnectionId>,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// As sent.
    pub arguments: FieldTable,
    /// What is in force.
    pub settings: QueueSettings,
    /// The policy that has a part in it.
    pub policy: Option<ShortStr>,
    /// The operator's policy that has a part in it.
    pub operator_policy: Option<ShortStr>,
    /// Nothing is delivered from it until somebody resumes it.
    pub pause: Option<Pause>,
}

impl QueueRecord {
    /// Computes anew what is in force; returns whether that is something else now.
    pub(super) fn apply_policies(&mut self, holding: EffectivePolicies<'_>) -> bool {
        (self.policy, self.operator_policy) = holding.names();
        let (policy, operator) = holding.layers();
        // The arguments were checked when the queue was declared: they can't be refused now.
        let settings = QueueSettings::effective(&self.arguments, policy, operator);
        match settings {
            Ok(settings) if settings != self.settings => self.settings = settings,
            _ => return false,
        }
        true
    }

    /// Refuses a declare of a queue that is there and differs.
    ///
    /// # Errors
    /// 405 when the queue is exclusive to another connection, or `exclusive` differs; 406, naming
    /// the first other property or argument that differs.
    pub(super) fn check_equivalent(
        &self,
        connection: ConnectionId,
        declaration: &QueueDeclaration,
    ) -> Result<(), Fault> {
        let resource = Resource::queue(&self.name, &self.vhost);
        if self.exclusive_owner != declaration.exclusive.then_some(connection) {
            return Err(resource.locked());
        }
        let durable = declaration.durable && !declaration.exclusive;
        check_field(resource, "durable", &self.durable, &durable)?;
        check_field(resource, "auto_delete", &self.auto_delete, &declaration.auto_delete)?;
        let (current, received) = (with_kind(&self.arguments), with_kind(&declaration.arguments));
        check_arguments(resource, &QUEUE_ARGUMENTS, &current, &received)?;
        check_arguments(resource, &IGNORED_ARGUMENTS, &current, &received)
    }
}

/// The arguments with the type of queue written out: to leave it out is to ask for `classic`.
fn with_kind(arguments: &FieldTable) -> FieldTable {
    let mut arguments = arguments.clone();
    if arguments.get(QUEUE_TYPE).is_none() {
        let name = ShortStr::from_static(QUEUE_TYPE);
        arguments.insert(name, FieldValue::from("classic"));
    }
    arguments
}
