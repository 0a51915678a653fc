//! An exchange as the topology keeps it.

use super::arguments::{ALTERNATE_EXCHANGE, Arguments, BadArgument};
use super::consistent_hash::HASH_HEADER;
use super::delayed_type::DELAYED_TYPE;
use super::equivalence::{check_arguments, check_field};
use super::exchange_kind::ExchangeKind;
use super::names::{Resource, is_reserved};
use super::policy::Policy;
use crate::model::{ExchangeDeclaration, Fault, ObjectName};
use forebay_wire::{FieldTable, ShortStr};

/// An exchange as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeRecord {
    /// Its virtual host.
    pub vhost: ShortStr,
    /// Its name.
    pub name: ShortStr,
    /// Its type.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with its last binding.
    pub auto_delete: bool,
    /// Clients can't publish to it.
    pub internal: bool,
    /// As sent.
    pub arguments: FieldTable,
    /// Takes what matches no binding.
    pub alternate: Option<ShortStr>,
    /// The policy that has a part in it.
    pub policy: Option<ShortStr>,
}

impl ExchangeRecord {
    /// Whether the store knows it: durable, and not there from the beginning anyway.
    pub(super) fn is_stored(&self) -> bool {
        self.durable && !is_reserved(&self.name)
    }

    /// Computes anew what is in force; returns whether that is something else now.
    pub(super) fn apply_policy(&mut self, policy: Option<&Policy>) -> bool {
        self.policy = policy.map(|policy| policy.name().clone());
        let declared = declared_alternate(&self.arguments).ok().flatten();
        let alternate = declared.or_else(|| policy.and_then(Policy::alternate).cloned());
        let changed = alternate != self.alternate;
        self.alternate = alternate;
        changed
    }

    /// Refuses a declare of an exchange that is there and differs.
    ///
    /// # Errors
    /// 406, naming the first property or argument that differs.
    pub(super) fn check_equivalent(
        &self,
        kind: ExchangeKind,
        declaration: &ExchangeDeclaration,
    ) -> Result<(), Fault> {
        let resource = Resource::exchange(&self.name, &self.vhost);
        check_field(resource, "type", &self.kind, &kind)?;
        check_field(resource, "durable", &self.durable, &declaration.durable)?;
        check_field(resource, "auto_delete", &self.auto_delete, &declaration.auto_delete)?;
        check_field(resource, "internal", &self.internal, &declaration.internal)?;
        check_arguments(
            resource,
            &[ALTERNATE_EXCHANGE, HASH_HEADER, DELAYED_TYPE],
            &self.arguments,
            &declaration.arguments,
        )
    }
}

/// The alternate exchange that a declare asks for.
pub(super) fn declared_alternate(arguments: &FieldTable) -> Result<Option<ShortStr>, BadArgument> {
    let alternate = Arguments::new(arguments).object_name(ALTERNATE_EXCHANGE)?;
    Ok(alternate.map(ObjectName::into_short))
}
