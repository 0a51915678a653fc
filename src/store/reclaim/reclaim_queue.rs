//! What the reclaimer is asked to do, and what it does next.

use crate::limits::RECLAIM_INTERVAL;
use forebay_engine::model::QueueId;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is to be looked after.
#[derive(Debug, Default)]
pub(crate) struct ReclaimRequests {
    /// Much was settled.
    pub(crate) is_reclaim_due: bool,
    /// Space runs short: all that can be given back is to be, garbage from so many bytes on.
    pub(crate) give_back_above: Option<u64>,
    /// Dropped queues.
    pub(crate) queues: BTreeSet<QueueId>,
    pub(crate) is_heartbeat_due: bool,
}

#[derive(Debug, Default)]
pub(super) struct ReclaimQueue {
    pub(super) state: Mutex<ReclaimState>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct ReclaimState {
    pub(super) wanted: ReclaimRequests,
    /// Dropped queues that can't be removed because what is left of them is damaged.
    pub(super) set_aside: BTreeSet<QueueId>,
    pub(super) is_ending: bool,
}

pub(super) enum Task {
    Reclaim,
    GiveBack { garbage_min: u64 },
    Queue(QueueId),
    Heartbeat,
    LookAround,
    End,
}

impl ReclaimRequests {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_reclaim_due
            && self.give_back_above.is_none()
            && self.queues.is_empty()
            && !self.is_heartbeat_due
    }
}

impl ReclaimState {
    pub(super) fn set_aside(&mut self, queue: QueueId) {
        self.wanted.queues.remove(&queue);
        self.set_aside.insert(queue);
    }
}

impl ReclaimQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, ReclaimState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next(&self) -> Task {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, RECLAIM_INTERVAL, |state| {
                state.wanted.is_empty() && !state.is_ending
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_ending {
            return Task::End;
        }
        if std::mem::take(&mut state.wanted.is_heartbeat_due) {
            return Task::Heartbeat;
        }
        if std::mem::take(&mut state.wanted.is_reclaim_due) {
            return Task::Reclaim;
        }
        if let Some(garbage_min) = state.wanted.give_back_above.take() {
            return Task::GiveBack { garbage_min };
        }
        // It stays on the tasks until it is gone, so that it is counted.
        state.wanted.queues.first().map_or(Task::LookAround, |queue| Task::Queue(*queue))
    }

    pub(super) fn is_ending(&self) -> bool {
        self.lock().is_ending
    }
}
