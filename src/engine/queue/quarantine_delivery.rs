//! Poison isolation: who is given a quarantined message, and when.
//!
//! When a connection is lost with several messages unsettled, one of them may have killed its client
//! and the others are bystanders. The failure that would make a dead letter of such a message puts it
//! into quarantine instead: it goes to a connection that holds nothing and is sent nothing else. If
//! that one is lost too, the message did it. Nothing waits for that longer than
//! [`QUARANTINE_MS_MAX`]: what a client survives for so long leaves quarantine, and a connection that
//! keeps messages for so long is given quarantined ones in company, as any others.

use super::clock_skew::Instants;
use super::delivery_pass::{DeliveryPass, Next, PassDeliveries, PendingGet};
use super::level::PriorityLevel;
use super::{GetKind, Queue};
use crate::credit::Clients;
use crate::credit::ConsumerId;
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{Message, Monotonic, Offset};

/// A message, and who is to have it.
pub(super) struct Pick {
    pub(super) priority: usize,
    pub(super) offset: Offset,
    pub(super) message: Message,
    pub(super) consumer: ConsumerId,
    /// It is to be the only one that its connection has.
    pub(super) is_trial: bool,
}

/// Which order to take a message from.
type Order = fn(&PriorityLevel) -> Option<Offset>;

/// Who may have a quarantined message.
enum Taker {
    /// A consumer whose connection holds nothing.
    Empty(ConsumerId),
    /// One whose connection keeps what it holds.
    Keeps(ConsumerId),
}

impl Queue {
    /// What is to be delivered next, and to whom.
    pub(super) fn pick(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        pass: &mut DeliveryPass,
        round: &mut PassDeliveries,
    ) -> Option<Pick> {
        if !self.consumers.are_waiting() {
            return None;
        }
        if !self.consumers.are_parallel() {
            return self.pick_in_order(at, clients, pass, round);
        }
        if !round.quarantined_wait
            && self.levels.iter().any(|level| level.next_quarantined().is_some())
        {
            if let Some(taker) = self.taker(at.monotonic, clients) {
                let pick = self.pick_for(taker, PriorityLevel::next_quarantined, at, pass, round);
                round.quarantined_wait = pick.is_none();
                return pick.or_else(|| self.pick_ordinary(at, clients, pass, round));
            }
            self.consumers.drain_one(clients, at.monotonic);
            round.quarantined_wait = true;
        }
        self.pick_ordinary(at, clients, pass, round)
    }

    fn pick_ordinary(
        &mut self,
        at: Instants,
        clients: &Clients,
        pass: &mut DeliveryPass,
        round: &mut PassDeliveries,
    ) -> Option<Pick> {
        match self.front_alive(PriorityLevel::next_unquarantined, at, pass)? {
            Next::Present { priority, offset, message } => {
                let consumer = self.consumers.next(clients)?;
                Some(Pick { priority, offset, message, consumer, is_trial: false })
            }
            Next::Absent { priority, offset } => {
                if self.consumers.next(clients).is_some() {
                    round.awaits_content = true;
                    pass.wants_fetch |= self.want(priority, offset);
                }
                None
            }
            Next::Empty | Next::Blocked => None,
        }
    }

    /// A single active consumer gets its messages in their order, quarantined or not.
    fn pick_in_order(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        pass: &mut DeliveryPass,
        round: &mut PassDeliveries,
    ) -> Option<Pick> {
        if !self.is_front_quarantined() {
            return self.pick_ordinary(at, clients, pass, round);
        }
        match self.taker(at.monotonic, clients) {
            Some(taker) => self.pick_for(taker, PriorityLevel::next_ready, at, pass, round),
            None => {
                self.consumers.drain_one(clients, at.monotonic);
                None
            }
        }
    }

    fn pick_for(
        &mut self,
        taker: Taker,
        order: Order,
        at: Instants,
        pass: &mut DeliveryPass,
        round: &mut PassDeliveries,
    ) -> Option<Pick> {
        let (consumer, is_trial) = match taker {
            Taker::Empty(consumer) => (consumer, true),
            Taker::Keeps(consumer) => (consumer, false),
        };
        match self.front_alive(order, at, pass)? {
            Next::Present { priority, offset, message } => {
                // What stood before it may have been too old.
                let is_trial = is_trial && self.is_quarantined(priority, offset);
                Some(Pick { priority, offset, message, consumer, is_trial })
            }
            Next::Absent { priority, offset } => {
                round.awaits_content = true;
                pass.wants_fetch |= self.want(priority, offset);
                None
            }
            Next::Empty | Next::Blocked => None,
        }
    }

    fn taker(&mut self, now: Monotonic, clients: &Clients) -> Option<Taker> {
        let empty = self.consumers.next_fit(clients, |channel| clients.is_empty(channel));
        if let Some(empty) = empty {
            return Some(Taker::Empty(empty));
        }
        if !self.may_have_company(now) {
            return None;
        }
        self.consumers.next_fit(clients, |channel| clients.keeps(channel)).map(Taker::Keeps)
    }

    /// Whether it is long enough ago that a connection was lost: a client that starts again would
    /// have been given what is quarantined by now.
    fn may_have_company(&mut self, now: Monotonic) -> bool {
        let from = self.lost_at.map(|lost_at| lost_at.plus(QUARANTINE_MS_MAX));
        self.quarantine_at = from.filter(|from| *from > now);
        self.quarantine_at.is_none()
    }

    /// What answers a `basic.get`; nothing: it is answered as if the queue were empty. With whether
    /// the message is to be the only one that the connection has.
    pub(super) fn pick_for_get(
        &mut self,
        get: &PendingGet,
        now: Monotonic,
        clients: &mut Clients,
    ) -> Option<(Order, bool)> {
        let slot = get.slot;
        if get.kind != GetKind::Ack {
            return Some((PriorityLevel::next_ready, false));
        }
        if clients.is_in_trial(slot) {
            return None;
        }
        let is_parallel = self.consumers.are_parallel();
        let has_quarantined = self.levels.iter().any(|level| level.next_quarantined().is_some());
        if !has_quarantined || (!is_parallel && !self.is_front_quarantined()) {
            return Some((PriorityLevel::next_ready, false));
        }
        if clients.is_empty(slot) {
            let order = if is_parallel {
                PriorityLevel::next_quarantined
            } else {
                PriorityLevel::next_ready
            };
            return Some((order, true));
        }
        if clients.keeps(slot) && self.may_have_company(now) {
            return Some((PriorityLevel::next_ready, false));
        }
        clients.drain(slot, now);
        is_parallel.then_some((PriorityLevel::next_unquarantined as Order, false))
    }

    /// A connection was lost that held messages of the queue.
    pub(super) fn note_lost(&mut self, now: Monotonic) {
        self.lost_at = Some(now);
    }

    /// Whether a message is quarantined.
    pub(super) fn is_quarantined(&self, priority: usize, offset: Offset) -> bool {
        self.levels.get(priority).is_some_and(|level| level.is_quarantined(offset))
    }

    fn is_front_quarantined(&self) -> bool {
        let mut levels = self.levels.iter().rev();
        let front = levels.find_map(|level| Some((level, level.next_ready()?)));
        front.is_some_and(|(level, offset)| level.is_quarantined(offset))
    }
}
