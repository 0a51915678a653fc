//! What ought to become of each message, from the promise: a list of messages, and what each process
//! holds.

use super::step::CLIENTS;
use crate::command::{Closure, Settlement};
use crate::limits::{QUARANTINE_MS_MAX, RETURN_LIMIT};

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    Held { client: u64, channel: u16, is_consumed: bool },
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
    pub(super) is_consumed: bool,
    pub(super) redelivered: bool,
    pub(super) failures: u32,
    pub(super) returns: u32,
}

pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    pub(super) clients: [Client; CLIENTS as usize],
    pub(super) limits: [u32; 2],
    pub(super) now: u64,
}

impl Model {
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

    pub(super) fn is_in_trial(&self, client: u64) -> bool {
        self.clients[client as usize].trial.is_some()
    }

    /// A message is given to a process.
    pub(super) fn give(&mut self, given: Given) {
        let Given { index, client, channel, is_consumed, .. } = given;
        let held = self.held(client);
        let what = format!("{index}, given to {client}, which holds {held:?}");
        let entry = &self.entries[index];
        assert_eq!(entry.place, Place::Ready, "{what}");
        assert_eq!(given.redelivered, entry.is_delivered, "redelivered: {what}");
        assert_eq!((given.failures, given.returns), (entry.failures, entry.returns), "{what}");
        let now = self.now;
        let of_client = &mut self.clients[client as usize];
        assert_eq!(of_client.trial, None, "not left alone with a quarantined message: {what}");
        if entry.is_quarantined && held.is_empty() {
            of_client.trial = Some((index, now));
        } else if entry.is_quarantined {
            let since = of_client.holds_since.unwrap();
            assert!(now - since >= QUARANTINE_MS_MAX, "quarantined, and in company: {what}");
        }
        of_client.holds_since.get_or_insert(now);
        of_client.given_at = now;
        let entry = &mut self.entries[index];
        entry.is_delivered = true;
        entry.place = Place::Held { client, channel, is_consumed };
    }

    /// A process settles what it holds.
    pub(super) fn settle(&mut self, index: usize, settlement: Settlement) {
        let Place::Held { client, .. } = self.entries[index].place else { panic!() };
        match settlement {
            Settlement::Ack => self.entries[index].place = Place::Gone,
            Settlement::Reject => self.entries[index].place = Place::Dead,
            Settlement::Recover => self.entries[index].place = Place::Ready,
            Settlement::Requeue(_) => self.fail(index, true),
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
        let is_alone = held.len() == 1;
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
        for entry in &mut self.entries {
            if matches!(entry.place, Place::Held { .. }) {
                entry.place = Place::Ready;
            }
            entry.is_delivered |= !is_known;
            entry.is_quarantined = false;
        }
    }

    fn fail(&mut self, index: usize, is_proven: bool) {
        let limit = self.limits[self.entries[index].queue];
        let entry = &mut self.entries[index];
        let is_last = entry.failures + 1 >= limit;
        entry.place = if is_last && is_proven { Place::Dead } else { Place::Ready };
        entry.failures += u32::from(!is_last);
        entry.is_quarantined |= is_last;
    }

    fn let_go(&mut self, client: u64) {
        let held = self.held(client);
        let client = &mut self.clients[client as usize];
        client.trial = client.trial.filter(|(index, _)| held.contains(index));
        client.holds_since = client.holds_since.filter(|_| !held.is_empty());
    }
}
