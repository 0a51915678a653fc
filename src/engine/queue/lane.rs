//! One priority level of a queue: a log of messages, what of it is in memory, and what is to be
//! delivered next. Belongs to a [`super::Queue`].
//!
//! Next is the lowest of the cursor and what was returned, so that a returned message comes back
//! to its original place. Delivering changes only memory; what outlives the process is in
//! [`LaneLog`] and in the pages.

use super::fresh::Fresh;
use super::in_flight::{Held, InFlight};
use super::log::LaneLog;
use super::offset_set::OffsetSet;
use super::pages::{Fetching, Pages};
use super::stored::Stored;
use super::volatile::Volatile;
use crate::command::Run;
use crate::ids::{Offset, QueueId};
use crate::limits::READ_AHEAD_OCTETS;
use crate::message::Message;
use crate::operation::{Operation, RecoveredLane};
use crate::page::{Page, Record};
use crate::shard::clients::ChannelSlot;
use std::sync::Arc;

/// A lane and the leader's memory of it.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    log: LaneLog,
    fresh: Fresh,
    pages: Pages,
    volatile: Volatile,
    in_flight: InFlight,
    /// Offsets before the cursor that are to be delivered again.
    returned: OffsetSet,
    /// Everything from here on has not been delivered.
    cursor: Offset,
    /// What is below was there when the process began: it may have been delivered before.
    recovered_to: Offset,
    stored: Stored,
    /// Messages that the store should have had and did not.
    missing: u64,
}

impl Lane {
    /// The lane that a store holds.
    pub(crate) fn recover(recovered: &RecoveredLane) -> Self {
        let log = LaneLog::recover(recovered);
        let mut fresh = Fresh::default();
        fresh.start_at(log.tail());
        Self {
            fresh,
            pages: Pages::recovered(log.low()),
            cursor: log.low(),
            recovered_to: log.tail(),
            stored: Stored::recover(recovered),
            log,
            ..Self::default()
        }
    }

    /// Adds a message at the tail; `keep`: in the store.
    pub(crate) fn enqueue(&mut self, message: Message, keep: bool) {
        if keep {
            self.log.append();
            self.fresh.push(message);
            return;
        }
        let offset = self.log.append_hole();
        if offset >= self.log.low() {
            self.stored.changed(offset);
        }
        self.volatile.push(offset, message);
        self.fresh.skip();
    }

    /// Messages to be delivered.
    pub(crate) fn ready(&self) -> u64 {
        self.log.unsettled() + self.volatile.count() - self.in_flight.count()
    }

    /// Messages delivered and not settled.
    pub(crate) fn unacked(&self) -> u64 {
        self.in_flight.count()
    }

    /// Octets of all messages, delivered or not.
    pub(crate) fn octets(&self) -> u64 {
        self.log.octets() + self.fresh.octets() + self.volatile.resident_octets()
    }

    /// Octets of messages that nobody has written and that are in memory to be kept.
    pub(crate) fn fresh_octets(&self) -> u64 {
        self.fresh.octets()
    }

    /// Octets in memory that no restart brings back.
    pub(crate) fn volatile_octets(&self) -> u64 {
        self.volatile.resident_octets()
    }

    /// Octets in memory that the store has too.
    pub(crate) fn cached_octets(&self) -> u64 {
        self.pages.cached_octets()
    }

    /// Messages that the store should have had and did not.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// The message that is to be delivered next.
    pub(crate) fn next_ready(&self) -> Option<Offset> {
        let ahead = self.next_live(self.cursor);
        match (self.returned.first(), ahead) {
            (Some(returned), Some(ahead)) => Some(returned.min(ahead)),
            (returned, ahead) => returned.or(ahead),
        }
    }

    /// Its content, when that is in memory.
    pub(crate) fn content(&self, offset: Offset) -> Option<&Message> {
        self.fresh
            .get(offset)
            .or_else(|| self.volatile.get(offset))
            .or_else(|| self.pages.get(offset))
    }

    /// Whether the message may have been delivered before.
    pub(crate) fn is_redelivered(&self, offset: Offset) -> bool {
        offset < self.cursor || offset < self.recovered_to
    }

    /// Failed deliveries of a message so far.
    pub(crate) fn failures(&self, offset: Offset) -> u32 {
        self.log.failures(offset)
    }

    /// Takes the next ready message out of the order.
    pub(crate) fn take(&mut self, offset: Offset) {
        if offset < self.cursor {
            self.returned.remove(offset, offset);
        } else {
            self.cursor = offset.next();
        }
    }

    /// A message that was taken is now held.
    pub(crate) fn hold(&mut self, offset: Offset, held: Held) {
        self.in_flight.insert(offset, held);
    }

    /// Takes what `channel` holds of `run` out of flight, ascending; the caller settles it or
    /// gives it back.
    pub(crate) fn release(
        &mut self,
        channel: ChannelSlot,
        run: Run,
        taken: &mut Vec<(Offset, Held)>,
    ) {
        self.in_flight.take(channel, run.first..=run.last, taken);
    }

    /// Everything that `channel` holds, taken out of flight.
    pub(crate) fn release_all(&mut self, channel: ChannelSlot, taken: &mut Vec<(Offset, Held)>) {
        self.in_flight.take(channel, Offset(0)..=Offset(u64::MAX), taken);
    }

    /// Settles messages that were taken (and are not in flight), ascending, with their sizes.
    /// Returns whether the store has to learn of it.
    pub(crate) fn settle(&mut self, settled: impl IntoIterator<Item = (Offset, u32)>) -> bool {
        let fresh_from = self.fresh.first();
        let mut run: Option<(Offset, Offset, u64)> = None;
        let mut is_stored = false;
        for (offset, size) in settled {
            let is_fresh = offset >= fresh_from;
            if self.volatile.remove(offset) {
                self.log.forget_failures(offset);
                continue;
            }
            is_stored = true;
            let octets = if is_fresh { 0 } else { u64::from(size) };
            if is_fresh {
                self.fresh.remove(offset);
            }
            run = match run {
                Some((first, last, sum)) if last.next() == offset && fresh_from != offset => {
                    Some((first, offset, sum + octets))
                }
                other => {
                    self.settle_run(other);
                    Some((offset, offset, octets))
                }
            };
        }
        self.settle_run(run);
        self.tidy_when_empty();
        is_stored
    }

    /// Gives messages back to their places. `failed`: count it as a failed delivery.
    pub(crate) fn give_back(&mut self, taken: &[(Offset, Held)], failed: bool) {
        for (offset, _) in taken {
            self.returned.insert(*offset, *offset);
            if failed {
                self.log.fail(*offset);
                self.stored.changed(*offset);
            }
        }
    }

    /// Settles every message that is not in flight; how many there were.
    pub(crate) fn purge(&mut self) -> u64 {
        let purged = self.ready();
        let tail = self.log.tail();
        let octets_before = self.log.octets();
        let mut octets_held = 0;
        let mut from = self.log.low();
        let mut kept = OffsetSet::default();
        for (offset, held) in self.in_flight.iter() {
            kept.insert(offset, offset);
            if offset < self.fresh.first() && !self.volatile.contains(offset) {
                octets_held += u64::from(held.size);
            }
            if from < offset {
                self.log.settle(from, Offset(offset.0 - 1), 0);
            }
            from = offset.next();
        }
        if from < tail {
            self.log.settle(from, Offset(tail.0 - 1), 0);
        }
        self.log.settle_octets(octets_before.saturating_sub(octets_held));
        for offset in self.volatile.offsets() {
            if !kept.contains(offset) {
                self.volatile.remove(offset);
            }
        }
        for offset in (self.fresh.first().0..tail.0).map(Offset) {
            if !kept.contains(offset) {
                self.fresh.remove(offset);
            }
        }
        self.stored.changed_all(self.log.low(), tail);
        self.returned = OffsetSet::default();
        self.cursor = tail;
        self.pages.set_gap(None);
        let log = &self.log;
        self.pages.recount(|first, end| log.unsettled_in(first, end), &mut self.stored.dead_pages);
        self.tidy_when_empty();
        purged
    }

    /// Adds to `operations` what the store has to learn; `durable`: whether the queue outlives the
    /// process. Returns the pages among it.
    pub(crate) fn take_commit(
        &mut self,
        durable: bool,
        queue: QueueId,
        lane: crate::ids::Lane,
        operations: &mut Vec<Operation>,
    ) -> Vec<Offset> {
        let mut pages = Vec::new();
        for records in self.fresh.take() {
            let Some(page) = self.new_page(records) else { continue };
            pages.push(page.first);
            operations.push(Operation::PutPage { queue, lane, page });
        }
        // The store takes a hole in the pages for a loss unless it knows why.
        if durable || self.log.octets_paged() > 0 {
            self.stored.put_changes(&self.log, queue, lane, operations);
        }
        self.stored.remove_pages(queue, lane, operations);
        pages
    }

    /// The store has the page. `is_room`: the shard's memory has room for its content.
    pub(crate) fn handle_committed(&mut self, first: Offset, is_room: bool) {
        self.pages.commit(first, self.cursor, &self.returned, is_room);
    }

    /// Asks for the page of `offset`; whether that is news.
    pub(crate) fn want(&mut self, offset: Offset) -> bool {
        let is_idle = self.pages.fetching() == Fetching::Idle;
        if is_idle {
            self.pages.set_fetching(Fetching::Wanted(offset));
        }
        is_idle
    }

    /// Asks for pages ahead of the readers, when there are too few in memory; whether it did.
    pub(crate) fn want_ahead(&mut self) -> bool {
        if self.pages.cached_octets() >= READ_AHEAD_OCTETS {
            return false;
        }
        let Some(gap) = self.pages.gap(self.cursor) else { return false };
        match self.next_stored(gap) {
            Some(offset) => self.want(offset),
            None => {
                self.pages.set_gap(None);
                false
            }
        }
    }

    /// What to ask the store for.
    pub(crate) fn poll_fetch(&mut self) -> Option<Offset> {
        let Fetching::Wanted(offset) = self.pages.fetching() else { return None };
        self.pages.set_fetching(Fetching::UnderWay);
        Some(offset)
    }

    /// What the store had from `from` on. Returns whether the store has to learn of a loss.
    pub(crate) fn handle_fetched(&mut self, from: Offset, pages: Vec<Page>) -> bool {
        self.pages.set_fetching(Fetching::Idle);
        for page in pages {
            let live = self.log.unsettled_in(page.first, page.end);
            let again = self.returned.next_present(page.first).is_some_and(|next| next < page.end);
            if live > 0 && (page.end > self.cursor || again) {
                self.pages.insert(page, live);
            }
        }
        let is_lost = self.is_ready(from) && self.content(from).is_none();
        if is_lost {
            self.missing += 1;
            self.take_lost(from);
        }
        self.close_gap();
        is_lost
    }

    /// Lets go of content that was delivered and is in the store.
    pub(crate) fn release_content(&mut self) {
        self.pages.release(self.cursor, &self.returned);
    }

    /// Drops content that is in the store until `octets` are free; how many were freed.
    pub(crate) fn evict(&mut self, octets: u64) -> u64 {
        let in_flight = &self.in_flight;
        self.pages.evict(octets, self.cursor, |first, end| in_flight.any_in(first, end))
    }

    fn new_page(&mut self, records: Vec<Record>) -> Option<Arc<Page>> {
        let (first, last) = (records.first()?.offset, records.last()?.offset);
        let octets_before = self.log.octets_paged();
        let octets = records.iter().map(|record| record.message.size() as u64).sum();
        self.log.page(octets);
        let live = records.len() as u64;
        let page = Arc::new(Page {
            first,
            end: last.next(),
            octets_before,
            octets_after: octets_before + octets,
            records,
        });
        let dead = self.pages.put(&page, live);
        self.stored.dead_pages.extend(dead);
        Some(page)
    }

    fn settle_run(&mut self, run: Option<(Offset, Offset, u64)>) {
        let Some((first, last, octets)) = run else { return };
        self.log.settle(first, last, octets);
        self.stored.changed_all(first.max(self.log.low()), last.next());
        self.pages.settle(first, last, &mut self.stored.dead_pages);
    }

    fn tidy_when_empty(&mut self) {
        if self.log.unsettled() == 0 {
            self.pages.settle_all(&mut self.stored.dead_pages);
        }
    }

    fn take_lost(&mut self, offset: Offset) {
        if offset < self.cursor {
            self.returned.remove(offset, offset);
        }
        self.settle([(offset, 0)]);
    }

    fn is_ready(&self, offset: Offset) -> bool {
        if offset < self.cursor {
            return self.returned.contains(offset);
        }
        self.next_live(offset) == Some(offset)
    }

    /// The lowest message not below `from` that is not settled.
    fn next_live(&self, from: Offset) -> Option<Offset> {
        let kept = Some(self.log.next_unsettled(from)).filter(|offset| *offset < self.log.tail());
        if self.volatile.is_empty() {
            return kept;
        }
        match (kept, self.volatile.next(from)) {
            (Some(kept), Some(volatile)) => Some(kept.min(volatile)),
            (kept, volatile) => kept.or(volatile),
        }
    }

    /// The lowest unsettled message not below `from` that stands in a page.
    fn next_stored(&self, from: Offset) -> Option<Offset> {
        Some(self.log.next_unsettled(from)).filter(|offset| *offset < self.fresh.first())
    }

    fn close_gap(&mut self) {
        let Some(mut gap) = self.pages.gap(self.cursor) else { return };
        while let Some(offset) = self.next_stored(gap) {
            match self.pages.covered_to(offset) {
                Some(end) => gap = end,
                None => return self.pages.set_gap(Some(offset)),
            }
        }
        self.pages.set_gap(None);
    }
}
