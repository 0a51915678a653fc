//! What a request about exchanges, queues and bindings needs permission for.

use super::{Access, Object, Permissions};
use crate::model::{
    Binding, Destination, ExchangeDeclaration, Fault, ObjectName, QueueDeclaration, TopologyRequest,
};
use crate::topology::arguments::{ALTERNATE_EXCHANGE, Arguments};
use forebay_wire::{FieldTable, ShortStr};

impl Permissions {
    /// Whether the user may ask for this. A passive declare needs no permission but that to enter
    /// the virtual host.
    ///
    /// # Errors
    /// 403, naming user, access and object; closes the channel.
    pub fn check_request(
        &self,
        user: &ShortStr,
        vhost: &ShortStr,
        request: &TopologyRequest,
    ) -> Result<(), Fault> {
        let check = |access, object| self.check(user, vhost, access, object);
        match request {
            TopologyRequest::DeclareExchange(ExchangeDeclaration { passive: true, .. })
            | TopologyRequest::DeclareQueue(QueueDeclaration { passive: true, .. }) => Ok(()),
            TopologyRequest::DeclareExchange(ExchangeDeclaration { name, arguments, .. }) => {
                let exchange = Object::Exchange(name);
                check(Access::Configure, exchange)?;
                let Some(alternate) = named(arguments, ALTERNATE_EXCHANGE) else {
                    return Ok(());
                };
                check(Access::Read, exchange)?;
                check(Access::Write, Object::Exchange(&alternate))
            }
            TopologyRequest::DeclareQueue(QueueDeclaration { name, arguments, .. }) => {
                let queue = Object::Queue(name);
                check(Access::Configure, queue)?;
                let Some(dead_letters) = named(arguments, "x-dead-letter-exchange") else {
                    return Ok(());
                };
                check(Access::Read, queue)?;
                check(Access::Write, Object::Exchange(&dead_letters))
            }
            TopologyRequest::DeleteExchange { name, .. } => {
                check(Access::Configure, Object::Exchange(name))
            }
            TopologyRequest::DeleteQueue { name, .. } => {
                check(Access::Configure, Object::Queue(name))
            }
            TopologyRequest::PurgeQueue { name } => check(Access::Read, Object::Queue(name)),
            TopologyRequest::Bind(binding) | TopologyRequest::Unbind(binding) => {
                check(Access::Write, destination(binding))?;
                check(Access::Read, Object::Exchange(&binding.source))
            }
        }
    }
}

fn destination(binding: &Binding) -> Object<'_> {
    match &binding.destination {
        Destination::Queue(name) => Object::Queue(name),
        Destination::Exchange(name) => Object::Exchange(name),
    }
}

/// The exchange that an argument names; one that is no name is refused elsewhere.
fn named(arguments: &FieldTable, argument: &str) -> Option<ObjectName> {
    Arguments::new(arguments).object_name(argument).ok().flatten()
}
