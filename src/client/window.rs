//! The confirm window of one publisher: what was published and is not yet settled.
//!
//! Owned by the publisher's channel inside the session; sequence numbers are those that the broker
//! counts from 1 on each newly opened channel (`confirm.select`). A [`Ticket`] is a publish future's
//! hold on its result: one slot for one message or for a whole batch, taken from a free list, so
//! that a publish and its confirm allocate nothing. May assume that the broker confirms each number
//! once; a number it never got is ignored.

use std::{collections::VecDeque, mem, task::Waker};

use forebay_wire::ShortStr;

use crate::{PublishError, Returned, outbound::Outbound, waiters::Waiters};

/// Index of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// The failed messages of one ticket: the place in the batch, and the reason.
pub(crate) type Failures = Vec<(u32, PublishError)>;

#[derive(Debug, Default)]
struct Slot {
    unsettled: u32,
    /// Messages handed in so far; the next one gets this as its place.
    count: u32,
    /// Nobody waits: the result goes to the tally.
    is_detached: bool,
    failures: Failures,
    waker: Option<Waker>,
}

/// One published sequence number.
#[derive(Debug)]
struct Published {
    /// `None` once settled out of order.
    ticket: Option<Ticket>,
    place: u32,
}

/// What became of messages whose futures were dropped.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: u64,
    pub(crate) first: Option<PublishError>,
}

#[derive(Debug)]
pub(crate) struct Window {
    slots: Vec<Slot>,
    free: Vec<Ticket>,
    published: VecDeque<Published>,
    /// Sequence number of the front of `published`.
    first: u64,
    unsettled: usize,
    limit: usize,
    /// Mandatory messages by message id, oldest first; those already settled are dropped lazily.
    mandatory: VecDeque<(ShortStr, u64)>,
    returned: Vec<(u64, Box<Returned>)>,
    /// Parallel to `published` in a resending publisher, empty otherwise.
    kept: VecDeque<Option<Box<Outbound>>>,
    is_resending: bool,
    senders: Waiters,
    flushers: Waiters,
    tally: Tally,
}

impl Window {
    pub(crate) fn new(limit: usize, is_resending: bool) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            published: VecDeque::new(),
            first: 1,
            unsettled: 0,
            limit: limit.max(1),
            mandatory: VecDeque::new(),
            returned: Vec::new(),
            kept: VecDeque::new(),
            is_resending,
            senders: Waiters::default(),
            flushers: Waiters::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.unsettled < self.limit
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.unsettled == 0
    }

    /// To be woken when there is room again.
    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        self.senders.push(waker);
    }

    /// To be woken when everything is settled.
    pub(crate) fn wait_for_idle(&mut self, waker: &Waker) {
        self.flushers.push(waker);
    }

    pub(crate) fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }

    /// A slot for a message or a batch.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            Ticket(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// Counts a message that was just written as the next sequence number.
    pub(crate) fn push(&mut self, ticket: Ticket, message: &Outbound) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
        let place = slot.count;
        slot.count += 1;
        slot.unsettled += 1;
        self.enter(ticket, place, message);
    }

    fn enter(&mut self, ticket: Ticket, place: u32, message: &Outbound) {
        if let Some(id) = &message.mandatory_id {
            self.forget_settled_mandatory();
            self.mandatory.push_back((id.clone(), self.first + self.published.len() as u64));
        }
        if self.is_resending {
            self.kept.push_back(Some(Box::new(message.clone())));
        }
        self.published.push_back(Published { ticket: Some(ticket), place });
        self.unsettled += 1;
    }

    /// `basic.return`: belongs to the oldest unsettled mandatory message with this id; its confirm
    /// comes later.
    pub(crate) fn handle_returned(&mut self, id: &ShortStr, returned: Box<Returned>) {
        let found = self.mandatory.iter().position(|(mandatory, tag)| {
            mandatory == id
                && *tag >= self.first
                && !self.returned.iter().any(|(tagged, _)| tagged == tag)
        });
        if let Some((_, tag)) = found.and_then(|at| self.mandatory.get(at)) {
            self.returned.push((*tag, returned));
        }
    }

    /// `basic.ack` from the broker.
    pub(crate) fn handle_ack(&mut self, tag: u64, is_multiple: bool, wakes: &mut Vec<Waker>) {
        self.settle_through(tag, is_multiple, None, wakes);
    }

    /// `basic.nack` from the broker.
    pub(crate) fn handle_nack(&mut self, tag: u64, is_multiple: bool, wakes: &mut Vec<Waker>) {
        self.settle_through(tag, is_multiple, Some(&PublishError::Nacked), wakes);
    }

    fn settle_through(
        &mut self,
        tag: u64,
        is_multiple: bool,
        error: Option<&PublishError>,
        wakes: &mut Vec<Waker>,
    ) {
        if is_multiple || tag == self.first {
            // A multiple tag of 0 means everything so far.
            let end = self.first + self.published.len() as u64;
            let last =
                if tag == 0 { end.saturating_sub(1) } else { tag.min(end.saturating_sub(1)) };
            while self.first <= last {
                self.settle_front(error, wakes);
            }
        } else if let Some(published) = tag
            .checked_sub(self.first)
            .and_then(|at| self.published.get_mut(usize::try_from(at).ok()?))
            && let Some(ticket) = published.ticket.take()
        {
            let place = published.place;
            self.unsettled -= 1;
            self.settle(ticket, place, tag, error, wakes);
        }
        while self.published.front().is_some_and(|published| published.ticket.is_none()) {
            self.settle_front(None, wakes);
        }
        self.wake_waiting(wakes);
    }

    fn settle_front(&mut self, error: Option<&PublishError>, wakes: &mut Vec<Waker>) {
        let tag = self.first;
        self.first += 1;
        if self.is_resending {
            self.kept.pop_front();
        }
        if let Some(Published { ticket: Some(ticket), place }) = self.published.pop_front() {
            self.unsettled -= 1;
            self.settle(ticket, place, tag, error, wakes);
        }
    }

    fn settle(
        &mut self,
        ticket: Ticket,
        place: u32,
        tag: u64,
        error: Option<&PublishError>,
        wakes: &mut Vec<Waker>,
    ) {
        let mut error = error.cloned();
        if !self.returned.is_empty()
            && let Some(at) = self.returned.iter().position(|(returned, _)| *returned == tag)
        {
            error = Some(PublishError::Returned(self.returned.swap_remove(at).1));
        }
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
        if let Some(error) = error {
            slot.failures.push((place, error));
        }
        slot.unsettled -= 1;
        if slot.unsettled > 0 {
            return;
        }
        if slot.is_detached {
            self.release(ticket);
        } else if let Some(waker) = slot.waker.take() {
            wakes.push(waker);
        }
    }

    /// The window opens for senders only when it is half empty: one wake-up then serves half a
    /// window of messages, instead of one wake-up for each confirm.
    fn wake_waiting(&mut self, wakes: &mut Vec<Waker>) {
        if !self.senders.is_empty() && self.unsettled <= self.limit / 2 {
            self.senders.move_to(wakes);
        }
        if self.unsettled == 0 {
            self.flushers.move_to(wakes);
        }
    }

    /// Wakes who waits for room, whatever the reason why it may be had now.
    pub(crate) fn wake_senders(&mut self, wakes: &mut Vec<Waker>) {
        self.senders.move_to(wakes);
    }

    /// The result of a ticket once all of it is settled; the ticket is spent then.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Option<Failures> {
        let slot = self.slots.get_mut(ticket.0 as usize)?;
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
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
        slot.is_detached = true;
        slot.waker = None;
        if slot.unsettled == 0 {
            self.release(ticket);
        }
    }

    fn release(&mut self, ticket: Ticket) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
        for (_, error) in mem::take(&mut slot.failures) {
            tracing::warn!(%error, "a message that nobody waits for was not confirmed");
            self.tally.failed += 1;
            self.tally.first.get_or_insert(error);
        }
        *slot = Slot::default();
        self.free.push(ticket);
    }

    /// Everything unsettled ends with this error.
    pub(crate) fn fail(&mut self, error: &PublishError, wakes: &mut Vec<Waker>) {
        let last = (self.first + self.published.len() as u64).saturating_sub(1);
        self.settle_through(last, true, Some(error), wakes);
        self.restart();
        self.wake_senders(wakes);
    }

    /// The channel is new: the broker counts from 1 again, and a resending publisher's messages are
    /// to be written again in their order. `write` writes one of them.
    pub(crate) fn resend(&mut self, mut write: impl FnMut(&Outbound)) {
        let published = mem::take(&mut self.published);
        let kept = mem::take(&mut self.kept);
        self.restart();
        for (published, message) in published.into_iter().zip(kept) {
            if let (Some(ticket), Some(message)) = (published.ticket, message) {
                write(&message);
                self.enter(ticket, published.place, &message);
            }
        }
    }

    fn restart(&mut self) {
        self.first = 1;
        self.unsettled = 0;
        self.published.clear();
        self.kept.clear();
        self.mandatory.clear();
        self.returned.clear();
    }

    pub(crate) fn is_resending(&self) -> bool {
        self.is_resending
    }

    fn forget_settled_mandatory(&mut self) {
        while self.mandatory.front().is_some_and(|(_, tag)| *tag < self.first) {
            self.mandatory.pop_front();
        }
    }
}
