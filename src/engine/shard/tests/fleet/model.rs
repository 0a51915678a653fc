//! What ought to become of each message, from the promise: a list of messages, and what each process
//! holds.

use super::step::CLIENTS;
use crate::limits::{QUARANTINE_MS_MAX, RETURN_LIMIT};
use crate::model::{Closure, Settlement};
use std::collections::{BTreeMap, BTreeSet};

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    /// `consumer`: which of all consumers that there were; nothing after `basic.get`.
    Held {
        client: u64,
        channel: u16,
        consumer: Option<usize>,
    },
    Dead,
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) queue: usize,
    pub(super) place: Place,
    pub(super) failures: u32,
    pub(super) returns: u32,
    pub(super) is_delivered: bool,
    pub(super) is_quarantined: bool,
    /// Of each failure that counts: the connection that let the message time out, if it was that.
    pub(super) failed_by: Vec<Option<u64>>,
    /// The connection of which a time-out did not count; as far as this process of the broker knows.
    pub(super) spared: Option<u64>,
    /// When it was last given to somebody.
    pub(super) given_at: u64,
    /// Until when who has it may hold it, since that asked for more time.
    pub(super) extended_to: Option<u64>,
}

/// A delivery that was taken back and is not settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) index: usize,
    pub(super) client: u64,
    pub(super) channel: u16,
    pub(super) consumer: Option<usize>,
    /// Nobody was given the message since.
    is_last: bool,
}

/// One process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    /// It has one quarantined message, by itself, since then.
    trial: Option<(usize, u64)>,
    /// Since when it has held anything without a break.
    holds_since: Option<u64>,
    /// When it was last given something.
    pub(super) given_at: u64,
}

/// A delivery as the shard made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) index: usize,
    pub(super) client: u64,
    pub(super) channel: u16,
    pub(super) consumer: Option<usize>,
    pub(super) redelivered: bool,
    pub(super) failures: u32,
    pub(super) returns: u32,
}

pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    pub(super) clients: [Client; CLIENTS as usize],
    pub(super) limits: [u32; 2],
    /// How long a consumer may hold a message, by queue; nothing: for longer than any test lasts.
    pub(super) timeouts: [Option<u64>; 2],
    /// How long a consumer may hold a message, where it said so itself.
    pub(super) leases: BTreeMap<usize, u64>,
    /// How often each process has connected.
    pub(super) lives: [u64; CLIENTS as usize],
    pub(super) owed: Vec<Owed>,
    /// When each consumer last settled something, or had something taken back.
    active_at: BTreeMap<usize, u64>,
    /// Channels that let a message time out and were not heard of since.
    hanging: BTreeSet<(u64, u16)>,
    /// The consumers on them that did.
    hung: BTreeSet<(u64, u16, usize)>,
    pub(super) now: u64,
}

impl Model {
    pub(super) fn new(limits: [u32; 2], timeouts: [Option<u64>; 2], now: u64) -> Self {
        Self {
            entries: Vec::new(),
            clients: Default::default(),
            limits,
            timeouts,
            leases: BTreeMap::new(),
            lives: Default::default(),
            owed: Vec::new(),
            active_at: BTreeMap::new(),
            hanging: BTreeSet::new(),
            hung: BTreeSet::new(),
            now,
        }
    }

    pub(super) fn of(&self, queue: usize) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(move |(_, entry)| entry.queue == queue)
    }

    pub(super) fn ready(&self, queue: usize) -> impl Iterator<Item = (usize, &Entry)> {
        self.of(queue).filter(|(_, entry)| entry.place == Place::Ready)
    }

    /// What a process holds over all its channels.
    pub(super) fn held(&self, client: u64) -> Vec<usize> {
        let is_held = |place| matches!(place, Place::Held { client: other, .. } if other == client);
        (0..self.entries.len()).filter(|index| is_held(self.entries[*index].place)).collect()
    }

    /// Whether a process holds nothing, and owes no settlement of what was taken back from it.
    pub(super) fn is_empty(&self, client: u64) -> bool {
        self.count_held(client) == 0
    }

    fn count_held(&self, client: u64) -> usize {
        self.held(client).len() + self.owed.iter().filter(|owed| owed.client == client).count()
    }

    /// Whether the process is taken to hang on this channel.
    pub(super) fn hangs(&self, client: u64, channel: u16) -> bool {
        self.hanging.contains(&(client, channel))
    }

    /// The process used the channel.
    pub(super) fn hear(&mut self, client: u64, channel: u16) {
        self.hanging.remove(&(client, channel));
        self.hung.retain(|(other, on, _)| (*other, *on) != (client, channel));
    }

    /// What is timed, and when its time is over: what was extended by itself, of the rest of each consumer
    /// its oldest message, of what was asked for every one.
    fn timed(&self) -> Vec<(u64, usize)> {
        let mut oldest: BTreeMap<usize, usize> = BTreeMap::new();
        let mut timed = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Place::Held { consumer, .. } = entry.place else { continue };
            if entry.extended_to.is_some() {
                timed.push((0, index));
                continue;
            }
            let Some(consumer) = consumer else {
                timed.push((entry.given_at, index));
                continue;
            };
            let known = oldest.entry(consumer).or_insert(index);
            if entry.given_at < self.entries[*known].given_at {
                *known = index;
            }
        }
        for (consumer, index) in oldest {
            let active_at = self.active_at.get(&consumer).copied().unwrap_or(0);
            timed.push((active_at.max(self.entries[index].given_at), index));
        }
        let ends = timed.into_iter().filter_map(|(since, index)| {
            let entry = &self.entries[index];
            let Place::Held { consumer, .. } = entry.place else { return None };
            let lease = consumer.and_then(|consumer| self.leases.get(&consumer).copied());
            let end = || Some(since + lease.or(self.timeouts[entry.queue])?);
            Some((entry.extended_to.or_else(end)?, index))
        });
        ends.collect()
    }

    /// When the next message times out, and which.
    pub(super) fn next_time_out(&self) -> Option<(u64, usize)> {
        self.timed().into_iter().min()
    }

    /// One of two messages that time out at the same moment on one channel: which of them is what the
    /// client hangs at nobody can tell.
    pub(super) fn coinciding(&self, end: u64) -> Option<usize> {
        let mut seen = BTreeSet::new();
        let ends = self.timed().into_iter().filter(|(other, _)| *other <= end);
        ends.map(|(_, index)| index).find(|index| match self.entries[*index].place {
            Place::Held { client, channel, .. } => {
                !self.hangs(client, channel) && !seen.insert((client, channel))
            }
            _ => false,
        })
    }

    /// What was held too long goes back.
    pub(super) fn time_out(&mut self) {
        let now = self.now;
        for (_, index) in self.timed().into_iter().filter(|(end, _)| *end <= now) {
            let Place::Held { client, channel, consumer } = self.entries[index].place else {
                continue;
            };
            let is_what_it_hangs_at = self.hanging.insert((client, channel));
            self.take_back(index);
            if let Some(consumer) = consumer {
                self.hung.insert((client, channel, consumer));
                self.active_at.insert(consumer, now);
            }
            if is_what_it_hangs_at {
                self.fail_by_time(index, self.lives[client as usize] * CLIENTS + client);
            }
        }
    }

    /// A process asks for more time for what it holds.
    pub(super) fn extend(&mut self, index: usize, lease: u64) {
        let Place::Held { consumer, .. } = self.entries[index].place else { panic!() };
        self.entries[index].extended_to = Some(self.now + lease);
        if let Some(consumer) = consumer {
            self.active_at.insert(consumer, self.now);
        }
    }

    fn take_back(&mut self, index: usize) {
        let place = std::mem::replace(&mut self.entries[index].place, Place::Ready);
        let Place::Held { client, channel, consumer } = place else { panic!() };
        self.owed.push(Owed { index, client, channel, consumer, is_last: true });
    }

    /// A time-out is a failure like others, but alone it condemns nothing that only one client had.
    fn fail_by_time(&mut self, index: usize, connection: u64) {
        let entry = &mut self.entries[index];
        let is_last = entry.failures + 1 >= self.limits[entry.queue];
        let is_of_one = entry.failed_by.iter().all(|by| *by == Some(connection))
            && entry.spared.is_none_or(|spared| spared == connection);
        match (is_last, is_of_one) {
            (false, _) => {
                entry.failures += 1;
                entry.failed_by.push(Some(connection));
            }
            (true, true) => entry.spared = Some(connection),
            (true, false) => entry.place = Place::Dead,
        }
    }

    /// What consumers hold that hang goes to somebody else, of a queue that has somebody: a consumer on
    /// one of these channels.
    pub(super) fn take_from_hung(&mut self, queue: usize, consumers: &[(u64, u16)]) {
        if !consumers.iter().any(|(client, channel)| !self.hangs(*client, *channel)) {
            return;
        }
        for index in 0..self.entries.len() {
            let is_extended = self.entries[index].extended_to.is_some_and(|to| to > self.now);
            if self.entries[index].queue == queue
                && !is_extended
                && let Place::Held { client, channel, consumer: Some(consumer) } =
                    self.entries[index].place
                && self.hung.contains(&(client, channel, consumer))
            {
                self.take_back(index);
            }
        }
    }

    /// A settlement of what was taken back. What comes first counts for the last delivery.
    pub(super) fn settle_late(&mut self, owed: Owed, settlement: Settlement) {
        let is_it = |other: &Owed| {
            (other.index, other.client, other.channel) == (owed.index, owed.client, owed.channel)
        };
        let at = self.owed.iter().rposition(is_it).unwrap();
        let last = self.owed.remove(at);
        self.owed.iter_mut().filter(|other| is_it(other)).for_each(|other| other.is_last = false);
        if let Some(consumer) = last.consumer {
            self.active_at.insert(consumer, self.now);
        }
        let entry = &mut self.entries[owed.index];
        if last.is_last && entry.place == Place::Ready {
            match settlement {
                Settlement::Ack => entry.place = Place::Gone,
                Settlement::Reject => entry.place = Place::Dead,
                Settlement::Requeue(_) | Settlement::Retry(_) | Settlement::Recover => {}
            }
        }
        self.let_go(owed.client);
    }

    pub(super) fn is_in_trial(&self, client: u64) -> bool {
        self.clients[client as usize].trial.is_some()
    }

    /// A message is given to a process.
    pub(super) fn give(&mut self, given: Given) {
        let Given { index, client, channel, consumer, .. } = given;
        let held = self.held(client);
        let what = format!("{index}, given to {client}, which holds {held:?}");
        let is_empty = self.is_empty(client);
        assert!(!self.hangs(client, channel), "to a channel that hangs: {what}");
        let entry = &self.entries[index];
        assert_eq!(entry.place, Place::Ready, "{what}");
        assert_eq!(given.redelivered, entry.is_delivered, "redelivered: {what}");
        assert_eq!((given.failures, given.returns), (entry.failures, entry.returns), "{what}");
        let now = self.now;
        let of_client = &mut self.clients[client as usize];
        assert_eq!(of_client.trial, None, "not left alone with a quarantined message: {what}");
        if entry.is_quarantined && is_empty {
            of_client.trial = Some((index, now));
        } else if entry.is_quarantined {
            let since = of_client.holds_since.unwrap();
            assert!(now - since >= QUARANTINE_MS_MAX, "quarantined, and in company: {what}");
        }
        of_client.holds_since.get_or_insert(now);
        of_client.given_at = now;
        let entry = &mut self.entries[index];
        entry.is_delivered = true;
        entry.given_at = now;
        entry.extended_to = None;
        entry.place = Place::Held { client, channel, consumer };
        self.owed
            .iter_mut()
            .filter(|owed| owed.index == index)
            .for_each(|owed| owed.is_last = false);
    }

    /// A process settles what it holds.
    pub(super) fn settle(&mut self, index: usize, settlement: Settlement) {
        let Place::Held { client, consumer, .. } = self.entries[index].place else { panic!() };
        if let Some(consumer) = consumer {
            self.active_at.insert(consumer, self.now);
        }
        match settlement {
            Settlement::Ack => self.entries[index].place = Place::Gone,
            Settlement::Reject => self.entries[index].place = Place::Dead,
            Settlement::Recover => self.entries[index].place = Place::Ready,
            Settlement::Requeue(_) | Settlement::Retry(_) => self.fail(index, true),
        }
        self.let_go(client);
    }

    /// What a process holds, on one channel or on all, comes back.
    pub(super) fn close(&mut self, client: u64, channel: Option<u16>, closure: Closure) {
        let held = self.held(client);
        let is_meant = |place| match place {
            Place::Held { channel: held_on, .. } => {
                channel.is_none_or(|channel| channel == held_on)
            }
            _ => false,
        };
        let is_alone = self.count_held(client) == 1;
        let is_meant_channel =
            |other: u64, on: u16| other == client && channel.is_none_or(|channel| channel == on);
        self.owed.retain(|owed| !is_meant_channel(owed.client, owed.channel));
        self.hanging.retain(|(other, on)| !is_meant_channel(*other, *on));
        self.hung.retain(|(other, on, _)| !is_meant_channel(*other, *on));
        for index in held {
            if !is_meant(self.entries[index].place) {
                continue;
            }
            match closure {
                Closure::Failed => self.fail(index, is_alone),
                Closure::ByBroker => self.entries[index].place = Place::Ready,
                Closure::ByClient => {
                    let limit = self.limits[self.entries[index].queue].max(RETURN_LIMIT);
                    let entry = &mut self.entries[index];
                    entry.returns += 1;
                    entry.place = if entry.returns >= limit { Place::Dead } else { Place::Ready };
                }
            }
        }
        self.let_go(client);
        if channel.is_none() {
            self.clients[client as usize] = Client::default();
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        for client in &mut self.clients {
            if let Some((index, since)) = client.trial
                && self.now - since >= QUARANTINE_MS_MAX
            {
                client.trial = None;
                self.entries[index].is_quarantined = false;
            }
        }
    }

    /// The broker begins again; whether it knows what was delivered.
    pub(super) fn restart(&mut self, is_known: bool) {
        self.clients = Default::default();
        self.owed.clear();
        self.hanging.clear();
        self.hung.clear();
        for entry in &mut self.entries {
            if matches!(entry.place, Place::Held { .. }) {
                entry.place = Place::Ready;
            }
            entry.is_delivered |= !is_known;
            entry.spared = None;
            entry.is_quarantined = false;
        }
    }

    fn fail(&mut self, index: usize, is_proven: bool) {
        let limit = self.limits[self.entries[index].queue];
        let entry = &mut self.entries[index];
        let is_last = entry.failures + 1 >= limit;
        entry.place = if is_last && is_proven { Place::Dead } else { Place::Ready };
        if is_last {
            entry.is_quarantined = true;
        } else {
            entry.failures += 1;
            entry.failed_by.push(None);
        }
    }

    fn let_go(&mut self, client: u64) {
        let (held, is_empty) = (self.held(client), self.is_empty(client));
        let client = &mut self.clients[client as usize];
        client.trial = client.trial.filter(|(index, _)| held.contains(index));
        client.holds_since = client.holds_since.filter(|_| !is_empty);
    }
}
