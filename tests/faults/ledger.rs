//! What the broker owes for the messages of one queue, and since when. A moment is a place in the
//! history of the disk: what was promised by then must be there after whatever befell it then.

use crate::disk::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// For one message.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// When its confirm had come.
    confirmed: Option<Moment>,
    /// When its acknowledgement was about to be sent.
    acked: Option<Moment>,
    /// When something published after that acknowledgement on the same channel had been confirmed.
    ack_synced: Option<Moment>,
}

/// The messages of a queue by their number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    promises: Mutex<BTreeMap<u64, Promise>>,
}

/// The numbers of the messages that were found, each in its order.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) ready: Vec<u64>,
    /// Those that were rejected: they may be in the dead-letter queue instead.
    pub(crate) dead: Vec<u64>,
}

impl Ledger {
    /// The number of the next message.
    pub(crate) fn next(&self) -> u64 {
        let mut promises = self.lock();
        let number = promises.last_key_value().map_or(0, |(last, _)| last + 1);
        promises.insert(number, Promise::default());
        number
    }

    pub(crate) fn confirmed(&self, number: u64, moment: Moment) {
        self.change(number, |promise| promise.confirmed = Some(moment));
    }

    /// Is to be told before the acknowledgement is sent.
    pub(crate) fn acked(&self, number: u64, moment: Moment) {
        self.change(number, |promise| promise.acked = promise.acked.or(Some(moment)));
    }

    pub(crate) fn ack_synced(&self, number: u64, moment: Moment) {
        self.change(number, |promise| promise.ack_synced = promise.ack_synced.or(Some(moment)));
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Promise)) {
        change(self.lock().get_mut(&number).expect("a message that was published"));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Promise>> {
        self.promises.lock().unwrap()
    }

    /// Compares what was found after a fault at that moment with what was promised by then.
    ///
    /// # Panics
    /// When a promise was broken.
    pub(crate) fn check(&self, found: &Found, fault: Moment, place: &str) {
        let promises = self.lock();
        assert!(found.ready.is_sorted_by(|earlier, later| earlier < later), "disorder: {place}");
        let there: BTreeSet<u64> = found.ready.iter().chain(&found.dead).copied().collect();
        assert_eq!(there.len(), found.ready.len() + found.dead.len(), "in two places: {place}");
        assert!(there.iter().all(|number| promises.contains_key(number)), "invented: {place}");
        let was = |moment: Option<Moment>| moment.is_some_and(|moment| moment <= fault);
        let mut lost = Vec::new();
        for (number, promise) in promises.iter() {
            let is_there = there.contains(number);
            if was(promise.confirmed) && !was(promise.acked) && !is_there {
                lost.push(*number);
            }
            assert!(!(was(promise.ack_synced) && is_there), "{number} came back: {place}");
        }
        let (first, last) = (lost.first(), lost.last());
        assert!(lost.is_empty(), "{} lost, from {first:?} to {last:?}: {place}", lost.len());
        eprintln!("{place}: {} published, {} there", promises.len(), there.len());
    }

    /// From here on this is what there is: it must stay, and nothing else may come back.
    pub(crate) fn settle(&self, found: &Found) {
        let there: BTreeSet<u64> = found.ready.iter().chain(&found.dead).copied().collect();
        for (number, promise) in self.lock().iter_mut() {
            let is_there = there.contains(number);
            let gone = (!is_there).then_some(0);
            *promise = Promise { confirmed: is_there.then_some(0), acked: gone, ack_synced: gone };
        }
    }
}
