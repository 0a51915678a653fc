//! Poison isolation: who is given a quarantined message, and when.
//!
//! When a connection is lost with several messages unsettled, one of them may have killed its client
//! and the others are bystanders. The failure that would make a dead letter of such a message puts it
//! into quarantine instead: it goes to a connection that holds nothing and is sent nothing else. If
//! that one is lost too, the message did it. Nothing waits for that longer than
//! [`QUARANTINE_MS_MAX`]: what a client survives for so long leaves quarantine, and a connection that
//! keeps messages for so long is given quarantined ones in company, as any others.

use super::age::Moment;
use super::consumers::ConsumerId;
use super::dispatch::{Next, PendingGet, Round, Turn};
use super::lane::Lane;
use super::{GetKind, Queue};
use crate::ids::Offset;
use crate::limits::QUARANTINE_MS_MAX;
use crate::message::Message;
use crate::shard::clients::Clients;
use crate::time::Monotonic;

/// A message, and who is to have it.
pub(super) struct Pick {
    pub(super) level: usize,
    pub(super) offset: Offset,
    pub(super) message: Message,
    pub(super) consumer: ConsumerId,
    /// It is to be the only one that its connection has.
    pub(super) is_trial: bool,
}

/// Which order to take a message from.
type Order = fn(&Lane) -> Option<Offset>;

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
        at: Moment,
        clients: &mut Clients,
        turn: &mut Turn,
        round: &mut Round,
    ) -> Option<Pick> {
        if !self.consumers.are_waiting() {
            return None;
        }
        if !self.consumers.are_parallel() {
            return self.pick_in_order(at, clients, turn, round);
        }
        if !round.quarantined_wait
            && self.lanes.iter().any(|lane| lane.next_quarantined().is_some())
        {
            if let Some(taker) = self.taker(at.monotonic, clients) {
                let pick = self.pick_for(taker, Lane::next_quarantined, at, turn, round);
                round.quarantined_wait = pick.is_none();
                return pick.or_else(|| self.pick_ordinary(at, clients, turn, round));
            }
            self.consumers.drain_one(clients, at.monotonic);
            round.quarantined_wait = true;
        }
        self.pick_ordinary(at, clients, turn, round)
    }

    fn pick_ordinary(
        &mut self,
        at: Moment,
        clients: &Clients,
        turn: &mut Turn,
        round: &mut Round,
    ) -> Option<Pick> {
        match self.front_alive(Lane::next_unquarantined, at, turn)? {
            Next::Present { level, offset, message } => {
                let consumer = self.consumers.next(clients)?;
                Some(Pick { level, offset, message, consumer, is_trial: false })
            }
            Next::Absent { level, offset } => {
                if self.consumers.next(clients).is_some() {
                    round.awaits_content = true;
                    turn.wants_fetch |= self.want(level, offset);
                }
                None
            }
            Next::Empty => None,
        }
    }

    /// A single active consumer gets its messages in their order, quarantined or not.
    fn pick_in_order(
        &mut self,
        at: Moment,
        clients: &mut Clients,
        turn: &mut Turn,
        round: &mut Round,
    ) -> Option<Pick> {
        if !self.is_front_quarantined() {
            return self.pick_ordinary(at, clients, turn, round);
        }
        match self.taker(at.monotonic, clients) {
            Some(taker) => self.pick_for(taker, Lane::next_ready, at, turn, round),
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
        at: Moment,
        turn: &mut Turn,
        round: &mut Round,
    ) -> Option<Pick> {
        let (consumer, is_trial) = match taker {
            Taker::Empty(consumer) => (consumer, true),
            Taker::Keeps(consumer) => (consumer, false),
        };
        match self.front_alive(order, at, turn)? {
            Next::Present { level, offset, message } => {
                // What stood before it may have been too old.
                let is_trial = is_trial && self.is_quarantined(level, offset);
                Some(Pick { level, offset, message, consumer, is_trial })
            }
            Next::Absent { level, offset } => {
                round.awaits_content = true;
                turn.wants_fetch |= self.want(level, offset);
                None
            }
            Next::Empty => None,
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
            return Some((Lane::next_ready, false));
        }
        if clients.is_in_trial(slot) {
            return None;
        }
        let is_parallel = self.consumers.are_parallel();
        let has_quarantined = self.lanes.iter().any(|lane| lane.next_quarantined().is_some());
        if !has_quarantined || (!is_parallel && !self.is_front_quarantined()) {
            return Some((Lane::next_ready, false));
        }
        if clients.is_empty(slot) {
            let order = if is_parallel { Lane::next_quarantined } else { Lane::next_ready };
            return Some((order, true));
        }
        if clients.keeps(slot) && self.may_have_company(now) {
            return Some((Lane::next_ready, false));
        }
        clients.drain(slot, now);
        is_parallel.then_some((Lane::next_unquarantined as Order, false))
    }

    /// A connection was lost that held messages of the queue.
    pub(super) fn note_lost(&mut self, now: Monotonic) {
        self.lost_at = Some(now);
    }

    /// Whether a message is quarantined.
    pub(super) fn is_quarantined(&self, level: usize, offset: Offset) -> bool {
        self.lanes.get(level).is_some_and(|lane| lane.is_quarantined(offset))
    }

    fn is_front_quarantined(&self) -> bool {
        let mut lanes = self.lanes.iter().rev();
        let front = lanes.find_map(|lane| Some((lane, lane.next_ready()?)));
        front.is_some_and(|(lane, offset)| lane.is_quarantined(offset))
    }
}
