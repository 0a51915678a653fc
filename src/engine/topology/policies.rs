//! The policies of a virtual host, ranked, and those that hold for one queue or exchange.

use super::policy::{Policy, PolicyOwner};
use super::settings::QueueKind;
use super::settings_layer::SettingsLayer;
use forebay_wire::ShortStr;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose it is, its priority the highest first, its name.
type Rank = (PolicyOwner, Reverse<i64>, ShortStr);

/// All policies of a virtual host, by owner, the highest priority first, then by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    ranked: Arc<BTreeMap<Rank, Policy>>,
}

/// The policies that hold for one queue or exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EffectivePolicies<'a> {
    pub(super) user: Option<&'a Policy>,
    pub(super) operator: Option<&'a Policy>,
}

impl<'a> EffectivePolicies<'a> {
    /// The settings of the user's and of the operator's policy.
    pub(super) fn layers(self) -> (Option<&'a SettingsLayer>, Option<&'a SettingsLayer>) {
        (self.user.map(Policy::layer), self.operator.map(Policy::layer))
    }

    /// Their names, for people.
    pub(super) fn names(self) -> (Option<ShortStr>, Option<ShortStr>) {
        let name = |policy: Option<&Policy>| policy.map(|policy| policy.name().clone());
        (name(self.user), name(self.operator))
    }
}

impl Policies {
    pub(super) fn count(&self) -> usize {
        self.ranked.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.values()
    }

    /// What holds for a queue.
    pub(super) fn of_queue(&self, name: &ShortStr, kind: QueueKind) -> EffectivePolicies<'_> {
        let first = |owner| {
            self.iter().find(|policy| policy.owner() == owner && policy.matches_queue(name, kind))
        };
        EffectivePolicies { user: first(PolicyOwner::User), operator: first(PolicyOwner::Operator) }
    }

    /// What holds for an exchange.
    pub(super) fn of_exchange(&self, name: &ShortStr) -> Option<&Policy> {
        self.iter()
            .find(|policy| policy.owner() == PolicyOwner::User && policy.matches_exchange(name))
    }

    pub(super) fn insert(&mut self, policy: Policy) {
        self.remove(policy.owner(), policy.name());
        let key = (policy.owner(), Reverse(policy.priority()), policy.name().clone());
        Arc::make_mut(&mut self.ranked).insert(key, policy);
    }

    pub(super) fn remove(&mut self, owner: PolicyOwner, name: &ShortStr) -> Option<Policy> {
        let is_it = |policy: &&Policy| policy.owner() == owner && policy.name() == name;
        let priority = self.iter().find(is_it)?.priority();
        Arc::make_mut(&mut self.ranked).remove(&(owner, Reverse(priority), name.clone()))
    }
}
