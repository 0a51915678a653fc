//! Messages of a level that came back and wait for their next delivery. Each keeps its place: when its
//! wait is over it is delivered before what stands behind it.

use super::PriorityLevel;
use crate::limits::CLOCK_STEP_MS;
use crate::model::{Monotonic, Offset, Retry};
use crate::queue::clock_skew::Instants;
use crate::queue::message_states::{Held, MessageStates};
use crate::queue::settled_state::{Counts, SettledState};

/// The states of a level that a store holds: what had to wait is parked. Until [`PriorityLevel::rebase_parked`]
/// is called, nobody knows until when.
pub(super) fn recovered_states(log: &SettledState) -> MessageStates {
    let mut states = MessageStates::ready_from(log.low());
    let Some((last, _)) = log.retries().last() else { return states };
    states.recover(last.next(), log.unsettled_runs(last.next()).into_iter());
    for (offset, retry) in log.retries() {
        states.take_ready(offset);
        states.park(offset, Monotonic(u64::MAX), retry.size);
    }
    states
}

impl PriorityLevel {
    /// How many messages wait.
    pub(crate) fn parked(&self) -> u64 {
        self.states.parked().count()
    }

    /// Bytes of the bodies of messages that wait.
    pub(crate) fn parked_bytes(&self) -> u64 {
        self.states.parked_bytes()
    }

    /// The lowest message that waits.
    pub(crate) fn first_parked(&self) -> Option<Offset> {
        self.states.parked().first()
    }

    /// The lowest message that waits and is not below `from`.
    pub(crate) fn next_parked_from(&self, from: Offset) -> Option<Offset> {
        self.states.parked().next_present(from)
    }

    /// The first and the last offset between which the messages stand that wait.
    pub(crate) fn parked_extent(&self) -> Option<(Offset, Offset)> {
        let first = self.first_parked()?;
        Some((first, Offset(self.settled.tail().0.checked_sub(1)?)))
    }

    /// The message whose wait is over first, and when.
    pub(crate) fn first_due(&self) -> Option<(Monotonic, Offset)> {
        self.states.first_due()
    }

    /// When a message that waits is ready again; `None`: it does not wait.
    pub(crate) fn due(&self, offset: Offset) -> Option<Monotonic> {
        self.states.due(offset)
    }

    /// The last wait of a message that came back, over or not.
    pub(crate) fn retry(&self, offset: Offset) -> Option<Retry> {
        self.settled.retry(offset)
    }

    /// A message whose delivery ended waits until `due`.
    pub(crate) fn park(
        &mut self,
        (offset, held): (Offset, Held),
        counts: Counts,
        due: Monotonic,
        retry: Retry,
    ) {
        self.states.park(offset, due, held.size);
        self.settled.count(offset, counts);
        self.settled.set_retry(offset, Some(retry));
        self.changes.changed(offset);
    }

    /// The wait of a message is over: it is ready, in its place.
    pub(crate) fn release(&mut self, offset: Offset) {
        if self.states.unpark(offset).is_some() {
            self.states.requeue(offset);
        }
    }

    /// A message that waits leaves the order. The caller settles it or marks it dead. Returns the bytes of
    /// its body; `None` when it does not wait.
    pub(crate) fn take_parked(&mut self, offset: Offset) -> Option<u32> {
        let size = self.states.unpark(offset)?;
        self.overdue.end_claims(offset);
        Some(size)
    }

    /// Finds out when the waits are over that the store told of: at the time of the wall clock that was
    /// stored, and no later than a whole wait from the start.
    pub(crate) fn rebase_parked(&mut self, at: Instants) {
        let settled = &self.settled;
        self.states.reset_due(|offset| {
            let retry = settled.retry(offset)?;
            let left = u64::try_from(i128::from(retry.due.0) - at.steady).unwrap_or(0);
            // After a clock that was set back it waits no longer than at first.
            let most = retry.delay.saturating_add(CLOCK_STEP_MS);
            Some(at.monotonic.plus(left.min(most)))
        });
    }

    /// Asks for the content of a message that waits, to show it. Returns whether the store has to be asked
    /// because of it.
    pub(crate) fn want_parked(&mut self, offset: Offset) -> bool {
        self.states.look_at(Some(offset));
        self.want_page(offset)
    }

    /// The content of no message that waits is wanted any more.
    pub(crate) fn stop_looking(&mut self) {
        self.states.look_at(None);
    }
}
