//! What a queue ought to do, with a plain list of messages: nothing is fast, nothing is clever.

use super::setting::{Letters, Setting};
use super::step::Draft;
use crate::command::Settlement;
use crate::topology::Overflow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    /// `subscription`: nothing after `basic.get`.
    Held {
        client: u64,
        subscription: Option<u64>,
    },
    /// Among the dead letters, for this reason.
    Dead(&'static str),
    Gone,
}

/// Whom the queue gave a message, and as what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) client: u64,
    pub(super) subscription: Option<u64>,
    pub(super) no_ack: bool,
    pub(super) redelivered: bool,
    pub(super) failures: u32,
}

/// What it gave to consumers in one step.
pub(super) type Handovers = BTreeMap<usize, Handover>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) persistent: bool,
    pub(super) place: Place,
    is_delivered: bool,
    failures: u32,
    level: u8,
    size: u64,
    /// When it is too old.
    due: Option<u64>,
    /// It was offered to consumers before.
    is_seen: bool,
    /// Must be delivered alone.
    is_suspect: bool,
}

/// The messages ever published, by number.
#[derive(Clone, Debug)]
pub(super) struct List {
    setting: Setting,
    pub(super) entries: Vec<Entry>,
    /// Since the process began.
    pub(super) expired: u64,
    pub(super) overflowed: u64,
    pub(super) refused: u64,
    /// Some consumer may have been set aside since this was last asked.
    pub(super) suspects_waited: bool,
}

impl List {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            setting,
            entries: Vec::new(),
            expired: 0,
            overflowed: 0,
            refused: 0,
            suspects_waited: false,
        }
    }

    /// Those that are ready in the order in which they ought to go.
    pub(super) fn order(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let ready = entries.filter(|(_, entry)| entry.place == Place::Ready);
        let mut order: Vec<usize> = ready.map(|(index, _)| index).collect();
        order.sort_by_key(|index| (Reverse(self.entries[*index].level), *index));
        order
    }

    pub(super) fn suspects(&self) -> Vec<usize> {
        self.order().into_iter().filter(|index| self.entries[*index].is_suspect).collect()
    }

    pub(super) fn trusted(&self) -> Vec<usize> {
        self.order().into_iter().filter(|index| !self.entries[*index].is_suspect).collect()
    }

    pub(super) fn is_suspect(&self, index: usize) -> bool {
        self.entries[index].is_suspect
    }

    /// What a client holds, ascending.
    pub(super) fn held(&self, client: u64) -> Vec<usize> {
        let is_held = |place| matches!(place, Place::Held { client: other, .. } if other == client);
        (0..self.entries.len()).filter(|index| is_held(self.entries[*index].place)).collect()
    }

    /// What of it came through consumers, also through cancelled ones.
    pub(super) fn consumed(&self, client: u64) -> Vec<usize> {
        let mut held = self.held(client);
        held.retain(|index| {
            matches!(self.entries[*index].place, Place::Held { subscription: Some(_), .. })
        });
        held
    }

    /// Adds messages. Returns which were refused.
    pub(super) fn publish(
        &mut self,
        drafts: &[Draft],
        now: u64,
        handovers: &mut Handovers,
    ) -> BTreeSet<usize> {
        let mut refused = BTreeSet::new();
        for draft in drafts {
            let has_room = |list: &Self| {
                let octets = list.octets() + draft.size as u64;
                !list.setting.is_over(list.order().len() as u64 + 1, octets)
            };
            let is_limited = self.setting.refuses_newcomers();
            if is_limited && !has_room(self) {
                self.turn(now, handovers);
            }
            let is_refused = is_limited && !has_room(self);
            let ttl = self.setting.message_ttl.into_iter().chain(draft.expiration).min();
            let place = match self.setting.overflow {
                _ if !is_refused => Place::Ready,
                Overflow::RejectPublishDlx => self.grave("maxlen"),
                _ => Place::Gone,
            };
            if is_refused {
                self.refused += 1;
                refused.insert(self.entries.len());
            }
            self.entries.push(Entry {
                persistent: draft.persistent && self.setting.is_durable(),
                place,
                is_delivered: false,
                failures: 0,
                level: draft.priority.min(self.setting.priority_max),
                size: draft.size as u64,
                due: ttl.map(|ttl| now + ttl),
                is_seen: false,
                is_suspect: false,
            });
        }
        refused
    }

    /// What the queue does after each step: deliver, then keep its limits; and again when a suspect
    /// left by that, as it may have held others up.
    pub(super) fn turn(&mut self, now: u64, handovers: &mut Handovers) {
        loop {
            self.deliver(now, handovers);
            let suspects = self.suspects();
            self.suspects_waited |= !suspects.is_empty();
            self.keep_limits(now);
            self.entries.iter_mut().for_each(|entry| entry.is_seen = true);
            if self.suspects() == suspects {
                return;
            }
        }
    }

    /// What is too old leaves first, and then, one by one, what is too much.
    fn keep_limits(&mut self, now: u64) {
        loop {
            self.expire_heads(now);
            let is_over = self.setting.is_over(self.order().len() as u64, self.octets());
            if self.setting.overflow != Overflow::DropHead || !is_over {
                return;
            }
            let first = self.order()[0];
            self.overflowed += 1;
            self.entries[first].place = self.grave("maxlen");
        }
    }

    /// The front goes to a consumer as long as the queue gave it to one. Where the front is a
    /// suspect that has to wait, what is behind it goes.
    fn deliver(&mut self, now: u64, handovers: &mut Handovers) {
        let mut suspects_wait = false;
        loop {
            let order = if suspects_wait { self.trusted() } else { self.order() };
            let Some(front) = order.first().copied() else { return };
            if self.is_overdue(front, now) {
                self.expire(front);
            } else if let Some(handover) = handovers.remove(&front) {
                self.check_company(front, handover.client);
                self.hand_over(front, handover);
            } else if self.is_suspect(front) && !self.setting.single_active {
                suspects_wait = true;
            } else {
                return;
            }
        }
    }

    /// Answers a `basic.get`: the front, whatever is suspected of it.
    pub(super) fn get(&mut self, got: Option<(usize, Handover)>, now: u64) {
        while let Some(front) = self.order().first().copied() {
            if !self.is_overdue(front, now) {
                let (index, handover) = got.expect("a message");
                assert_eq!(index, front);
                return self.hand_over(front, handover);
            }
            self.expire(front);
        }
        assert!(got.is_none(), "{got:?}");
    }

    fn hand_over(&mut self, index: usize, handover: Handover) {
        let Handover { client, subscription, no_ack, redelivered, failures } = handover;
        let entry = &mut self.entries[index];
        assert_eq!(redelivered, entry.is_delivered, "redelivered of {index}");
        assert_eq!(failures, entry.failures, "failures of {index}");
        entry.is_delivered = true;
        entry.place = if no_ack { Place::Gone } else { Place::Held { client, subscription } };
    }

    /// A suspect comes alone.
    fn check_company(&self, index: usize, client: u64) {
        let held = self.consumed(client);
        assert!(!self.is_suspect(index) || held.is_empty(), "{index} came in company of {held:?}");
        let suspect = held.iter().find(|held| self.is_suspect(**held));
        assert_eq!(suspect, None, "{index} came to who has a suspect");
    }

    /// Settles what a client holds.
    pub(super) fn settle(&mut self, settled: &[usize], settlement: Settlement) {
        for index in settled {
            match settlement {
                Settlement::Ack => self.entries[*index].place = Place::Gone,
                Settlement::Reject => self.entries[*index].place = self.failure("rejected"),
                Settlement::Requeue(_) => self.fail(*index, true),
                Settlement::Recover => self.entries[*index].place = Place::Ready,
            }
        }
    }

    /// A client ended.
    pub(super) fn close(&mut self, client: u64) {
        let held = self.held(client);
        held.iter().for_each(|index| self.fail(*index, held.len() == 1));
    }

    fn fail(&mut self, index: usize, is_certain: bool) {
        let entry = &self.entries[index];
        let is_last = self.setting.delivery_limit.is_some_and(|limit| entry.failures + 1 >= limit);
        let grave = self.failure("delivery_limit");
        let entry = &mut self.entries[index];
        entry.place = if is_last && is_certain { grave } else { Place::Ready };
        entry.failures += u32::from(!is_last);
        entry.is_suspect |= is_last;
    }

    /// Takes away all that is ready; how many there were.
    pub(super) fn purge(&mut self) -> usize {
        let ready = self.order();
        ready.iter().for_each(|index| self.entries[*index].place = Place::Gone);
        ready.len()
    }

    /// The process died; the store had what is in `written`.
    pub(super) fn crash(&mut self, written: &[Entry]) {
        (self.expired, self.overflowed, self.refused) = (0, 0, 0);
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let kept = written.get(index).filter(|kept| kept.persistent);
            entry.place = match kept.map(|kept| kept.place) {
                Some(Place::Ready | Place::Held { .. }) => Place::Ready,
                Some(dead @ Place::Dead(_)) => dead,
                Some(Place::Gone) | None => Place::Gone,
            };
            entry.failures = kept.map_or(0, |kept| kept.failures);
            (entry.is_delivered, entry.is_seen, entry.is_suspect) = (true, true, false);
        }
    }

    fn octets(&self) -> u64 {
        self.order().iter().map(|index| self.entries[*index].size).sum()
    }

    fn is_overdue(&self, index: usize, now: u64) -> bool {
        let entry = &self.entries[index];
        entry.is_seen && entry.due.is_some_and(|due| due <= now)
    }

    /// At each level what comes next leaves when it is too old, whether suspects may go or have to
    /// wait.
    fn expire_heads(&mut self, now: u64) {
        for level in 0..=self.setting.priority_max {
            for order in [Self::order, Self::trusted] {
                let heads = order(self);
                let heads = heads.iter().filter(|index| self.entries[**index].level == level);
                let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now);
                let due = heads.take_while(|index| is_due(self.entries[**index].due));
                due.copied().collect::<Vec<_>>().iter().for_each(|index| self.expire(*index));
            }
        }
    }

    fn expire(&mut self, index: usize) {
        self.expired += 1;
        self.entries[index].place = self.grave("expired");
    }

    /// Where a message goes that failed.
    fn failure(&self, reason: &'static str) -> Place {
        match self.setting.letters {
            Letters::Default | Letters::Exchange => Place::Dead(reason),
            Letters::Nowhere => Place::Gone,
        }
    }

    /// Where a message goes for a reason that the queue asked for.
    fn grave(&self, reason: &'static str) -> Place {
        match self.setting.letters {
            Letters::Exchange => Place::Dead(reason),
            Letters::Default | Letters::Nowhere => Place::Gone,
        }
    }
}
