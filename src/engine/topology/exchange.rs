//! Declare and delete of exchanges (AMQP 0-9-1, 1.6) with RabbitMQ's checks.

use super::arguments::Arguments;
use super::exchange_kind::ExchangeKind;
use super::exchange_record::{ExchangeRecord, declared_alternate};
use super::matcher::Matcher;
use super::names::{Resource, check_not_default_exchange, is_reserved, vhost_not_found};
use super::persistent::take;
use super::removal::GoneObject;
use super::{Topology, record};
use crate::model::{ExchangeDeclaration, Fault, ObjectName};
use forebay_wire::{FieldTable, ReplyCode, ShortStr};

/// Those that every virtual host has from its beginning: name, type, internal. Durable, and never
/// stored.
const PREDECLARED: [(&str, ExchangeKind, bool); 6] = [
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

impl Topology {
    /// Declares an exchange, or checks that it is there as described.
    ///
    /// # Errors
    /// 403 for the default exchange and for new names that begin with `amq.`; 404 for a passive
    /// declare of what is not there; 406 when it is there and differs, or an argument has a wrong
    /// type (all close the channel); 503 for an unknown type (closes the connection).
    pub fn declare_exchange(
        &mut self,
        vhost: &ShortStr,
        declaration: &ExchangeDeclaration,
    ) -> Result<(), Fault> {
        let name: &ShortStr = &declaration.name;
        let resource = Resource::exchange(name, vhost);
        let exchanges = &self.vhost(vhost)?.exchanges;
        if declaration.passive {
            check_not_default_exchange(name)?;
            return exchanges.get(name).map(|_| ()).ok_or_else(|| resource.not_found());
        }
        let kind = ExchangeKind::from_name(declaration.kind.as_bytes())
            .ok_or_else(|| unknown_kind(&declaration.kind))?;
        check_not_default_exchange(name)?;
        if let Some(there) = exchanges.get(name) {
            return there.check_equivalent(kind, declaration);
        }
        resource.check_not_reserved()?;
        let alternate =
            declared_alternate(&declaration.arguments).map_err(|bad| bad.fault(resource))?;
        let record = ExchangeRecord {
            vhost: vhost.detached(),
            name: name.detached(),
            kind,
            durable: declaration.durable,
            auto_delete: declaration.auto_delete,
            internal: declaration.internal,
            arguments: declaration.arguments.detached(),
            alternate,
            policy: None,
        };
        self.add_exchange(record)
    }

    /// Deletes an exchange with all bindings from and to it; not there: no change.
    ///
    /// # Errors
    /// 403 for the default exchange and names that begin with `amq.`; 406 when `if_unused` is set
    /// and messages can go on from it. Both close the channel.
    pub fn delete_exchange(
        &mut self,
        vhost: &ShortStr,
        name: &ObjectName,
        if_unused: bool,
    ) -> Result<(), Fault> {
        let name: &ShortStr = name;
        let resource = Resource::exchange(name, vhost);
        check_not_default_exchange(name)?;
        if is_reserved(name) {
            let text = format!("deletion of system {resource} not allowed");
            return Err(Fault::channel(ReplyCode::AccessRefused, text));
        }
        let host = self.vhost(vhost)?;
        if if_unused && host.bindings.any_from(name) {
            return Err(resource.in_use());
        }
        self.remove_exchange(vhost, name);
        Ok(())
    }

    /// The exchanges of a virtual host by name, without the default exchange.
    pub fn exchanges(&self, vhost: &ShortStr) -> impl Iterator<Item = &ExchangeRecord> {
        self.vhosts.get(vhost).into_iter().flat_map(|host| host.exchanges.values())
    }

    /// The exchange of this name; the default exchange has no record.
    #[must_use]
    pub fn find_exchange(&self, vhost: &ShortStr, name: &ShortStr) -> Option<&ExchangeRecord> {
        self.exchange(vhost, name)
    }

    /// Gives a new virtual host its exchanges.
    pub(super) fn predeclare_exchanges(&mut self, vhost: &ShortStr) {
        for (name, kind, internal) in PREDECLARED {
            let exchange = ExchangeRecord {
                vhost: vhost.clone(),
                name: ShortStr::from_static(name),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: FieldTable::new(),
                alternate: None,
                policy: None,
            };
            // Without arguments, there is nothing to refuse.
            let added = self.add_exchange(exchange);
            debug_assert_eq!(added, Ok(()));
        }
    }

    /// Adds an exchange that is not there yet to a virtual host that is, under its policies.
    ///
    /// # Errors
    /// 406 when its type does not understand its arguments. Nothing has changed then.
    pub(super) fn add_exchange(&mut self, mut exchange: ExchangeRecord) -> Result<(), Fault> {
        let matcher = Matcher::new(exchange.kind, Arguments::new(&exchange.arguments));
        let resource = Resource::exchange(&exchange.name, &exchange.vhost);
        let matcher = matcher.map_err(|bad| bad.fault(resource))?;
        let Some(host) = self.vhosts.get_mut(&exchange.vhost) else { return Ok(()) };
        exchange.apply_policy(host.policies.of_exchange(&exchange.name));
        if exchange.is_stored() {
            self.operations.push(record::put_exchange(&exchange));
        }
        let (vhost, name) = (exchange.vhost.clone(), exchange.name.clone());
        let alternate = exchange.alternate.clone();
        self.routes.insert_exchange(&vhost, &name, matcher, exchange.internal, alternate);
        host.exchanges.insert_mut(name, exchange);
        Ok(())
    }

    /// Removes an exchange, its bindings, and the auto-delete exchanges that lose their last
    /// binding thereby; with many bindings in slices.
    pub(super) fn remove_exchange(&mut self, vhost: &ShortStr, name: &ShortStr) {
        if let Some(gone) = self.take_exchange(vhost, name) {
            self.remove_bindings_of(gone);
        }
    }

    /// Removes an exchange without its bindings; what is left of it, when it was there.
    pub(super) fn take_exchange(
        &mut self,
        vhost: &ShortStr,
        name: &ShortStr,
    ) -> Option<GoneObject> {
        let exchange = take(&mut self.vhosts.get_mut(vhost)?.exchanges, name)?;
        if exchange.is_stored() {
            self.operations.push(record::remove_exchange(&exchange));
        }
        let routes = self.routes.remove_exchange(vhost, name);
        Some(GoneObject::exchange(vhost, name, routes))
    }

    /// The exchange, when it is there.
    pub(super) fn exchange(&self, vhost: &ShortStr, name: &ShortStr) -> Option<&ExchangeRecord> {
        self.vhosts.get(vhost)?.exchanges.get(name)
    }
}

/// RabbitMQ's words and no more: applications compare them.
fn unknown_kind(name: &ShortStr) -> Fault {
    let text = format!("unknown exchange type '{name}'");
    Fault::connection(ReplyCode::CommandInvalid, text)
}

impl Topology {
    /// Whether the virtual host is there.
    ///
    /// # Errors
    /// 530, closes the connection.
    pub(crate) fn require_vhost(&self, vhost: &ShortStr) -> Result<(), Fault> {
        self.vhost(vhost).map(drop)
    }

    /// The virtual host that a connection works in.
    pub(super) fn vhost(&self, vhost: &ShortStr) -> Result<&super::Vhost, Fault> {
        self.vhosts.get(vhost).ok_or_else(|| vhost_not_found(vhost))
    }
}
