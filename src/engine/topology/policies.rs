//! The policies of a virtual host, and what they do to its queues and exchanges.

use super::layer::Layer;
use super::policy::{Policy, PolicyOwner};
use super::settings::QueueKind;
use super::{Topology, record};
use crate::fault::Fault;
use crate::ids::QueueId;
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of these the lowest value holds, whoever sets it.
const LOWEST_OF: [&str; 6] = [
    "consumer-timeout",
    "delivery-limit",
    "expires",
    "max-length",
    "max-length-bytes",
    "message-ttl",
];

/// Whose it is, its priority the highest first, its name.
type Rank = (PolicyOwner, Reverse<i64>, ShortStr);

/// All policies of a virtual host, by owner, the highest priority first, then by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    ranked: Arc<BTreeMap<Rank, Policy>>,
}

/// The policies that hold for one queue or exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holding<'a> {
    pub(super) user: Option<&'a Policy>,
    pub(super) operator: Option<&'a Policy>,
}

impl<'a> Holding<'a> {
    /// The settings of the user's and of the operator's policy.
    pub(super) fn layers(self) -> (Option<&'a Layer>, Option<&'a Layer>) {
        (self.user.map(Policy::layer), self.operator.map(Policy::layer))
    }

    /// Their names, for people.
    pub(super) fn names(self) -> (Option<ShortStr>, Option<ShortStr>) {
        let name = |policy: Option<&Policy>| policy.map(|policy| policy.name().clone());
        (name(self.user), name(self.operator))
    }
}

impl Policies {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.values()
    }

    /// What holds for a queue.
    pub(super) fn of_queue(&self, name: &ShortStr, kind: QueueKind) -> Holding<'_> {
        let first = |owner| {
            self.iter().find(|policy| policy.owner() == owner && policy.matches_queue(name, kind))
        };
        Holding { user: first(PolicyOwner::User), operator: first(PolicyOwner::Operator) }
    }

    /// What holds for an exchange.
    pub(super) fn of_exchange(&self, name: &ShortStr) -> Option<&Policy> {
        self.iter()
            .find(|policy| policy.owner() == PolicyOwner::User && policy.matches_exchange(name))
    }

    fn insert(&mut self, policy: Policy) {
        self.remove(policy.owner(), policy.name());
        let key = (policy.owner(), Reverse(policy.priority()), policy.name().clone());
        Arc::make_mut(&mut self.ranked).insert(key, policy);
    }

    fn remove(&mut self, owner: PolicyOwner, name: &ShortStr) -> Option<Policy> {
        let is_it = |policy: &&Policy| policy.owner() == owner && policy.name() == name;
        let priority = self.iter().find(is_it)?.priority();
        Arc::make_mut(&mut self.ranked).remove(&(owner, Reverse(priority), name.clone()))
    }
}

impl Topology {
    /// Adds a policy, in place of one with its owner and name, and applies it to what is there.
    /// Returns the queues whose settings have changed, ascending.
    ///
    /// # Errors
    /// 530 when the virtual host is not there (closes the connection).
    pub fn set_policy(&mut self, vhost: &ShortStr, policy: Policy) -> Result<Vec<QueueId>, Fault> {
        self.vhost(vhost)?;
        self.operations.push(record::put_policy(vhost, &policy));
        if let Some(host) = self.vhosts.get_mut(vhost) {
            host.policies.insert(policy);
        }
        Ok(self.apply_policies(vhost))
    }

    /// Removes a policy; returns the queues whose settings have changed, ascending, or nothing
    /// when it was not there.
    pub fn clear_policy(
        &mut self,
        vhost: &ShortStr,
        owner: PolicyOwner,
        name: &ShortStr,
    ) -> Option<Vec<QueueId>> {
        let policy = self.vhosts.get_mut(vhost)?.policies.remove(owner, name)?;
        self.operations.push(record::remove_policy(vhost, &policy));
        Some(self.apply_policies(vhost))
    }

    /// The definitions of a policy and an operator's policy together, by their names: of limits the
    /// lowest holds, of everything else the operator's.
    #[must_use]
    pub fn effective_definition(
        &self,
        vhost: &ShortStr,
        policy: Option<&ShortStr>,
        operator: Option<&ShortStr>,
    ) -> FieldTable {
        let find = |owner, name: Option<&ShortStr>| {
            let is_it = |policy: &&Policy| policy.owner() == owner && Some(policy.name()) == name;
            self.policies(vhost).find(is_it).map(Policy::definition)
        };
        let mut together = find(PolicyOwner::User, policy).cloned().unwrap_or_default();
        let above = find(PolicyOwner::Operator, operator);
        for (key, value) in above.into_iter().flat_map(FieldTable::iter) {
            let theirs = together.get(key.as_bytes()).and_then(FieldValue::as_integer);
            let is_limit = LOWEST_OF.iter().any(|limit| key.as_bytes() == limit.as_bytes());
            let holds = is_limit && theirs < value.as_integer() && theirs.is_some();
            if !holds {
                together.insert(key.clone(), value.clone());
            }
        }
        together
    }

    /// The policies of a virtual host: users' first, then operators', the highest priority first.
    pub fn policies(&self, vhost: &ShortStr) -> impl Iterator<Item = &Policy> {
        self.vhosts.get(vhost).into_iter().flat_map(|host| host.policies.iter())
    }

    /// Computes anew what holds for everything in a virtual host.
    fn apply_policies(&mut self, vhost: &ShortStr) -> Vec<QueueId> {
        self.routes.note_change();
        let Some(host) = self.vhosts.get_mut(vhost) else { return Vec::new() };
        let names: Vec<ShortStr> = host.exchanges.keys().cloned().collect();
        for name in names {
            let policy = host.policies.of_exchange(&name);
            let Some(exchange) = host.exchanges.get_mut(&name) else { continue };
            if exchange.apply_policy(policy) {
                self.routes.set_alternate(vhost, &name, exchange.alternate.clone());
            }
        }
        let mut changed: Vec<QueueId> = Vec::new();
        for (name, id) in &host.queues {
            let Some(queue) = self.queues.get_mut(id).map(Arc::make_mut) else { continue };
            if queue.apply_policies(host.policies.of_queue(name, queue.settings.kind)) {
                changed.push(*id);
            }
        }
        changed.sort_unstable();
        changed
    }
}
