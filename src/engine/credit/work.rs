//! How much the shard does for one input before the server may pass on what came of it and take the
//! next one. What is left over goes on with the inputs after it, or as soon as there is no other.

use crate::limits::{
    DISCARDED_BEHIND_MAX, DISCARDED_MAX, INPUT_WORK_BEHIND_MAX, INPUT_WORK_MAX,
    REMOVALS_BEHIND_MAX, REMOVALS_MAX, TURN_DEAD_LETTERS_MAX, TURN_DELIVERIES_MAX,
    TURN_DEPARTURES_MAX,
};

/// The bounds of work, as values: tests cross them with few messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkLimits {
    /// Deliveries that a queue makes in one turn before others get theirs.
    pub deliveries_max: usize,
    /// Messages that leave a queue in one turn because they are too old, too many or dead.
    pub departures_max: usize,
    /// Those among them that become dead letters, each of which may go to many queues.
    pub dead_letters_max: usize,
    /// Work of all turns that follow one input. The unit is a delivery.
    pub work_max: usize,
    /// `work_max` while work of earlier inputs is left over: inputs that come one after the other
    /// must not add up.
    pub work_behind_max: usize,
    /// Bindings and records that are removed for one input.
    pub removals_max: usize,
    /// `removals_max` while removals of earlier inputs are left over.
    pub removals_behind_max: usize,
    /// Messages of deleted and purged queues that are freed for one input; a page or a chunk of them may
    /// exceed it.
    pub discarded_max: usize,
    /// `discarded_max` while work of earlier inputs is left over.
    pub discarded_behind_max: usize,
}

impl WorkLimits {
    /// What a broker has.
    pub const DEFAULT: Self = Self {
        deliveries_max: TURN_DELIVERIES_MAX,
        departures_max: TURN_DEPARTURES_MAX,
        dead_letters_max: TURN_DEAD_LETTERS_MAX,
        work_max: INPUT_WORK_MAX,
        work_behind_max: INPUT_WORK_BEHIND_MAX,
        removals_max: REMOVALS_MAX,
        removals_behind_max: REMOVALS_BEHIND_MAX,
        discarded_max: DISCARDED_MAX,
        discarded_behind_max: DISCARDED_BEHIND_MAX,
    };
}

impl Default for WorkLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What may still be done for the input that is being handled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) limits: WorkLimits,
    left: usize,
    is_behind: bool,
}

impl Work {
    /// An input begins; `is_behind`: work of earlier ones is left over.
    pub(crate) fn begin(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
        self.left = if is_behind { self.limits.work_behind_max } else { self.limits.work_max };
    }

    /// How many bindings and records may be removed.
    pub(crate) fn removals_max(&self) -> usize {
        if self.is_behind { self.limits.removals_behind_max } else { self.limits.removals_max }
    }

    /// How many messages of deleted and purged queues may be freed.
    pub(crate) fn discarded_max(&self) -> usize {
        if self.is_behind { self.limits.discarded_behind_max } else { self.limits.discarded_max }
    }

    /// Whether it may go on.
    pub(crate) fn is_left(&self) -> bool {
        self.left > 0
    }

    /// Something was done.
    pub(crate) fn spend(&mut self, work: usize) {
        self.left = self.left.saturating_sub(work);
    }
}
