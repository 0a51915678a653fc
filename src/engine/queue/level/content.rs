//! Where the content of a level's messages is: in memory, in the store, or on its way between them.

use super::PriorityLevel;
use crate::limits::{FETCH_BYTES_MAX, READ_AHEAD_BYTES};
use crate::model::{Message, Offset, QueueId};
use crate::operation::Operation;
use crate::page::{Page, Record};
use crate::queue::pages::Fetching;
use std::sync::Arc;

impl PriorityLevel {
    /// Adds to `operations` what the store has to learn; `durable`: whether the queue outlives the
    /// process. Returns the pages among it.
    pub(crate) fn take_commit(
        &mut self,
        durable: bool,
        queue: QueueId,
        level: crate::model::Level,
        operations: &mut Vec<Operation>,
    ) -> Vec<Offset> {
        let mut pages = Vec::new();
        for records in self.unwritten.take() {
            let Some(page) = self.new_page(records) else { continue };
            pages.push(page.first);
            operations.push(Operation::PutPage { queue, level, page });
        }
        // The store takes a hole in the pages for a loss unless it knows why.
        if durable || self.settled.bytes_paged() > 0 {
            self.changes.put_changes(&self.settled, queue, level, operations);
        }
        self.changes.remove_pages(queue, level, operations);
        pages
    }

    /// The store has the page. `has_room`: the shard's memory has room for its content.
    pub(crate) fn handle_committed(&mut self, first: Offset, has_room: bool) {
        self.pages.commit(first, &self.states, has_room);
    }

    /// Asks for the page of `offset` and for those behind it. Returns whether the store has to be
    /// asked because of it: not when it is being asked already.
    pub(crate) fn want(&mut self, offset: Offset) -> bool {
        self.want_bytes(offset, FETCH_BYTES_MAX)
    }

    /// Asks for the page of `offset` alone: one message of it is to be looked at. Returns whether the
    /// store has to be asked because of it.
    pub(crate) fn want_page(&mut self, offset: Offset) -> bool {
        self.want_bytes(offset, 1)
    }

    fn want_bytes(&mut self, from: Offset, bytes_max: usize) -> bool {
        let is_idle = self.pages.fetching() == Fetching::Idle;
        if is_idle {
            self.pages.set_fetching(Fetching::Wanted { from, bytes_max });
        }
        is_idle
    }

    /// Asks for pages ahead of the readers, when there are too few in memory; whether it did.
    pub(crate) fn want_ahead(&mut self) -> bool {
        if self.pages.cached_bytes() >= READ_AHEAD_BYTES {
            return false;
        }
        let Some(gap) = self.pages.gap(self.states.cursor()) else { return false };
        match self.next_stored(gap) {
            Some(offset) => self.want(offset),
            None => {
                self.pages.set_gap(None);
                false
            }
        }
    }

    /// When, on the steady clock, the oldest message was stamped, as far as that is known.
    pub(crate) fn oldest_stamp(&self) -> Option<i128> {
        self.known_stamp(self.oldest()?)
    }

    /// When, on the steady clock, the message that is to be delivered next was stamped, as far as that
    /// is known.
    pub(crate) fn head_stamp(&self) -> Option<i128> {
        self.known_stamp(self.first_ready()?)
    }

    /// Asks for the oldest message when its age is not known; whether it did.
    pub(crate) fn want_unknown_age(&mut self) -> bool {
        let Some(offset) = self.oldest() else { return false };
        self.known_stamp(offset).is_none() && self.want_page(offset)
    }

    /// The lowest message that does not wait for its next delivery.
    fn oldest(&self) -> Option<Offset> {
        let parked = self.states.parked();
        let mut offset = self.next_live(Offset(0))?;
        while parked.contains(offset) {
            offset = self.next_live(parked.next_absent(offset))?;
        }
        Some(offset)
    }

    fn known_stamp(&self, offset: Offset) -> Option<i128> {
        let content = self.content(offset).map(Message::published_at);
        Some(self.stamped(offset, content.or_else(|| self.publish_times.stamp(offset))?))
    }

    /// What to ask the store for.
    pub(crate) fn poll_fetch(&mut self) -> Option<(Offset, usize)> {
        let Fetching::Wanted { from, bytes_max } = self.pages.fetching() else { return None };
        self.pages.set_fetching(Fetching::UnderWay);
        Some((from, bytes_max))
    }

    /// What the store had from `from` on. Returns whether the store has to learn of a loss.
    pub(crate) fn handle_fetched(&mut self, from: Offset, pages: Vec<Page>) -> bool {
        self.pages.set_fetching(Fetching::Idle);
        for page in pages {
            let live = self.settled.unsettled_in(page.first, page.end);
            if let Some(record) = page.records.first() {
                self.publish_times.learn(record.offset, record.message.published_at());
            }
            if live > 0 && self.states.is_content_needed(page.first, page.end) {
                self.pages.insert(page, live);
            }
        }
        let is_lost = self.is_content_needed(from) && self.content(from).is_none();
        if is_lost {
            self.missing += 1;
            self.take_lost(from);
        }
        self.close_gap();
        is_lost
    }

    /// What was asked for from `from` on is damaged; whether an unsettled message stands there.
    pub(crate) fn handle_damaged(&mut self, from: Offset) -> bool {
        self.pages.set_fetching(Fetching::Idle);
        self.next_stored(from).is_some()
    }

    /// Gives up the content that it wanted and that the store was not asked for yet.
    pub(crate) fn stop_wanting(&mut self) {
        if matches!(self.pages.fetching(), Fetching::Wanted { .. }) {
            self.pages.set_fetching(Fetching::Idle);
        }
    }

    /// Drops content that was delivered and is in the store.
    pub(crate) fn drop_delivered_content(&mut self) {
        self.pages.drop_delivered(&self.states);
    }

    /// Drops content that is in the store until `bytes` are free; how many were freed.
    pub(crate) fn evict(&mut self, bytes: u64) -> u64 {
        self.pages.evict(bytes, &self.states)
    }

    fn new_page(&mut self, records: Vec<Record>) -> Option<Arc<Page>> {
        let (first, last) = (records.first()?.offset, records.last()?.offset);
        let bytes_before = self.settled.bytes_paged();
        let bytes = records.iter().map(|record| record.message.body().len() as u64).sum();
        self.settled.page(bytes);
        let live = records.len() as u64;
        let page = Arc::new(Page {
            first,
            end: last.next(),
            bytes_before,
            bytes_after: bytes_before + bytes,
            bounds: self.bounds.from(self.publish_times.at(self.settled.low())),
            records,
        });
        let dead = self.pages.put(&page, live);
        self.changes.dead_pages.extend(dead);
        Some(page)
    }

    /// The store does not have a message that it should have. How long its body was is known of a dead
    /// letter only; otherwise the level counts its bytes until it is empty.
    fn take_lost(&mut self, offset: Offset) {
        let size = self.states.unpark(offset).unwrap_or_else(|| self.states.remove_dead(offset));
        self.remove_at(offset, size);
    }

    fn is_content_needed(&self, offset: Offset) -> bool {
        if offset < self.states.cursor() {
            return self.states.is_content_needed_again(offset, offset.next());
        }
        self.next_live(offset) == Some(offset)
    }

    /// The lowest unsettled message not below `from` that stands in a page.
    fn next_stored(&self, from: Offset) -> Option<Offset> {
        Some(self.settled.next_unsettled(from)).filter(|offset| *offset < self.unwritten.first())
    }

    fn close_gap(&mut self) {
        let Some(mut gap) = self.pages.gap(self.states.cursor()) else { return };
        while let Some(offset) = self.next_stored(gap) {
            match self.pages.covered_to(offset) {
                Some(end) => gap = end,
                None => return self.pages.set_gap(Some(offset)),
            }
        }
        self.pages.set_gap(None);
    }
}
