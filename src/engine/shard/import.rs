//! Files of definitions, taken in slices: first all of it is tried on the side, then all of it is
//! made. A file that can't be is refused before anything has changed.

use super::Shard;
use crate::access::AccessControl;
use crate::definition::{self, DefinedObject, Definition, DefinitionError};
use crate::model::{Fault, QueueDeclaration, TopologyRequest};
use crate::queue::Instants;
use crate::topology::Topology;
use forebay_wire::{ReplyCode, ShortStr};
use std::collections::BTreeSet;

/// A file on its way in.
#[derive(Debug)]
pub(super) struct Import {
    definitions: Vec<Definition>,
    next: usize,
    /// Where it is tried; `None`: it was, and can be made.
    trial: Option<(Topology, AccessControl)>,
    /// Virtual hosts of which policies were made: what is in them follows these at the end.
    changed_policies: BTreeSet<ShortStr>,
}

impl Import {
    pub(super) fn new(definitions: Vec<Definition>) -> Self {
        let trial = Some((Topology::new(), AccessControl::new()));
        Self { definitions, next: 0, trial, changed_policies: BTreeSet::new() }
    }

    /// The virtual hosts of which policies were made.
    pub(super) fn changed_policies(&self) -> &BTreeSet<ShortStr> {
        &self.changed_policies
    }
}

impl Shard {
    /// Goes on with a file by so many definitions; whether any are left.
    ///
    /// # Errors
    /// 406 with the path of the first definition that can't be made. Nothing has changed then, unless
    /// another client has changed meanwhile what the definition needs; the text says so.
    pub(super) fn advance_import(
        &mut self,
        at: Instants,
        import: &mut Import,
        most: usize,
    ) -> Result<bool, Fault> {
        let Import { definitions, next, trial, changed_policies } = import;
        let slice = definitions.get(*next..).unwrap_or_default();
        let slice = slice.get(..most.min(slice.len())).unwrap_or_default();
        *next += slice.len();
        let is_last = *next == definitions.len();
        let refused = |text| Fault::channel(ReplyCode::PreconditionFailed, text);
        if let Some((topology, access)) = trial {
            for definition in slice {
                definition::try_out(&self.topology, topology, access, definition)
                    .map_err(|error| refused(error.to_string()))?;
            }
            if is_last {
                (*trial, *next) = (None, 0);
            }
            return Ok(true);
        }
        let result = slice.iter().try_for_each(|definition| {
            self.take_definition(at, definition, changed_policies).map_err(|error| {
                let text = format!(
                    "{error}: it was changed meanwhile; what stands before it in the file is there"
                );
                refused(text)
            })
        });
        self.add_topology_operations();
        self.add_access_operations();
        result.map(|()| !is_last)
    }

    fn take_definition(
        &mut self,
        at: Instants,
        definition: &Definition,
        changed_policies: &mut BTreeSet<ShortStr>,
    ) -> Result<(), DefinitionError> {
        if let DefinedObject::Schedule { vhost, schedule, says_paused } = &definition.object {
            let schedule = self.topology.defined_schedule(vhost, schedule, *says_paused);
            let set = self.topology.require_vhost(vhost);
            let set = set.and_then(|()| self.set_schedule(at, vhost, schedule));
            let path = || definition.path.clone();
            return set.map_err(|fault| DefinitionError { path: path(), reason: fault.text });
        }
        definition::make(&mut self.topology, &mut self.access, definition)?;
        if let DefinedObject::Policy(vhost, _) = &definition.object {
            changed_policies.insert(vhost.clone());
        }
        if let DefinedObject::Topology(
            vhost,
            TopologyRequest::DeclareQueue(QueueDeclaration { name, .. }),
        ) = &definition.object
        {
            let queue = self.topology.find_queue(vhost, name).map(|record| record.id);
            if let Some(queue) = queue.filter(|queue| !self.queues.contains_key(queue)) {
                self.add_queue(queue);
            }
        }
        Ok(())
    }
}
