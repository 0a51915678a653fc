//! Objects as a file of definitions describes them, each with the path at which it stands there:
//! made together or not at all.

use crate::access::{AccessControl, Limit, Permission, User};
use crate::model::{
    ConnectionId, Destination, ExchangeDeclaration, Fault, QueueDeclaration, TopologyRequest,
};
use crate::schedules::Schedule;
use crate::topology::{Policy, Topology, VhostUpdate};
use forebay_wire::ShortStr;

/// Belongs to no connection: nothing exclusive is made by a file.
const NOBODY: ConnectionId = ConnectionId(0);

/// One object of a file.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Where it stands in the file, as `queues[3]`.
    pub path: String,
    /// What it is.
    pub object: DefinedObject,
}

/// What a file can define.
#[derive(Clone, Debug)]
pub enum DefinedObject {
    /// A virtual host, and what is said of it.
    Vhost(ShortStr, VhostUpdate),
    /// A user; replaces one of the same name.
    User(ShortStr, User),
    /// A user's permission in a virtual host; replaces another.
    Permission {
        /// The user.
        user: ShortStr,
        /// The virtual host.
        vhost: ShortStr,
        /// What it may do.
        permission: Permission,
    },
    /// A limit of a virtual host or user; replaces another.
    Limit {
        /// What is limited.
        limit: Limit,
        /// The virtual host or user.
        owner: ShortStr,
        /// How many there may be; nothing: any number.
        most: Option<u64>,
    },
    /// A policy of a virtual host; replaces one of the same name.
    Policy(ShortStr, Box<Policy>),
    /// A schedule of a virtual host; replaces one of the same name.
    Schedule {
        /// The virtual host.
        vhost: ShortStr,
        /// The schedule.
        schedule: Box<Schedule>,
        /// Whether the file says if it stands still. Otherwise one that is there goes on to do so or not: a file
        /// that is taken at each start does not set going what an operator paused.
        says_paused: bool,
    },
    /// A declare or bind in a virtual host. A queue or exchange that is there stays as it is, as
    /// in RabbitMQ. Declares are neither passive nor exclusive; a queue's name counts as generated,
    /// since a broker may have chosen it before the file was written.
    Topology(ShortStr, TopologyRequest),
}

/// The first definition that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct DefinitionError {
    /// Where it stands in the file.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Those that a broker with this topology could not take, if it took them in their order.
#[must_use]
pub fn check(mut topology: Topology, definitions: &[Definition]) -> Vec<DefinitionError> {
    let mut access = AccessControl::new();
    let check = |definition| make(&mut topology, &mut access, definition).err();
    definitions.iter().filter_map(check).collect()
}

/// Makes all of them in a broker that has nothing but the virtual host `/`.
///
/// # Errors
/// Names the first that can't be made.
pub fn make_all(definitions: &[Definition]) -> Result<(Topology, AccessControl), DefinitionError> {
    let (mut topology, mut access) = (Topology::new(), AccessControl::new());
    topology.create_vhost(&ShortStr::from_static("/"));
    apply(&mut topology, &mut access, definitions)?;
    Ok((topology, access))
}

/// Makes all of them, in their order. After an error what was made before it is there: the caller
/// works on copies.
fn apply(
    topology: &mut Topology,
    access: &mut AccessControl,
    definitions: &[Definition],
) -> Result<(), DefinitionError> {
    definitions.iter().try_for_each(|definition| make(topology, access, definition))?;
    let vhosts: Vec<ShortStr> = topology.vhosts().cloned().collect();
    for vhost in vhosts {
        topology.apply_policies(&vhost);
    }
    Ok(())
}

/// Makes one in a trial beside the broker, to which it brings along what the definition names and the
/// broker has: nothing else decides whether it can be made.
pub(crate) fn try_out(
    there: &Topology,
    trial: &mut Topology,
    access: &mut AccessControl,
    definition: &Definition,
) -> Result<(), DefinitionError> {
    match &definition.object {
        DefinedObject::Vhost(..) | DefinedObject::User(..) => {}
        DefinedObject::Permission { vhost, .. }
        | DefinedObject::Limit { owner: vhost, .. }
        | DefinedObject::Policy(vhost, _) => trial.bring_vhost(there, vhost),
        DefinedObject::Schedule { vhost, .. } => {
            trial.bring_vhost(there, vhost);
            trial.bring_schedules(there, vhost);
        }
        DefinedObject::Topology(vhost, request) => {
            trial.bring_vhost(there, vhost);
            match request {
                TopologyRequest::DeclareExchange(ExchangeDeclaration { name, .. }) => {
                    trial.bring_exchange(there, vhost, name);
                }
                TopologyRequest::DeclareQueue(QueueDeclaration { name, .. }) => {
                    trial.bring_queue(there, vhost, name)
                }
                TopologyRequest::Bind(binding) => {
                    trial.bring_exchange(there, vhost, &binding.source);
                    match &binding.destination {
                        Destination::Queue(name) => trial.bring_queue(there, vhost, name),
                        Destination::Exchange(name) => trial.bring_exchange(there, vhost, name),
                    }
                }
                _ => {}
            }
        }
    }
    make(trial, access, definition)
}

/// Makes one. What is in a virtual host follows a policy of it only when the caller applies it.
pub(crate) fn make(
    topology: &mut Topology,
    access: &mut AccessControl,
    definition: &Definition,
) -> Result<(), DefinitionError> {
    let Definition { path, object } = definition;
    make_object(topology, access, object)
        .map_err(|fault| DefinitionError { path: path.clone(), reason: fault.text })
}

fn make_object(
    topology: &mut Topology,
    access: &mut AccessControl,
    object: &DefinedObject,
) -> Result<(), Fault> {
    match object {
        DefinedObject::Vhost(name, update) => {
            topology.put_vhost(name, update.clone());
        }
        DefinedObject::User(name, user) => access.put_user(name, user.clone()),
        DefinedObject::Permission { user, vhost, permission } => {
            topology.require_vhost(vhost)?;
            access.grant(user, vhost, permission.clone());
        }
        DefinedObject::Limit { limit, owner, most } => {
            if Limit::OF_VHOST.contains(limit) {
                topology.require_vhost(owner)?;
            }
            access.set_limit(*limit, owner, *most);
        }
        DefinedObject::Policy(vhost, policy) => {
            topology.put_policy(vhost, Policy::clone(policy))?;
        }
        DefinedObject::Schedule { vhost, schedule, says_paused } => {
            let schedule = topology.defined_schedule(vhost, schedule, *says_paused);
            topology.put_schedule(vhost, schedule)?;
        }
        DefinedObject::Topology(vhost, request) => declare(topology, vhost, request)?,
    }
    Ok(())
}

fn declare(
    topology: &mut Topology,
    vhost: &ShortStr,
    request: &TopologyRequest,
) -> Result<(), Fault> {
    topology.require_vhost(vhost)?;
    match request {
        TopologyRequest::DeclareExchange(declaration) => {
            if topology.find_exchange(vhost, &declaration.name).is_some() {
                return Ok(());
            }
            topology.declare_exchange(vhost, declaration)
        }
        TopologyRequest::DeclareQueue(declaration) => {
            if topology.find_queue(vhost, &declaration.name).is_some() {
                return Ok(());
            }
            topology.declare_queue_as_said(vhost, NOBODY, declaration).map(drop)
        }
        TopologyRequest::Bind(binding) => topology.bind(vhost, NOBODY, binding),
        // Files tell what there is to be, not what is to go.
        TopologyRequest::Unbind(_)
        | TopologyRequest::DeleteExchange { .. }
        | TopologyRequest::PurgeQueue { .. }
        | TopologyRequest::DeleteQueue { .. } => Ok(()),
    }
}
