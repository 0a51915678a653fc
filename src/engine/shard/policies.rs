//! Policies, which take effect on existing queues at once.

use super::Shard;
use crate::fault::Fault;
use crate::ids::QueueId;
use crate::queue::{Moment, Rules};
use crate::time::Now;
use crate::topology::{Policy, PolicyOwner, Topology};
use forebay_wire::ShortStr;

impl Shard {
    /// The exchanges, queues, bindings and policies as they are.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Adds a policy or replaces the one of its name. Durable with the next commit.
    ///
    /// # Errors
    /// As [`Topology::set_policy`].
    pub fn set_policy(&mut self, now: Now, vhost: &ShortStr, policy: Policy) -> Result<(), Fault> {
        let changed = self.topology.set_policy(vhost, policy)?;
        self.apply_rules(now, changed);
        Ok(())
    }

    /// Removes a policy; whether it was there. Durable with the next commit.
    pub fn clear_policy(
        &mut self,
        now: Now,
        vhost: &ShortStr,
        owner: PolicyOwner,
        name: &ShortStr,
    ) -> bool {
        let changed = self.topology.clear_policy(vhost, owner, name);
        let was_there = changed.is_some();
        self.apply_rules(now, changed.unwrap_or_default());
        was_there
    }

    fn apply_rules(&mut self, now: Now, changed: Vec<QueueId>) {
        let at = self.begin(now);
        self.renew_rules(at, changed);
        self.add_topology_operations();
        self.run_turns(at);
    }

    /// The settings of these queues changed: each follows them from its next turn on.
    pub(super) fn renew_rules(&mut self, at: Moment, changed: impl IntoIterator<Item = QueueId>) {
        for id in changed {
            let Some(record) = self.topology.queue_by_id(id) else { continue };
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.set_rules(Rules::new(record, self.queue_defaults), at.monotonic);
            }
            self.schedule(id);
        }
    }
}
