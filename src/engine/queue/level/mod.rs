//! One priority level of a queue: its messages in the order of publication, their states, and which
//! of them are in memory. Belongs to a [`Queue`](crate::queue::Queue).
//!
//! A delivery changes [`MessageStates`] alone; what outlives the process is in [`SettledState`] and
//! in the pages.

mod content;
mod deliveries;
mod groups;
mod head;
mod order;
mod parked;
mod purge;
mod quarantine;

pub(crate) use head::{Head, MessageTimes};

use crate::credit::MemoryUse;
use crate::delivered_record::DeliveredRecord;
use crate::model::{Message, Offset, WallClock};
use crate::operation::RecoveredLevel;
use crate::page::ExpiryBounds;
use crate::queue::clock_skew::{ClockSkew, Instants};
use crate::queue::expiry_bounds::RunningBounds;
use crate::queue::message_states::MessageStates;
use crate::queue::overdue_deliveries::OverdueDeliveries;
use crate::queue::pages::Pages;
use crate::queue::publish_times::PublishTimes;
use crate::queue::quarantine::Quarantine;
use crate::queue::settled_state::SettledState;
use crate::queue::store_changes::StoreChanges;
use crate::queue::time_outs::TimeOuts;
use crate::queue::unwritten::Unwritten;
use crate::queue::volatile::Volatile;
use head::HeadTimes;
use std::collections::BTreeMap;

/// A priority level.
#[derive(Debug, Default)]
pub(crate) struct PriorityLevel {
    settled: SettledState,
    unwritten: Unwritten,
    pages: Pages,
    volatile: Volatile,
    states: MessageStates,
    quarantine: Quarantine,
    time_outs: TimeOuts,
    overdue: OverdueDeliveries,
    clock_skew: ClockSkew,
    publish_times: PublishTimes,
    head_times: HeadTimes,
    /// What is below was there when the queue had its last turn.
    seen_to: Offset,
    /// Some message may have a time to live of its own.
    has_expirations: bool,
    /// When the messages that are to be stored expire, for the next page.
    bounds: RunningBounds,
    /// When those expire that were there when the process began; `None`: that is not known.
    recovered_bounds: Option<ExpiryBounds>,
    /// What is below was there when the process began.
    recovered_to: Offset,
    /// What is below was delivered before the process began, or may have been.
    delivered_to: Offset,
    changes: StoreChanges,
    /// Messages that the store should have had and did not.
    missing: u64,
    /// The groups of messages whose end others may wait for.
    member_groups: BTreeMap<Offset, u64>,
    /// Those of them that left since the queue last asked.
    left: Vec<(Offset, u64)>,
}

impl PriorityLevel {
    /// The level that a store holds. `delivered`: what a process that ended in good order delivered.
    pub(crate) fn recover(recovered: &RecoveredLevel, delivered: Option<&DeliveredRecord>) -> Self {
        let log = SettledState::recover(recovered);
        let mut unwritten = Unwritten::default();
        unwritten.start_at(log.tail());
        Self {
            unwritten,
            pages: Pages::recovered(log.low()),
            states: parked::recovered_states(&log),
            recovered_to: log.tail(),
            delivered_to: match delivered {
                Some(delivered) => {
                    let delivered = delivered.levels.get(&(recovered.queue, recovered.level));
                    // What was not to be kept and stood at the tail has left no trace.
                    delivered.copied().unwrap_or_default().min(log.tail())
                }
                None => log.tail(),
            },
            changes: StoreChanges::recover(recovered),
            has_expirations: log.unsettled() > 0
                && recovered.bounds.is_none_or(|bounds| bounds.expiration_min.is_some()),
            bounds: RunningBounds::recovered(recovered.bounds, log.tail()),
            recovered_bounds: recovered.bounds,
            seen_to: log.tail(),
            settled: log,
            ..Self::default()
        }
    }

    /// Adds a message at the tail; `persist`: in the store. Returns where it stands.
    pub(crate) fn enqueue(&mut self, message: Message, persist: bool, at: Instants) -> Offset {
        let (tail, low, stamp) = (self.settled.tail(), self.settled.low(), message.published_at());
        self.clock_skew.note(tail, stamp, at, low);
        self.publish_times.note(tail, stamp, low);
        self.has_expirations |= message.expiration().is_some();
        if persist {
            let is_first = self.settled.unsettled() == 0;
            let offset = self.settled.append();
            self.bounds.note(offset, &message, is_first);
            self.unwritten.push(message);
            return offset;
        }
        let offset = self.settled.append_hole();
        if offset >= self.settled.low() {
            self.changes.changed(offset);
        }
        self.volatile.push(offset, message);
        self.unwritten.skip();
        offset
    }

    /// Messages to be delivered.
    pub(crate) fn ready(&self) -> u64 {
        self.settled.unsettled() + self.volatile.count() - self.states.unready()
    }

    /// Messages that are delivered, or dead and still here.
    pub(crate) fn unacked(&self) -> u64 {
        self.states.unready() - self.states.parked().count()
    }

    /// Messages that are delivered and not settled.
    pub(crate) fn in_flight(&self) -> u64 {
        self.states.in_flight()
    }

    /// Bytes of the bodies of all messages, delivered or not.
    pub(crate) fn bytes(&self) -> u64 {
        self.settled.bytes() + self.unwritten.body_bytes() + self.volatile.body_bytes()
    }

    /// Bytes of the bodies of messages to be delivered.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.bytes().saturating_sub(self.states.unready_bytes())
    }

    /// Adds what its messages take in memory.
    pub(crate) fn add_memory(&self, memory: &mut MemoryUse) {
        let borrowed = self.volatile.borrowed();
        memory.volatile += self.volatile.resident_bytes();
        memory.cached += self.pages.cached_cost();
        memory.unwritten += self.unwritten.bytes();
        memory.borrowed_messages += borrowed.messages;
        memory.borrowed_bytes += borrowed.bytes;
    }

    /// Copies what is in memory alone out of the buffers it was received in.
    pub(crate) fn copy_out(&mut self) {
        self.volatile.copy_out();
    }

    /// The messages that outlive the process, with their failures and returns.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<(Offset, u32, u32)> {
        let from = |offset| Some(self.settled.next_unsettled(offset));
        let live = |offset: &Offset| *offset < self.settled.tail();
        let mut kept = Vec::new();
        let mut next = from(self.settled.low()).filter(live);
        while let Some(offset) = next {
            kept.push((offset, self.failures(offset), self.returns(offset)));
            next = from(offset.next()).filter(live);
        }
        kept
    }

    /// Messages that the store should have had and did not.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// Its content, when that is in memory.
    pub(crate) fn content(&self, offset: Offset) -> Option<&Message> {
        self.unwritten
            .get(offset)
            .or_else(|| self.volatile.get(offset))
            .or_else(|| self.pages.get(offset))
    }

    /// Whether the message may have been delivered before.
    pub(crate) fn is_redelivered(&self, offset: Offset) -> bool {
        offset < self.delivered_to || self.states.was_delivered(offset)
    }

    /// From here on no message was ever delivered; `None` when that holds for every unsettled one.
    pub(crate) fn delivered_to(&self) -> Option<Offset> {
        Some(self.delivered_before())
            .filter(|to| self.settled.unsettled() > 0 && *to > self.settled.low())
    }

    /// Failed deliveries of a message so far.
    pub(crate) fn failures(&self, offset: Offset) -> u32 {
        self.settled.failures(offset)
    }

    /// Deliveries of a message so far that a client returned in good order.
    pub(crate) fn returns(&self, offset: Offset) -> u32 {
        self.settled.returns(offset)
    }

    /// Settles messages that left the order and are not delivered, ascending, with the bytes of their
    /// bodies. Returns whether the store has to learn of it.
    pub(crate) fn settle(&mut self, settled: impl IntoIterator<Item = (Offset, u32)>) -> bool {
        let fresh_from = self.unwritten.first();
        let mut run: Option<(Offset, Offset, u64)> = None;
        let mut needs_commit = false;
        for (offset, size) in settled {
            self.quarantine.forget(offset);
            self.time_outs.forget(offset);
            self.leave_group(offset);
            let is_fresh = offset >= fresh_from;
            if self.volatile.remove(offset) {
                self.settled.forget_counts(offset);
                continue;
            }
            needs_commit = true;
            let bytes = if is_fresh { 0 } else { u64::from(size) };
            if is_fresh {
                self.unwritten.remove(offset);
            }
            run = match run {
                Some((first, last, sum)) if last.next() == offset && fresh_from != offset => {
                    Some((first, offset, sum + bytes))
                }
                other => {
                    self.settle_run(other);
                    Some((offset, offset, bytes))
                }
            };
        }
        self.settle_run(run);
        self.tidy_when_empty();
        needs_commit
    }

    /// When, on the steady clock, a message was stamped.
    pub(crate) fn stamped(&self, offset: Offset, stamp: WallClock) -> i128 {
        self.clock_skew.stamped(offset, stamp)
    }

    /// When its time to live began: one from before the start can't have been published after it.
    pub(crate) fn ttl_start(&self, offset: Offset, stamp: WallClock, at: Instants) -> i128 {
        let stamped = self.stamped(offset, stamp);
        if offset < self.recovered_to { stamped.min(at.started) } else { stamped }
    }

    /// What is known of when a message expires that was there when the process began.
    pub(crate) fn recovered_bounds(&self, offset: Offset) -> Option<ExpiryBounds> {
        self.recovered_bounds.filter(|_| offset < self.recovered_to)
    }

    /// Whether some message may have a time to live of its own.
    pub(crate) fn has_expirations(&self) -> bool {
        self.has_expirations
    }

    /// Whether the message was there when the queue had its last turn.
    pub(crate) fn is_seen(&self, offset: Offset) -> bool {
        offset < self.seen_to
    }

    /// The queue had a turn in which each ready message was offered to consumers.
    pub(crate) fn see_all(&mut self) {
        self.seen_to = self.settled.tail();
    }

    fn delivered_before(&self) -> Offset {
        self.states.cursor().max(self.delivered_to)
    }

    fn settle_run(&mut self, run: Option<(Offset, Offset, u64)>) {
        let Some((first, last, bytes)) = run else { return };
        self.settled.settle(first, last, bytes);
        self.changes.changed_all(first.max(self.settled.low()), last.next());
        self.pages.settle(first, last, &mut self.changes.dead_pages);
    }

    fn tidy_when_empty(&mut self) {
        if self.settled.unsettled() == 0 {
            self.pages.settle_all(&mut self.changes.dead_pages);
            self.settled.settle_all_bytes();
        }
    }

    /// The lowest message not below `from` that is not settled.
    fn next_live(&self, from: Offset) -> Option<Offset> {
        let kept =
            Some(self.settled.next_unsettled(from)).filter(|offset| *offset < self.settled.tail());
        if self.volatile.is_empty() {
            return kept;
        }
        match (kept, self.volatile.next(from)) {
            (Some(kept), Some(volatile)) => Some(kept.min(volatile)),
            (kept, volatile) => kept.or(volatile),
        }
    }
}
