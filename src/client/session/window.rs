//! The confirm window of one publisher: what was published and is not yet settled.
//!
//! Owned by the publisher's channel inside the session; sequence numbers are those that the broker
//! counts from 1 on each newly opened channel (`confirm.select`). What became of a message goes to the ticket
//! of the future that published it (`tickets.rs`). May assume that the broker confirms each number once; a
//! number it never got is ignored.
//!
//! Messages are kept until they are confirmed. When the broker closes the channel because of one of
//! them, that one fails and the others are written again:
//!
//! ```text
//! written --channel closed, culprit known--> culprit fails, the rest is written again
//!         --channel closed, culprit unknown-> probing: written one at a time until all are settled
//! ```

use std::{
    collections::{HashSet, VecDeque},
    mem,
    task::Waker,
};

use forebay_wire::ShortStr;

use crate::{
    Fault, PublishError, Returned,
    limits::UNCONFIRMED_SIZE_MAX,
    message::outbound::Outbound,
    session::admission::Admission,
    session::refusal,
    session::statistics::Settled,
    session::tickets::{Ticket, Tickets},
    session::waiters::{Place, Waiters},
};

/// A message that is not settled.
#[derive(Debug)]
struct Published {
    ticket: Ticket,
    place: u32,
    message: Outbound,
}

#[derive(Debug)]
pub(crate) struct Window {
    tickets: Tickets,
    /// Written on the present channel; `None` once settled out of order.
    written: VecDeque<Option<Published>>,
    /// Sequence number of the front of `written`.
    first: u64,
    /// To be written again, ahead of anything new.
    backlog: VecDeque<Published>,
    is_probing: bool,
    unsettled: usize,
    /// Bytes of the unsettled bodies.
    size: usize,
    /// A future was refused because of `size`.
    is_size_awaited: bool,
    limit: usize,
    /// Mandatory messages by message id, oldest first; those already settled are dropped lazily.
    mandatory: VecDeque<(ShortStr, u64)>,
    returned: Vec<(u64, Box<Returned>)>,
    is_resending: bool,
    admission: Admission,
    flushers: Waiters,
    settled: Settled,
}

impl Window {
    pub(crate) fn new(limit: usize, is_resending: bool) -> Self {
        Self {
            tickets: Tickets::default(),
            written: VecDeque::new(),
            first: 1,
            backlog: VecDeque::new(),
            is_probing: false,
            unsettled: 0,
            size: 0,
            is_size_awaited: false,
            limit: limit.max(1),
            mandatory: VecDeque::new(),
            returned: Vec::new(),
            is_resending,
            admission: Admission::default(),
            flushers: Waiters::default(),
            settled: Settled::default(),
        }
    }

    pub(crate) fn settled(&self) -> Settled {
        self.settled
    }

    fn room(&self) -> usize {
        if self.backlog.is_empty() && !self.is_probing { self.limit - self.unsettled } else { 0 }
    }

    /// Whether the future at this place may send a message, as far as the window is concerned.
    pub(crate) fn admits(&mut self, place: Place) -> bool {
        if self.is_probing || !self.backlog.is_empty() {
            // What is to be written again goes first; its end wakes the futures that were granted room.
            return false;
        }
        if self.size >= UNCONFIRMED_SIZE_MAX {
            self.is_size_awaited = true;
            return false;
        }
        self.admission.admits(place, self.room())
    }

    pub(crate) fn admission(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// The future at this place was dropped: its grant passes on.
    pub(crate) fn withdraw(&mut self, place: &mut Place, wakes: &mut Vec<Waker>) {
        self.admission.leave(place);
        self.grant(wakes);
    }

    /// Wakes futures as far as there is room, whatever kept them before.
    pub(crate) fn grant(&mut self, wakes: &mut Vec<Waker>) {
        self.admission.wake_granted(wakes);
        self.admission.grant(self.room(), wakes);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.unsettled == 0
    }

    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Futures that wait until everything is settled.
    pub(crate) fn flushers(&mut self) -> &mut Waiters {
        &mut self.flushers
    }

    pub(crate) fn tickets(&mut self) -> &mut Tickets {
        &mut self.tickets
    }

    /// Counts a message that was just written as the next sequence number.
    pub(crate) fn push(&mut self, ticket: Ticket, message: Outbound) {
        let Some(place) = self.tickets.add(ticket) else { return };
        self.unsettled += 1;
        self.size += message.body.len();
        self.enter(Published { ticket, place, message });
    }

    fn enter(&mut self, published: Published) {
        if let Some(id) = &published.message.mandatory_id {
            while self.mandatory.front().is_some_and(|(_, tag)| *tag < self.first) {
                self.mandatory.pop_front();
            }
            self.mandatory.push_back((id.clone(), self.first + self.written.len() as u64));
        }
        self.written.push_back(Some(published));
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
            let end = self.first + self.written.len() as u64;
            let last =
                if tag == 0 { end.saturating_sub(1) } else { tag.min(end.saturating_sub(1)) };
            while self.first <= last {
                self.settle_front(error, wakes);
            }
        } else if let Some(published) = tag
            .checked_sub(self.first)
            .and_then(|at| self.written.get_mut(usize::try_from(at).ok()?))
            .and_then(Option::take)
        {
            self.settle(published, Some(tag), error, wakes);
        }
        while self.written.front().is_some_and(Option::is_none) {
            self.settle_front(None, wakes);
        }
        self.wake_waiting(wakes);
    }

    fn settle_front(&mut self, error: Option<&PublishError>, wakes: &mut Vec<Waker>) {
        let tag = self.first;
        self.first += 1;
        if let Some(published) = self.written.pop_front().flatten() {
            self.settle(published, Some(tag), error, wakes);
        }
    }

    fn settle(
        &mut self,
        published: Published,
        tag: Option<u64>,
        error: Option<&PublishError>,
        wakes: &mut Vec<Waker>,
    ) {
        let Published { ticket, place, message } = published;
        self.unsettled -= 1;
        self.size -= message.body.len();
        let mut error = error.cloned();
        if !self.returned.is_empty()
            && let Some(at) = self.returned.iter().position(|(returned, _)| Some(*returned) == tag)
        {
            error = Some(PublishError::Returned(self.returned.swap_remove(at).1));
        }
        match error {
            None => self.settled.confirmed += 1,
            Some(_) => self.settled.failed += 1,
        }
        self.tickets.settle(ticket, place, error, wakes);
    }

    /// The window opens for senders only when it is half empty: one wake-up then serves half a
    /// window of messages, instead of one wake-up for each confirm.
    fn wake_waiting(&mut self, wakes: &mut Vec<Waker>) {
        if self.is_size_awaited && self.size <= UNCONFIRMED_SIZE_MAX / 2 {
            self.is_size_awaited = false;
            self.grant(wakes);
        }
        if self.admission.has_waiting() && self.unsettled <= self.limit / 2 {
            self.admission.grant(self.room(), wakes);
        }
        if self.unsettled == 0 {
            self.flushers.wake_all(wakes);
        }
    }

    /// Everything unsettled ends with this error.
    pub(crate) fn fail(&mut self, error: &PublishError, wakes: &mut Vec<Waker>) {
        self.return_to_backlog();
        for published in mem::take(&mut self.backlog) {
            self.settle(published, None, Some(error), wakes);
        }
        self.is_probing = false;
        self.flushers.wake_all(wakes);
        self.grant(wakes);
    }

    /// The connection is gone; a resending publisher keeps what is unsettled.
    pub(crate) fn handle_loss(&mut self, error: &PublishError, wakes: &mut Vec<Waker>) {
        if self.is_resending {
            self.return_to_backlog();
            self.is_probing = false;
        } else {
            self.fail(error, wakes);
        }
    }

    /// The broker closed the channel, because of one of the messages: that one fails, or those that
    /// must fail for the same reason. The others are written again on the next channel.
    pub(crate) fn handle_fault(&mut self, fault: &Fault, wakes: &mut Vec<Waker>) {
        let mut written = self.written.iter().flatten();
        let only = written.next().filter(|_| written.next().is_none());
        let is_only = only.is_some();
        self.return_to_backlog();
        let is_refused = |at: usize, published: &Published| {
            if is_only { at == 0 } else { refusal::names(fault, &published.message) }
        };
        let error = PublishError::Refused(fault.clone());
        let mut is_found = false;
        for (at, published) in mem::take(&mut self.backlog).into_iter().enumerate() {
            if is_refused(at, &published) {
                is_found = true;
                self.settle(published, None, Some(&error), wakes);
            } else {
                self.backlog.push_back(published);
            }
        }
        self.is_probing |= !is_found;
        if self.unsettled == 0 {
            self.flushers.wake_all(wakes);
        }
    }

    /// The correlation ids of what is written again.
    pub(crate) fn held_correlation_ids(&self) -> HashSet<ShortStr> {
        self.backlog.iter().filter_map(|published| published.message.correlation_id()).collect()
    }

    /// What was written on a channel that is gone goes before what was to be written.
    fn return_to_backlog(&mut self) {
        let written = mem::take(&mut self.written);
        for published in written.into_iter().flatten().rev() {
            self.backlog.push_front(published);
        }
        self.first = 1;
        self.mandatory.clear();
        self.returned.clear();
    }

    /// The channel is new, or a message of a probe is settled: writes what is to be written again.
    pub(crate) fn write_backlog(&mut self, mut write: impl FnMut(&Outbound)) {
        while !(self.is_probing && self.unsettled > self.backlog.len())
            && let Some(published) = self.backlog.pop_front()
        {
            write(&published.message);
            self.enter(published);
        }
        if self.unsettled == 0 {
            self.is_probing = false;
        }
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.is_probing
    }
}
