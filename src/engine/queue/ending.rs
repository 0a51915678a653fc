//! How deliveries end: settled by their channel, or by its death.
//!
//! Poison isolation: when a channel dies with several messages unacked, one of them may have killed
//! it and the others are bystanders. Each counts a failed delivery, but the failure that would make
//! a dead letter of a message is not held against it in company: it becomes a suspect, which is
//! delivered only to a channel that holds nothing else and is sent nothing else until it is
//! settled. A channel that dies then has named the culprit. While no channel is empty, what is
//! behind the suspects goes first, and one channel is set aside until it is.

use super::dead::DeathReason;
use super::in_flight::Held;
use super::lane::Lane;
use super::{Queue, Timings};
use crate::command::{Refusal, Run, Settle, Settlement};
use crate::ids::Offset;
use crate::shard::clients::ChannelSlot;
use crate::time::Monotonic;

/// What a settlement or a channel's end brought about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Released {
    /// Messages of consumers that are no longer unacked.
    pub(crate) consumed: u64,
    /// Whether the store has to learn of it.
    pub(crate) is_stored: bool,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its channel said so.
    Settled(Settlement),
    /// Its channel died and held nothing else.
    DiedAlone,
    /// Its channel died and held others too.
    DiedInCompany,
}

impl Queue {
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

    /// A channel ended whose consumers held `unacked` messages of all queues together: what it
    /// held returns, counted as failed deliveries.
    pub(crate) fn release_all(
        &mut self,
        channel: ChannelSlot,
        unacked: u64,
        now: Monotonic,
    ) -> Released {
        self.pending_gets.retain(|get| get.slot != channel);
        let mut released = Released::default();
        let mut by_lane = Vec::new();
        for (level, lane) in self.lanes.iter_mut().enumerate() {
            let mut taken = Vec::new();
            lane.release_all(channel, &mut taken);
            lane.forget_late(channel);
            by_lane.push((level, taken));
        }
        let count: usize = by_lane.iter().map(|(_, taken)| taken.len()).sum();
        let is_alone = count == 1 && unacked <= 1;
        let ending = if is_alone { Ending::DiedAlone } else { Ending::DiedInCompany };
        for (level, taken) in by_lane {
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
                if let Some(lane) = self.lanes.get_mut(level) {
                    lane.give_back(&taken, false);
                }
            }
            Ending::Settled(Settlement::Requeue(_)) | Ending::DiedAlone | Ending::DiedInCompany => {
                *self.returned_by(ending) += count;
                released.is_stored |= count > 0;
                let is_certain = ending != Ending::DiedInCompany;
                taken.iter().for_each(|delivery| self.fail(level, *delivery, is_certain));
            }
        }
        for same in taken.chunk_by(|(_, a), (_, b)| a.consumer == b.consumer) {
            if let Some(consumer) = same.first().and_then(|(_, held)| held.consumer) {
                self.consumers.settled(consumer, same.len() as u64, now);
                released.consumed += same.len() as u64;
            }
        }
        taken.clear();
        self.taken = taken;
    }

    /// What counts deliveries that came back this way.
    fn returned_by(&mut self, ending: Ending) -> &mut u64 {
        match ending {
            Ending::Settled(Settlement::Requeue(Refusal::Nack)) => &mut self.counters.nacked,
            Ending::Settled(_) => &mut self.counters.rejected,
            Ending::DiedAlone | Ending::DiedInCompany => &mut self.counters.abandoned,
        }
    }

    /// A delivery failed; `is_certain`: through this very message.
    fn fail(&mut self, level: usize, delivery: (Offset, Held), is_certain: bool) {
        let offset = delivery.0;
        let limit = self.rules.delivery_limit;
        let Some(lane) = self.lanes.get_mut(level) else { return };
        let is_last = limit.is_some_and(|limit| lane.failures(offset) + 1 >= limit);
        match (is_last, is_certain) {
            (false, _) => lane.give_back(&[delivery], true),
            (true, false) => {
                lane.give_back(&[delivery], false);
                lane.suspect(offset);
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
            if let Some(consumer) = late.held.consumer {
                self.consumers.settled(consumer, 1, now);
                released.consumed += 1;
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
