//! What became of published messages, kept until the future that published them asks.
//!
//! Owned by a window. A [`Ticket`] is a publish future's hold on its result: one slot for one message or for
//! a whole batch, taken from a free list, so that a publish and its confirm need no allocation. Failures of a
//! ticket whose future was dropped are counted as unreported, until a flush or the end asks for them.

use std::{mem, task::Waker};

use crate::PublishError;

/// Index of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// The failed messages of one ticket: the place in the batch, and the reason.
pub(crate) type Failures = Vec<(u32, PublishError)>;

/// Messages that are not known to be stored, and whose failure no future was told.
#[derive(Debug, Default)]
pub(crate) struct UnreportedFailures {
    pub(crate) failed: u64,
    pub(crate) first: Option<PublishError>,
}

impl UnreportedFailures {
    pub(crate) fn add(&mut self, other: Self) {
        self.failed += other.failed;
        self.first = self.first.take().or(other.first);
    }
}

#[derive(Debug, Default)]
struct Slot {
    unsettled: u32,
    /// Messages handed in so far; the next one gets this as its place.
    count: u32,
    /// The future was dropped: failures are unreported.
    is_detached: bool,
    failures: Failures,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
pub(crate) struct Tickets {
    slots: Vec<Slot>,
    free: Vec<Ticket>,
    unreported: UnreportedFailures,
}

impl Tickets {
    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        self.slots.get_mut(ticket.0 as usize)
    }

    /// A ticket for a message or a batch.
    pub(crate) fn issue(&mut self) -> Ticket {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            Ticket(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// Counts one more message of a ticket, and returns its place in the batch.
    pub(crate) fn add(&mut self, ticket: Ticket) -> Option<u32> {
        let slot = self.slot(ticket)?;
        let place = slot.count;
        slot.count += 1;
        slot.unsettled += 1;
        Some(place)
    }

    /// One message of a ticket is settled: stored, or failed with this error.
    pub(crate) fn settle(
        &mut self,
        ticket: Ticket,
        place: u32,
        error: Option<PublishError>,
        wakes: &mut Vec<Waker>,
    ) {
        let Some(slot) = self.slot(ticket) else { return };
        slot.failures.extend(error.map(|error| (place, error)));
        slot.unsettled -= 1;
        if slot.unsettled > 0 {
            return;
        }
        if slot.is_detached {
            self.release(ticket);
        } else {
            wakes.extend(slot.waker.take());
        }
    }

    /// The result of a ticket once all of it is settled; the ticket is spent then.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Option<Failures> {
        let slot = self.slot(ticket)?;
        if slot.unsettled > 0 {
            match &mut slot.waker {
                Some(known) if known.will_wake(waker) => {}
                other => *other = Some(waker.clone()),
            }
            return None;
        }
        let failures = mem::take(&mut slot.failures);
        *slot = Slot::default();
        self.free.push(ticket);
        Some(failures)
    }

    /// The future of this ticket was dropped.
    pub(crate) fn detach(&mut self, ticket: Ticket) {
        let Some(slot) = self.slot(ticket) else { return };
        slot.is_detached = true;
        slot.waker = None;
        if slot.unsettled == 0 {
            self.release(ticket);
        }
    }

    fn release(&mut self, ticket: Ticket) {
        let Some(slot) = self.slot(ticket) else { return };
        let failures = mem::take(&mut slot.failures);
        *slot = Slot::default();
        self.free.push(ticket);
        for (_, error) in failures {
            tracing::warn!(%error, "a message was not confirmed, and its confirm was dropped");
            self.unreported.failed += 1;
            self.unreported.first.get_or_insert(error);
        }
    }

    pub(crate) fn take_unreported(&mut self) -> UnreportedFailures {
        mem::take(&mut self.unreported)
    }
}
