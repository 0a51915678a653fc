//! How deliveries end: settled by their channel, or by its end.

use super::dead_letter::DeathReason;
use super::in_flight::Held;
use super::level::PriorityLevel;
use super::settled_state::Counts;
use super::{Queue, Timings};
use crate::credit::{ChannelSlot, HeldCount};
use crate::model::{Closure, Monotonic, Offset, OffsetRange, RequeueMethod, Settle, Settlement};

/// How a channel ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelEnding {
    /// In good order, or not.
    pub(crate) closure: Closure,
    /// How many messages its connection held then, over all its channels.
    pub(crate) held: u64,
}

/// What a settlement or a channel's end brought about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Released {
    /// Messages that are no longer unacked.
    pub(crate) count: HeldCount,
    /// Whether the store has to learn of it.
    pub(crate) needs_commit: bool,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its channel said so.
    Settled(Settlement),
    /// Its client gave it back, closing in good order.
    Returned,
    /// Its connection was lost, or its channel closed for an error; the connection held nothing else.
    FailedAlone,
    /// The same; the connection held others too.
    FailedInCompany,
    /// The broker ended the connection.
    Interrupted,
}

impl Queue {
    /// Whether the channel holds any of its messages, or still owes the settlement of one.
    pub(crate) fn is_held_by(&self, channel: ChannelSlot) -> bool {
        self.levels.iter().any(|level| level.is_held_by(channel))
    }

    /// Settles what `channel` holds.
    pub(crate) fn settle(
        &mut self,
        channel: ChannelSlot,
        settle: &Settle,
        now: Monotonic,
        timings: &mut Timings,
    ) -> Released {
        let mut released = Released::default();
        let ending = Ending::Settled(settle.settlement);
        for run in &settle.runs {
            let priority = usize::from(run.level.0);
            self.settle_overdue(channel, settle.settlement, *run, now, &mut released);
            let Some(level) = self.levels.get_mut(priority) else { continue };
            let mut taken = std::mem::take(&mut self.taken);
            level.release(channel, *run, &mut taken);
            if settle.settlement == Settlement::Ack {
                note_done(level, &taken, now, timings);
            }
            self.finish(priority, ending, taken, now, &mut released);
        }
        released
    }

    /// A channel ended: what it held returns, and counts for what the end says of it.
    pub(crate) fn release_all(
        &mut self,
        channel: ChannelSlot,
        ChannelEnding { closure, held }: ChannelEnding,
        now: Monotonic,
    ) -> Released {
        self.pending_gets.retain(|get| get.slot != channel);
        self.hung.retain(|(_, slot)| *slot != channel);
        let mut released = Released::default();
        let ending = match closure {
            Closure::ByClient => Ending::Returned,
            Closure::ByBroker => Ending::Interrupted,
            Closure::Failed if held <= 1 => Ending::FailedAlone,
            Closure::Failed => Ending::FailedInCompany,
        };
        for priority in 0..self.levels.len() {
            let Some(level) = self.levels.get_mut(priority) else { continue };
            let mut taken = Vec::new();
            level.release_all(channel, &mut taken);
            level.forget_overdue(channel);
            if closure == Closure::Failed && !taken.is_empty() {
                self.note_lost(now);
            }
            self.finish(priority, ending, taken, now, &mut released);
        }
        released
    }

    /// Ends deliveries that were taken out of flight.
    fn finish(
        &mut self,
        priority: usize,
        ending: Ending,
        mut taken: Vec<(Offset, Held)>,
        now: Monotonic,
        released: &mut Released,
    ) {
        let count = taken.len() as u64;
        match ending {
            Ending::Settled(Settlement::Ack) => {
                self.counters.acked += count;
                released.needs_commit |= self.settle_taken(priority, &taken);
            }
            Ending::Settled(Settlement::Reject) => {
                self.counters.acked += count;
                released.needs_commit |= self.end_for(priority, &taken, DeathReason::Rejected);
            }
            Ending::Settled(Settlement::Recover) => {
                self.counters.recovered += count;
                self.requeue_uncounted(priority, &taken);
            }
            Ending::Interrupted => {
                self.counters.abandoned += count;
                self.requeue_uncounted(priority, &taken);
            }
            Ending::Returned => {
                self.counters.returned += count;
                released.needs_commit |= count > 0;
                taken.iter().for_each(|delivery| self.take_return(priority, *delivery));
            }
            Ending::Settled(Settlement::Requeue(_))
            | Ending::FailedAlone
            | Ending::FailedInCompany => {
                *self.failed_by(ending) += count;
                released.needs_commit |= count > 0;
                let is_certain = ending != Ending::FailedInCompany;
                taken.iter().for_each(|delivery| self.fail(priority, *delivery, is_certain));
            }
        }
        released.count.all += count;
        for same in taken.chunk_by(|(_, a), (_, b)| a.consumer == b.consumer) {
            if let Some(consumer) = same.first().and_then(|(_, held)| held.consumer) {
                self.consumers.settled(consumer, same.len() as u64, now);
                released.count.consumed += same.len() as u64;
            }
        }
        taken.clear();
        self.taken = taken;
    }

    /// What counts deliveries that failed this way.
    fn failed_by(&mut self, ending: Ending) -> &mut u64 {
        match ending {
            Ending::Settled(Settlement::Requeue(RequeueMethod::Nack)) => &mut self.counters.nacked,
            Ending::Settled(_) => &mut self.counters.rejected,
            _ => &mut self.counters.abandoned,
        }
    }

    fn requeue_uncounted(&mut self, priority: usize, taken: &[(Offset, Held)]) {
        if let Some(level) = self.levels.get_mut(priority) {
            level.requeue(taken, Counts::NONE);
        }
    }

    /// A client returned a delivery in good order.
    fn take_return(&mut self, priority: usize, delivery: (Offset, Held)) {
        let limit = self.rules.return_limit();
        let Some(level) = self.levels.get_mut(priority) else { return };
        if limit.is_some_and(|limit| level.returns(delivery.0) + 1 >= limit) {
            self.end_for(priority, &[delivery], DeathReason::DeliveryLimit);
        } else {
            level.requeue(&[delivery], Counts::RETURN);
        }
    }

    /// A delivery failed; `is_certain`: through this very message.
    fn fail(&mut self, priority: usize, delivery: (Offset, Held), is_certain: bool) {
        let offset = delivery.0;
        let limit = self.rules.delivery_limit;
        let Some(level) = self.levels.get_mut(priority) else { return };
        let is_last = limit.is_some_and(|limit| level.failures(offset) + 1 >= limit);
        match (is_last, is_certain) {
            (false, _) => level.requeue(&[delivery], Counts::FAILURE),
            (true, false) => {
                level.requeue(&[delivery], Counts::NONE);
                level.quarantine(offset);
            }
            (true, true) => {
                self.end_for(priority, &[delivery], DeathReason::DeliveryLimit);
            }
        }
    }

    /// Messages end as dead letters, or are dropped when there is no place for such.
    fn end_for(&mut self, priority: usize, taken: &[(Offset, Held)], reason: DeathReason) -> bool {
        if !self.rules.has_destination(reason) {
            self.count_end(reason, taken.len() as u64);
            return self.settle_taken(priority, taken);
        }
        if let Some(level) = self.levels.get_mut(priority) {
            for (offset, held) in taken {
                level.mark_dead(*offset, reason, held.size);
            }
        }
        false
    }

    fn settle_taken(&mut self, priority: usize, taken: &[(Offset, Held)]) -> bool {
        let settled = taken.iter().map(|(offset, held)| (*offset, held.size));
        self.levels.get_mut(priority).is_some_and(|level| level.settle(settled))
    }

    /// Settlements of deliveries that were taken back: credit returns; they count only where
    /// nobody else was given the message.
    fn settle_overdue(
        &mut self,
        channel: ChannelSlot,
        settlement: Settlement,
        run: OffsetRange,
        now: Monotonic,
        released: &mut Released,
    ) {
        let priority = usize::from(run.level.0);
        let Some(level) = self.levels.get_mut(priority) else { return };
        for (offset, late) in level.settle_overdue(channel, run) {
            released.count.all += 1;
            if let Some(consumer) = late.held.consumer {
                self.consumers.settled(consumer, 1, now);
                released.count.consumed += 1;
            }
            let is_end = matches!(settlement, Settlement::Ack | Settlement::Reject);
            if !late.is_last || !is_end {
                continue;
            }
            if let Some(level) = self.levels.get_mut(priority) {
                level.take(offset);
            }
            self.counters.acked += 1;
            let taken = [(offset, late.held)];
            released.needs_commit |= match settlement {
                Settlement::Reject => self.end_for(priority, &taken, DeathReason::Rejected),
                _ => self.settle_taken(priority, &taken),
            };
        }
    }
}

/// Messages are done: how long did it take, and how often did it fail?
fn note_done(
    level: &PriorityLevel,
    taken: &[(Offset, Held)],
    now: Monotonic,
    timings: &mut Timings,
) {
    for (offset, held) in taken {
        timings.processed.observe(now.0.saturating_sub(held.delivered_at.0));
        timings.failures.observe(u64::from(level.failures(*offset)));
    }
}
