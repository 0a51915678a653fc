//! Policies, which take effect on existing queues, some with each input.

use super::Shard;
use crate::model::QueueId;
use crate::queue::{Instants, Rules};
use crate::topology::{PolicyPass, Topology};

impl Shard {
    /// The exchanges, queues, bindings and policies as they are.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Goes on with a pass over the queues of a virtual host whose policies changed, up to so much work.
    /// Returns what was done, and whether that was all.
    pub(super) fn advance_policies(
        &mut self,
        at: Instants,
        pass: &mut PolicyPass,
        most: usize,
    ) -> (usize, bool) {
        let step = self.topology.advance_policies(pass, most);
        self.renew_rules(at, step.changed);
        (step.work, step.is_over)
    }

    /// The settings of these queues changed: each follows them from its next turn on.
    pub(super) fn renew_rules(&mut self, at: Instants, changed: impl IntoIterator<Item = QueueId>) {
        for id in changed {
            let Some(record) = self.topology.queue_by_id(id) else { continue };
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.set_rules(Rules::new(record, self.queue_defaults), at.monotonic);
                let numbers = queue.take_dead_key_records();
                self.remove_key_records(id, numbers);
            }
            self.schedule(id);
        }
    }
}
