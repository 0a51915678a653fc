//! Setting and removing policies, and the passes that apply them to the exchanges and queues that
//! are there.

use super::policy::{Policy, PolicyOwner};
use super::{Topology, record};
use crate::model::{Fault, QueueId};
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::ops::Bound;
use std::sync::Arc;

/// Of these the lowest value holds, whoever sets it.
const LOWEST_OF: [&str; 9] = [
    "consumer-timeout",
    "delivery-limit",
    "expires",
    "max-in-flight",
    "max-length",
    "max-length-bytes",
    "message-ttl",
    "rate-burst",
    "rate-limit",
];

/// Policies that are matched with a name in about the time that the rest of the work with it takes.
const POLICIES_PER_WORK: usize = 8;

/// How far the policies of a virtual host are applied anew to what is in it: it may have tens of
/// thousands of queues.
#[derive(Clone, Debug)]
pub(crate) struct PolicyPass {
    vhost: ShortStr,
    /// The last name that was looked at, of exchanges and then of queues.
    exchange: Bound<ShortStr>,
    queue: Bound<ShortStr>,
    has_exchanges: bool,
}

/// What a part of a pass did.
#[derive(Debug, Default)]
pub(crate) struct PolicyStep {
    /// Queues whose settings have changed.
    pub(crate) changed: Vec<QueueId>,
    /// What it cost, in objects; at least 1.
    pub(crate) work: usize,
    /// Whether anything is left.
    pub(crate) is_over: bool,
}

impl PolicyPass {
    /// Begins at the first name.
    pub(crate) fn new(vhost: &ShortStr) -> Self {
        let (exchange, queue) = (Bound::Unbounded, Bound::Unbounded);
        Self { vhost: vhost.clone(), exchange, queue, has_exchanges: true }
    }

    /// Whether it is one over this virtual host that has not begun.
    pub(crate) fn is_to_begin_in(&self, vhost: &ShortStr) -> bool {
        self.vhost == *vhost && self.has_exchanges && self.exchange == Bound::Unbounded
    }
}

impl Topology {
    /// Adds a policy, in place of one with its owner and name. What is there follows it with the next
    /// [`PolicyPass`], what comes at once.
    ///
    /// # Errors
    /// 530 when the virtual host is not there (closes the connection).
    pub(crate) fn put_policy(&mut self, vhost: &ShortStr, policy: Policy) -> Result<(), Fault> {
        self.vhost(vhost)?;
        self.operations.push(record::put_policy(vhost, &policy));
        if let Some(host) = self.vhosts.get_mut(vhost) {
            host.policies.insert(policy);
        }
        self.routes.note_change();
        Ok(())
    }

    /// Removes a policy; whether it was there. What followed it does so until the next [`PolicyPass`].
    pub(crate) fn remove_policy(
        &mut self,
        vhost: &ShortStr,
        owner: PolicyOwner,
        name: &ShortStr,
    ) -> bool {
        let host = self.vhosts.get_mut(vhost);
        let Some(policy) = host.and_then(|host| host.policies.remove(owner, name)) else {
            return false;
        };
        self.operations.push(record::remove_policy(vhost, &policy));
        self.routes.note_change();
        true
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
    pub(crate) fn apply_policies(&mut self, vhost: &ShortStr) -> Vec<QueueId> {
        let step = self.advance_policies(&mut PolicyPass::new(vhost), usize::MAX);
        let mut changed = step.changed;
        changed.sort_unstable();
        changed
    }

    /// Goes on with a pass over a virtual host, up to so much work.
    pub(crate) fn advance_policies(&mut self, pass: &mut PolicyPass, most: usize) -> PolicyStep {
        self.routes.note_change();
        let PolicyPass { vhost, exchange: last_exchange, queue: last_queue, has_exchanges } = pass;
        let mut step = PolicyStep::default();
        let Some(host) = self.vhosts.get_mut(vhost) else {
            return PolicyStep { is_over: true, work: 1, ..step };
        };
        // Each object is matched with every policy.
        let cost = 1 + host.policies.count() / POLICIES_PER_WORK;
        let count = |most: usize| most.div_ceil(cost);
        if *has_exchanges {
            let rest = host.exchanges.range((last_exchange.clone(), Bound::Unbounded));
            let names: Vec<ShortStr> =
                rest.map(|(name, _)| name.clone()).take(count(most)).collect();
            *has_exchanges = names.len() == count(most);
            step.work += names.len() * cost;
            for name in names {
                let policy = host.policies.of_exchange(&name);
                if let Some(exchange) = host.exchanges.get_mut(&name)
                    && exchange.apply_policy(policy)
                {
                    self.routes.set_alternate(vhost, &name, exchange.alternate.clone());
                }
                *last_exchange = Bound::Excluded(name);
            }
        }
        let most = count(most.saturating_sub(step.work));
        let rest = host.queues.range((last_queue.clone(), Bound::Unbounded));
        let mut looked_at = 0;
        let mut last = None;
        for (name, id) in rest.take(most) {
            looked_at += 1;
            last = Some(name);
            let Some(queue) = self.queues.get_mut(id).map(Arc::make_mut) else { continue };
            if queue.apply_policies(host.policies.of_queue(name, queue.settings.kind)) {
                step.changed.push(*id);
            }
        }
        if let Some(name) = last {
            *last_queue = Bound::Excluded(name.clone());
        }
        step.work = (step.work + looked_at * cost).max(1);
        step.is_over = !*has_exchanges && looked_at < most;
        step
    }
}
