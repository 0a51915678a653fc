//! How deliveries end: settled by their channel, or by its end.

use super::dead::DeathReason;
use super::in_flight::Held;
use super::lane::Lane;
use super::log::Counts;
use super::{Queue, Timings};
use crate::command::{Closure, Refusal, Run, Settle, Settlement};
use crate::ids::Offset;
use crate::shard::clients::{ChannelSlot, HeldCount};
use crate::time::Monotonic;

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
    pub(crate) is_stored: bool,
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
        self.lanes.iter().any(|lane| lane.is_held_by(channel))
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
            let level = usize::from(run.lane.0);
            self.settle_late(channel, settle.settlement, *run, now, &mut released);
            let Some(lane) = self.lanes.get_mut(level) else { continue };
            let mut taken = std::mem::take(&mut self.taken);
            lane.release(channel, *run, &mut taken);
            if settle.settlement == Settlement::Ack {
                note_done(lane, &taken, now, timings);
            }
            self.finish(level, ending, taken, now, &mut released);
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
        for level in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(level) else { continue };
            let mut taken = Vec::new();
            lane.release_all(channel, &mut taken);
            lane.forget_late(channel);
            if closure == Closure::Failed && !taken.is_empty() {
                self.note_lost(now);
            }
            self.finish(level, ending, taken, now, &mut released);
        }
        released
    }

    /// Ends deliveries that were taken out of flight.
    fn finish(
        &mut self,
        level: usize,
        ending: Ending,
        mut taken: Vec<(Offset, Held)>,
        now: Monotonic,
        released: &mut Released,
    ) {
        let count = taken.len() as u64;
        match ending {
            Ending::Settled(Settlement::Ack) => {
                self.counters.acked += count;
                released.is_stored |= self.settle_taken(level, &taken);
            }
            Ending::Settled(Settlement::Reject) => {
                self.counters.acked += count;
                released.is_stored |= self.end_for(level, &taken, DeathReason::Rejected);
            }
            Ending::Settled(Settlement::Recover) => {
                self.counters.recovered += count;
                self.give_back_uncounted(level, &taken);
            }
            Ending::Interrupted => {
                self.counters.abandoned += count;
                self.give_back_uncounted(level, &taken);
            }
            Ending::Returned => {
                self.counters.returned += count;
                released.is_stored |= count > 0;
                taken.iter().for_each(|delivery| self.take_return(level, *delivery));
            }
            Ending::Settled(Settlement::Requeue(_))
            | Ending::FailedAlone
            | Ending::FailedInCompany => {
                *self.failed_by(ending) += count;
                released.is_stored |= count > 0;
                let is_certain = ending != Ending::FailedInCompany;
                taken.iter().for_each(|delivery| self.fail(level, *delivery, is_certain));
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
            Ending::Settled(Settlement::Requeue(Refusal::Nack)) => &mut self.counters.nacked,
            Ending::Settled(_) => &mut self.counters.rejected,
            _ => &mut self.counters.abandoned,
        }
    }

    fn give_back_uncounted(&mut self, level: usize, taken: &[(Offset, Held)]) {
        if let Some(lane) = self.lanes.get_mut(level) {
            lane.give_back(taken, Counts::NONE);
        }
    }

    /// A client returned a delivery in good order.
    fn take_return(&mut self, level: usize, delivery: (Offset, Held)) {
        let limit = self.rules.return_limit();
        let Some(lane) = self.lanes.get_mut(level) else { return };
        if limit.is_some_and(|limit| lane.returns(delivery.0) + 1 >= limit) {
            self.end_for(level, &[delivery], DeathReason::DeliveryLimit);
        } else {
            lane.give_back(&[delivery], Counts::RETURN);
        }
    }

    /// A delivery failed; `is_certain`: through this very message.
    fn fail(&mut self, level: usize, delivery: (Offset, Held), is_certain: bool) {
        let offset = delivery.0;
        let limit = self.rules.delivery_limit;
        let Some(lane) = self.lanes.get_mut(level) else { return };
        let is_last = limit.is_some_and(|limit| lane.failures(offset) + 1 >= limit);
        match (is_last, is_certain) {
            (false, _) => lane.give_back(&[delivery], Counts::FAILURE),
            (true, false) => {
                lane.give_back(&[delivery], Counts::NONE);
                lane.quarantine(offset);
            }
            (true, true) => {
                self.end_for(level, &[delivery], DeathReason::DeliveryLimit);
            }
        }
    }

    /// Messages end as dead letters, or are dropped when there is no place for such.
    fn end_for(&mut self, level: usize, taken: &[(Offset, Held)], reason: DeathReason) -> bool {
        if !self.rules.has_destination(reason) {
            self.count_end(reason, taken.len() as u64);
            return self.settle_taken(level, taken);
        }
        if let Some(lane) = self.lanes.get_mut(level) {
            for (offset, held) in taken {
                lane.condemn(*offset, reason, held.size);
            }
        }
        false
    }

    fn settle_taken(&mut self, level: usize, taken: &[(Offset, Held)]) -> bool {
        let settled = taken.iter().map(|(offset, held)| (*offset, held.size));
        self.lanes.get_mut(level).is_some_and(|lane| lane.settle(settled))
    }

    /// Settlements of deliveries that were taken back: credit returns; they count only where
    /// nobody else was given the message.
    fn settle_late(
        &mut self,
        channel: ChannelSlot,
        settlement: Settlement,
        run: Run,
        now: Monotonic,
        released: &mut Released,
    ) {
        let level = usize::from(run.lane.0);
        let Some(lane) = self.lanes.get_mut(level) else { return };
        for (offset, late) in lane.release_late(channel, run) {
            released.count.all += 1;
            if let Some(consumer) = late.held.consumer {
                self.consumers.settled(consumer, 1, now);
                released.count.consumed += 1;
            }
            let is_end = matches!(settlement, Settlement::Ack | Settlement::Reject);
            if !late.is_last || !is_end {
                continue;
            }
            if let Some(lane) = self.lanes.get_mut(level) {
                lane.take(offset);
            }
            self.counters.acked += 1;
            let taken = [(offset, late.held)];
            released.is_stored |= match settlement {
                Settlement::Reject => self.end_for(level, &taken, DeathReason::Rejected),
                _ => self.settle_taken(level, &taken),
            };
        }
    }
}

/// Messages are done: how long did it take, and how often did it fail?
fn note_done(lane: &Lane, taken: &[(Offset, Held)], now: Monotonic, timings: &mut Timings) {
    for (offset, held) in taken {
        timings.processed.observe(now.0.saturating_sub(held.delivered_at.0));
        timings.failures.observe(u64::from(lane.failures(*offset)));
    }
}
