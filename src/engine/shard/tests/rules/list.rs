//! What a queue ought to do, with a plain list of messages: nothing is fast, nothing is clever.

use super::setting::{Letters, Setting};
use super::step::Draft;
use crate::limits::{CLOCK_STEP_MS, QUARANTINE_MS_MAX, RETURN_LIMIT};
use crate::model::{Closure, RequeueMethod, Settlement};
use crate::topology::{Overflow, RetryType};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How the story of a message begins that was published before its record began.
pub(super) const UNSEEN: &str = "published by nobody known";

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    /// It came back and is ready again then.
    Parked {
        until: u64,
    },
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
    pub(super) returns: u32,
}

/// What it gave to consumers in one step.
pub(super) type Handovers = BTreeMap<usize, Handover>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) persistent: bool,
    pub(super) place: Place,
    is_delivered: bool,
    failures: u32,
    returns: u32,
    level: u8,
    size: u64,
    /// When it is too old.
    due: Option<u64>,
    /// It was offered to consumers before.
    is_seen: bool,
    /// Must be delivered alone.
    is_quarantined: bool,
    /// Some client survived it.
    was_released: bool,
    /// Others with this key are duplicates.
    pub(super) key: Option<u8>,
    /// Since when.
    accepted_at: u64,
    /// After a crash, since then: the keys of a commit have one time, that of the last one.
    recovered_at: Option<u64>,
    /// What it repeats.
    pub(super) original: Option<usize>,
    group: Option<u8>,
    /// It was delivered: others of its group wait until it is done.
    holds: bool,
    /// The store knows that it had to wait.
    has_record: bool,
    /// What happened to it since its record began, as [`super::drive`] writes it; empty: it has none.
    pub(super) story: Vec<String>,
    /// Its record began when it was published.
    is_recorded_whole: bool,
}

/// What a client is known to do.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    /// It has one quarantined message, by itself, since then.
    trial: Option<(usize, u64)>,
    /// Since when it has held anything without a break.
    holds_since: Option<u64>,
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
    pub(super) deduplicated: u64,
    habits: BTreeMap<u64, Habit>,
}

impl List {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            setting,
            entries: Vec::new(),
            expired: 0,
            overflowed: 0,
            refused: 0,
            deduplicated: 0,
            habits: BTreeMap::new(),
        }
    }

    /// Something happened to a message that has a record.
    fn tell(&mut self, index: usize, what: impl Into<String>) {
        if !self.entries[index].story.is_empty() {
            self.entries[index].story.push(what.into());
        }
    }

    /// Begins the record of a message.
    fn begin(&mut self, index: usize, first: &str) {
        if self.setting.trace.is_some() {
            self.entries[index].story.push(first.to_owned());
        }
    }

    /// Something happened to a message that was at hand.
    fn tell_seen(&mut self, index: usize, what: impl Into<String>) {
        if self.entries[index].story.is_empty() {
            self.begin(index, UNSEEN);
        }
        self.tell(index, what);
    }

    /// A message with or without a record dies, and goes there.
    fn tell_death(&mut self, index: usize, reason: &str, place: Place) {
        let is_dead_letter = matches!(place, Place::Dead(_));
        self.tell(index, format!("died of {reason}, dead letter {is_dead_letter}"));
        self.tell_letter(index, place);
    }

    fn tell_letter(&mut self, index: usize, place: Place) {
        if let (Place::Dead(_), Some(queue)) = (place, self.setting.letter_queue()) {
            self.tell(index, format!("dead letter in {queue}"));
        }
    }

    /// Those that may be delivered, in the order in which they ought to go.
    pub(super) fn order(&self) -> Vec<usize> {
        let ready = self.ready().into_iter();
        ready.filter(|index| self.holder_of(*index).is_none_or(|holder| holder == *index)).collect()
    }

    /// Which message of its group was delivered and is not done.
    fn holder_of(&self, index: usize) -> Option<usize> {
        let group = self.entries[index].group?;
        let is_holder = |entry: &Entry| {
            let is_there = !matches!(entry.place, Place::Dead(_) | Place::Gone);
            entry.holds && entry.group == Some(group) && is_there
        };
        self.entries.iter().position(is_holder)
    }

    fn holders(&self) -> Vec<Option<usize>> {
        (0..self.entries.len()).map(|index| self.holder_of(index)).collect()
    }

    /// Those that are ready, in their order.
    pub(super) fn ready(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let ready = entries.filter(|(_, entry)| entry.place == Place::Ready);
        let mut order: Vec<usize> = ready.map(|(index, _)| index).collect();
        order.sort_by_key(|index| (Reverse(self.entries[*index].level), *index));
        order
    }

    /// Those that count for the length of the queue, in the order in which they give way.
    fn lengthy(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let counted =
            entries.filter(|(_, entry)| matches!(entry.place, Place::Ready | Place::Parked { .. }));
        let mut order: Vec<usize> = counted.map(|(index, _)| index).collect();
        order.sort_by_key(|index| (Reverse(self.entries[*index].level), *index));
        order
    }

    /// Those that are to be delivered alone, in the order in which they are tried.
    pub(super) fn quarantined(&self) -> Vec<usize> {
        let mut order = self.order();
        order.retain(|index| self.entries[*index].is_quarantined);
        order.sort_by_key(|index| {
            let entry = &self.entries[*index];
            (Reverse(entry.level), entry.was_released, *index)
        });
        order
    }

    pub(super) fn unquarantined(&self) -> Vec<usize> {
        let order = self.order().into_iter();
        order.filter(|index| !self.entries[*index].is_quarantined).collect()
    }

    pub(super) fn is_quarantined(&self, index: usize) -> bool {
        self.entries[index].is_quarantined
    }

    /// Whether a client has a quarantined message by itself.
    pub(super) fn is_in_trial(&self, client: u64) -> bool {
        self.habits.get(&client).is_some_and(|habit| habit.trial.is_some())
    }

    /// Whether a client has held something for so long that it may be given anything.
    fn may_keep(&self, client: u64, now: u64) -> bool {
        let since = self.habits.get(&client).and_then(|habit| habit.holds_since);
        since.is_some_and(|since| now - since >= QUARANTINE_MS_MAX)
    }

    /// Time has passed: what a client survived for long enough leaves quarantine.
    pub(super) fn pass(&mut self, now: u64) {
        for habit in self.habits.values_mut() {
            if let Some((index, since)) = habit.trial
                && now - since >= QUARANTINE_MS_MAX
            {
                habit.trial = None;
                self.entries[index].is_quarantined = false;
                self.entries[index].was_released = true;
            }
        }
    }

    /// Some client may hold less than before.
    fn let_go(&mut self) {
        for (client, habit) in std::mem::take(&mut self.habits) {
            let held = self.held(client);
            if !held.is_empty() {
                let trial = habit.trial.filter(|(index, _)| held.contains(index));
                self.habits.insert(client, Habit { trial, ..habit });
            }
        }
    }

    /// What a client holds, ascending.
    pub(super) fn held(&self, client: u64) -> Vec<usize> {
        let is_held = |place| matches!(place, Place::Held { client: other, .. } if other == client);
        (0..self.entries.len()).filter(|index| is_held(self.entries[*index].place)).collect()
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
                let bytes = list.bytes() + draft.size as u64;
                !list.setting.is_over(list.lengthy().len() as u64 + 1, bytes)
            };
            let original = draft.key.and_then(|key| self.original(key, now));
            let is_limited = self.setting.refuses_newcomers() && original.is_none();
            if is_limited && !has_room(self) {
                self.turn(now, handovers, 0);
            }
            let is_refused = is_limited && !has_room(self);
            let ttl = self.setting.message_ttl.into_iter().chain(draft.expiration).min();
            let place = match self.setting.overflow {
                _ if original.is_some() => Place::Gone,
                _ if !is_refused => Place::Ready,
                Overflow::RejectPublishDlx => self.place_of_dead("maxlen"),
                _ => Place::Gone,
            };
            if is_refused {
                self.refused += 1;
                refused.insert(self.entries.len());
            }
            self.deduplicated += u64::from(original.is_some());
            if let Some(original) = original.filter(|it| self.entries[*it].is_recorded_whole) {
                self.tell(original, "repeated");
            }
            self.entries.push(Entry {
                persistent: draft.persistent && self.setting.is_durable() && original.is_none(),
                place,
                is_delivered: false,
                failures: 0,
                returns: 0,
                level: draft.priority.min(self.setting.priority_max),
                size: draft.size as u64,
                due: ttl.map(|ttl| now + ttl),
                is_seen: false,
                is_quarantined: false,
                was_released: false,
                key: draft.key.filter(|_| original.is_none() && !is_refused),
                accepted_at: now,
                recovered_at: None,
                original,
                group: draft.group.filter(|_| self.setting.has_groups),
                holds: false,
                has_record: false,
                story: Vec::new(),
                is_recorded_whole: self.setting.trace.is_some(),
            });
            if original.is_none() {
                self.begin(self.entries.len() - 1, "published");
            }
            if is_refused {
                self.tell(self.entries.len() - 1, "refused");
                self.tell_letter(self.entries.len() - 1, place);
            }
        }
        refused
    }

    /// Whether a message's key makes others duplicates now.
    pub(super) fn is_remembered(&self, index: usize, now: u64) -> bool {
        let entry = &self.entries[index];
        let window = self.setting.dedup_window.filter(|_| entry.key.is_some());
        window.is_some_and(|window| now - entry.accepted_at < window)
    }

    /// The message with this key that makes others duplicates now.
    fn original(&self, key: u8, now: u64) -> Option<usize> {
        let entries = 0..self.entries.len();
        let mut newest = entries.rev().filter(|index| self.entries[*index].key == Some(key));
        newest.find(|index| self.is_remembered(*index, now))
    }

    /// The keys that are not in a commit yet are in one.
    pub(super) fn write_keys(&mut self) {
        let is_new =
            |entry: &Entry| entry.persistent && entry.key.is_some() && entry.recovered_at.is_none();
        let new = self.entries.iter().filter(|entry| is_new(entry));
        let latest = new.map(|entry| entry.accepted_at).max();
        for entry in self.entries.iter_mut().filter(|entry| is_new(entry)) {
            entry.recovered_at = latest;
        }
    }

    /// What the queue does after each step: deliver, then keep its limits; and again when a quarantined
    /// one left by that, as it may have held others up.
    ///
    /// What is too old and stands behind others of held groups leaves when it is its turn to be delivered to
    /// somebody who waits, which the list can't know: `unseen` says how many do.
    pub(super) fn turn(&mut self, now: u64, handovers: &mut Handovers, mut unseen: usize) {
        self.release(now);
        loop {
            self.deliver(now, handovers, &mut unseen);
            let (quarantined, holders) = (self.quarantined(), self.holders());
            self.keep_limits(now);
            self.entries.iter_mut().for_each(|entry| entry.is_seen = true);
            if self.quarantined() == quarantined && self.holders() == holders {
                return;
            }
        }
    }

    /// What waited long enough is ready.
    pub(super) fn release(&mut self, now: u64) {
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            if matches!(entry.place, Place::Parked { until } if until <= now) {
                entry.place = Place::Ready;
                self.tell(index, "ready");
            }
        }
    }

    /// What is too old leaves first, and then, one by one, what is too much.
    fn keep_limits(&mut self, now: u64) {
        loop {
            self.expire_heads(now);
            let is_over = self.setting.is_over(self.lengthy().len() as u64, self.bytes());
            if self.setting.overflow != Overflow::DropHead || !is_over {
                return;
            }
            let first = self.lengthy()[0];
            self.overflowed += 1;
            let place = self.place_of_dead("maxlen");
            if self.entries[first].place == Place::Ready && self.entries[first].story.is_empty() {
                self.begin(first, UNSEEN);
            }
            self.entries[first].place = place;
            self.tell_death(first, "maxlen", place);
        }
    }

    /// What is first goes to a consumer as long as the queue gave it to one. Quarantined ones go first,
    /// unless one consumer is active at a time: that one gets everything in its order.
    fn deliver(&mut self, now: u64, handovers: &mut Handovers, unseen: &mut usize) {
        loop {
            let orders = match self.setting.single_active {
                true => vec![self.order()],
                false => vec![self.quarantined(), self.unquarantined()],
            };
            let fronts = orders.iter().filter_map(|order| order.first().copied());
            let leaves = |front: usize| {
                self.is_overdue(front, now) && (*unseen > 0 || self.is_head_of_level(front))
            };
            let next =
                fronts.into_iter().find(|front| leaves(*front) || handovers.contains_key(front));
            let Some(next) = next else { return };
            if self.is_overdue(next, now) {
                if !self.is_head_of_level(next) {
                    *unseen = unseen.saturating_sub(1);
                }
                self.expire(next);
            } else if let Some(handover) = handovers.remove(&next) {
                self.check_company(next, handover.client, now);
                self.hand_over(next, handover, now);
            }
        }
    }

    /// Answers a `basic.get` of a client.
    pub(super) fn get(
        &mut self,
        client: u64,
        no_ack: bool,
        got: Option<(usize, Handover)>,
        now: u64,
    ) {
        loop {
            let (all, quarantined) = (self.order(), self.quarantined());
            let is_single = self.setting.single_active;
            let front = all.first().copied();
            let is_front_quarantined = front.is_some_and(|front| self.is_quarantined(front));
            let is_free = quarantined.is_empty() || (is_single && !is_front_quarantined);
            let takes_any = self.may_keep(client, now)
                && got.is_some_and(|(index, _)| self.is_quarantined(index));
            let order = if no_ack {
                all
            } else if self.is_in_trial(client) {
                Vec::new()
            } else if is_free || takes_any {
                all
            } else if self.held(client).is_empty() {
                if is_single { all } else { quarantined }
            } else if is_single {
                Vec::new()
            } else {
                self.unquarantined()
            };
            match order.first().copied() {
                Some(front) if self.is_overdue(front, now) => self.expire(front),
                front => {
                    assert_eq!(got.map(|(index, _)| index), front);
                    if let Some((index, handover)) = got {
                        self.hand_over(index, handover, now);
                    }
                    return;
                }
            }
        }
    }

    fn hand_over(&mut self, index: usize, handover: Handover, now: u64) {
        let Handover { client, subscription, no_ack, redelivered, failures, returns } = handover;
        let is_alone = self.held(client).is_empty();
        let (attempt, how) = (failures + returns + 1, subscription.is_some());
        self.tell_seen(
            index,
            format!(
                "delivered to {client}, consumer {how}, attempt {attempt}, again {redelivered}, \
                 settled {no_ack}"
            ),
        );
        let holder = self.holder_of(index);
        assert!(holder.is_none_or(|holder| holder == index), "{index} overtook {holder:?}");
        let entry = &mut self.entries[index];
        assert_eq!(redelivered, entry.is_delivered, "redelivered of {index}");
        assert_eq!((failures, returns), (entry.failures, entry.returns), "counts of {index}");
        entry.is_delivered = true;
        entry.holds = !no_ack;
        entry.place = if no_ack { Place::Gone } else { Place::Held { client, subscription } };
        if !no_ack {
            let is_trial = entry.is_quarantined && is_alone;
            let habit = self.habits.entry(client).or_default();
            habit.holds_since.get_or_insert(now);
            habit.trial = habit.trial.or(is_trial.then_some((index, now)));
        }
    }

    /// A quarantined message comes alone, or to who keeps what it has.
    fn check_company(&self, index: usize, client: u64, now: u64) {
        let held = self.held(client);
        let is_alone = held.is_empty() || self.may_keep(client, now);
        assert!(!self.is_quarantined(index) || is_alone, "{index} came in company of {held:?}");
        assert!(!self.is_in_trial(client), "{index} came to who has a quarantined message");
    }

    /// Settles what a client holds.
    pub(super) fn settle(&mut self, settled: &[usize], settlement: Settlement, now: u64) {
        for index in settled {
            self.tell(
                *index,
                match settlement {
                    Settlement::Ack => "acknowledged",
                    Settlement::Reject => "rejected",
                    Settlement::Requeue(RequeueMethod::Nack) => "back, nacked",
                    Settlement::Requeue(RequeueMethod::Reject) => "back, rejected",
                    Settlement::Retry(_) => "back, retried",
                    Settlement::Recover => "back, recovered",
                },
            );
            match settlement {
                Settlement::Ack => self.entries[*index].place = Place::Gone,
                Settlement::Reject => {
                    let place = self.failure("rejected");
                    self.entries[*index].place = place;
                    self.tell_death(*index, "rejected", place);
                }
                Settlement::Requeue(RequeueMethod::Nack) => {
                    self.fail(*index, true, now, &[RetryType::Failed, RetryType::Returned], None);
                }
                Settlement::Requeue(RequeueMethod::Reject) => {
                    self.fail(*index, true, now, &[RetryType::Failed], None);
                }
                Settlement::Retry(delay) => self.fail(*index, true, now, &[], Some(delay)),
                Settlement::Recover => self.set_back(*index, Place::Ready),
            }
        }
        self.let_go();
    }

    /// A client ended.
    pub(super) fn close(&mut self, client: u64, closure: Closure, now: u64) {
        let held = self.held(client);
        for index in &held {
            self.tell(
                *index,
                match closure {
                    Closure::Failed => "back, connection-lost",
                    Closure::ByBroker => "back, interrupted",
                    Closure::ByClient => "back, returned",
                },
            );
            match closure {
                Closure::Failed => {
                    self.fail(*index, held.len() == 1, now, &[RetryType::Failed], None);
                }
                Closure::ByBroker => self.set_back(*index, Place::Ready),
                Closure::ByClient => {
                    let limit = self.setting.delivery_limit.map(|limit| limit.max(RETURN_LIMIT));
                    let place = self.failure("delivery_limit");
                    let entry = &mut self.entries[*index];
                    entry.returns += 1;
                    let is_end = limit.is_some_and(|limit| entry.returns >= limit);
                    let count = entry.returns;
                    let back = self.place_of_return(count, now, &[RetryType::Returned], None);
                    self.set_back(*index, if is_end { place } else { back });
                    if is_end {
                        self.tell_death(*index, "delivery_limit", place);
                    }
                }
            }
        }
        self.let_go();
    }

    /// A delivery failed; `kinds`: the retry types that make it wait, beside `all`. `own`: the wait that the
    /// client asked for.
    fn fail(
        &mut self,
        index: usize,
        is_certain: bool,
        now: u64,
        kinds: &[RetryType],
        own: Option<u64>,
    ) {
        let entry = &self.entries[index];
        let is_last = self.setting.delivery_limit.is_some_and(|limit| entry.failures + 1 >= limit);
        let place = match (is_last, is_certain) {
            (true, true) => self.failure("delivery_limit"),
            (true, false) => Place::Ready,
            (false, _) => self.place_of_return(entry.failures + 1, now, kinds, own),
        };
        self.set_back(index, place);
        match (is_last, is_certain) {
            (true, true) => self.tell_death(index, "delivery_limit", place),
            (true, false) => self.tell(index, "quarantined"),
            (false, _) => {}
        }
        let entry = &mut self.entries[index];
        entry.failures += u32::from(!is_last);
        entry.is_quarantined |= is_last;
    }

    fn set_back(&mut self, index: usize, place: Place) {
        let entry = &mut self.entries[index];
        entry.place = place;
        entry.has_record = matches!(place, Place::Parked { .. });
        if let Place::Parked { until } = place {
            self.tell(index, format!("parked until {until}"));
        }
    }

    /// Where a message goes that came back for the time `count`.
    fn place_of_return(
        &self,
        count: u32,
        now: u64,
        kinds: &[RetryType],
        own: Option<u64>,
    ) -> Place {
        let retry = self.setting.retry;
        let retry = retry.filter(|it| it.kind == RetryType::All || kinds.contains(&it.kind));
        let of_rule = retry.map(|retry| {
            let factor = match retry.multiplier {
                None => u64::from(count),
                Some(multiplier) => (1..count).map(|_| multiplier).product(),
            };
            (retry.min * factor).min(retry.max)
        });
        match own.or(of_rule) {
            None | Some(0) => Place::Ready,
            Some(wait) => Place::Parked { until: now + wait + CLOCK_STEP_MS },
        }
    }

    /// Takes away all that is ready or waits; how many there were.
    pub(super) fn purge(&mut self) -> usize {
        let purged = self.lengthy();
        for index in &purged {
            self.entries[*index].place = Place::Gone;
            self.tell(*index, "purged");
        }
        purged.len()
    }

    /// The process died; the store had what is in `written`.
    pub(super) fn crash(&mut self, written: &[Entry]) {
        (self.expired, self.overflowed, self.refused) = (0, 0, 0);
        self.deduplicated = 0;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let kept = written.get(index).filter(|kept| kept.persistent);
            entry.place = match kept.map(|kept| kept.place) {
                Some(Place::Ready | Place::Held { .. }) => Place::Ready,
                Some(parked @ Place::Parked { .. }) => parked,
                Some(dead @ Place::Dead(_)) => dead,
                Some(Place::Gone) | None => Place::Gone,
            };
            entry.failures = kept.map_or(0, |kept| kept.failures);
            entry.returns = kept.map_or(0, |kept| kept.returns);
            (entry.is_delivered, entry.is_seen) = (true, true);
            (entry.is_quarantined, entry.was_released) = (false, false);
            entry.key = kept.and_then(|kept| kept.key);
            entry.recovered_at = kept.and_then(|kept| kept.recovered_at);
            entry.accepted_at = entry.recovered_at.unwrap_or(entry.accepted_at);
            entry.has_record = kept.is_some_and(|kept| kept.has_record);
            entry.holds = entry.has_record;
            entry.story.clear();
            entry.is_recorded_whole = false;
        }
        self.habits.clear();
    }

    fn bytes(&self) -> u64 {
        self.lengthy().iter().map(|index| self.entries[*index].size).sum()
    }

    /// Whether a message expires in any case when it is too old.
    fn is_head_of_level(&self, index: usize) -> bool {
        let level = self.entries[index].level;
        let ready = self.ready().into_iter().filter(|other| self.entries[*other].level == level);
        let ready: Vec<usize> = ready.collect();
        let unquarantined = ready.iter().find(|other| !self.is_quarantined(**other));
        self.is_quarantined(index) || ready.first() == Some(&index) || unquarantined == Some(&index)
    }

    fn is_overdue(&self, index: usize, now: u64) -> bool {
        let entry = &self.entries[index];
        entry.is_seen && entry.due.is_some_and(|due| due <= now)
    }

    /// At each level what comes next leaves when it is too old, whether quarantined ones may go or have
    /// to wait.
    fn expire_heads(&mut self, now: u64) {
        for level in 0..=self.setting.priority_max {
            for order in 0..3 {
                let heads = match order {
                    0 => self.ready(),
                    1 => {
                        let ready = self.ready().into_iter();
                        ready.filter(|index| !self.is_quarantined(*index)).collect()
                    }
                    _ => self.quarantined(),
                };
                let heads = heads.iter().filter(|index| self.entries[**index].level == level);
                let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now);
                let due = heads.take_while(|index| is_due(self.entries[**index].due));
                due.copied().collect::<Vec<_>>().iter().for_each(|index| self.expire(*index));
            }
        }
    }

    fn expire(&mut self, index: usize) {
        self.expired += 1;
        let place = self.place_of_dead("expired");
        self.entries[index].place = place;
        if self.entries[index].story.is_empty() {
            self.begin(index, UNSEEN);
        }
        self.tell_death(index, "expired", place);
    }

    /// Where a message goes that failed.
    fn failure(&self, reason: &'static str) -> Place {
        match self.setting.letters {
            Letters::Default | Letters::Exchange => Place::Dead(reason),
            Letters::Nowhere => Place::Gone,
        }
    }

    /// Where a message goes for a reason that the queue asked for.
    fn place_of_dead(&self, reason: &'static str) -> Place {
        match self.setting.letters {
            Letters::Exchange => Place::Dead(reason),
            Letters::Default | Letters::Nowhere => Place::Gone,
        }
    }
}
