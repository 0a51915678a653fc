//! How deliveries end: by a settlement, or with their channel.

use super::clock_skew::Instants;
use super::level::PriorityLevel;
use super::message_states::Held;
use super::parking::Return;
use super::settled_state::Counts;
use super::{Queue, Timings};
use crate::credit::{ChannelSlot, HeldCount};
use crate::model::{
    Closure, DeathReason, Monotonic, Offset, OffsetRange, RequeueMethod, ReturnReason, Settle,
    Settlement,
};
use crate::trace::{Happening, ReturnCause};
use std::collections::BTreeSet;

/// How a channel ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelEnding {
    /// In good order, or not.
    pub(crate) closure: Closure,
    /// How many messages its connection held then, over all its channels.
    pub(crate) held: u64,
    /// The connection ended, and not the channel alone.
    pub(crate) is_connection: bool,
}

impl ChannelEnding {
    /// How messages come back by it.
    const fn cause(self) -> ReturnCause {
        match (self.closure, self.is_connection) {
            (Closure::ByClient, _) => ReturnCause::Returned,
            (Closure::ByBroker, _) => ReturnCause::Interrupted,
            (Closure::Failed, true) => ReturnCause::ConnectionLost,
            (Closure::Failed, false) => ReturnCause::ChannelFailed,
        }
    }
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
    /// Its connection was lost, or its channel closed for an error; the connection held others too.
    FailedInCompany,
    /// The broker ended the connection.
    Interrupted,
}

impl Ending {
    /// Why a delivery failed, and the wait in ms that its consumer asked for.
    const fn failure(self) -> (ReturnReason, Option<u64>) {
        match self {
            Self::Settled(Settlement::Requeue(RequeueMethod::Nack)) => (ReturnReason::Nacked, None),
            Self::Settled(Settlement::Retry(delay)) => (ReturnReason::Retried, Some(delay)),
            Self::Settled(_) => (ReturnReason::Rejected, None),
            _ => (ReturnReason::Lost, None),
        }
    }
}

impl Queue {
    /// Whether the channel has a delivery that it has not settled, overdue ones among them.
    pub(crate) fn is_held_by(&self, channel: ChannelSlot) -> bool {
        self.levels.iter().any(|level| level.is_held_by(channel))
    }

    /// Settles what `channel` holds.
    pub(crate) fn settle(
        &mut self,
        channel: ChannelSlot,
        settle: &Settle,
        at: Instants,
        timings: &mut Timings,
    ) -> Released {
        let mut released = Released::default();
        let ending = Ending::Settled(settle.settlement);
        for run in &settle.runs {
            let priority = usize::from(run.level.0);
            self.settle_overdue(channel, settle.settlement, *run, at, &mut released);
            let Some(level) = self.levels.get_mut(priority) else { continue };
            let mut ended = std::mem::take(&mut self.ended);
            level.end_deliveries(channel, *run, &mut ended);
            if settle.settlement == Settlement::Ack {
                note_done(level, &ended, at.monotonic, timings);
            }
            self.record_ended(priority, &ended, at, &Happening::of_settlement(settle.settlement));
            self.finish(priority, ending, ended, at, &mut released);
        }
        released
    }

    /// Channels of one connection ended: the messages that they held come back, with a failure or a return
    /// counted as the ending says.
    pub(crate) fn end_channels(
        &mut self,
        channels: &BTreeSet<ChannelSlot>,
        how: ChannelEnding,
        at: Instants,
    ) -> Released {
        let ChannelEnding { closure, held, .. } = how;
        self.pending_gets.retain(|get| !channels.contains(&get.slot));
        self.hung.retain(|(_, slot)| !channels.contains(slot));
        let mut released = Released::default();
        let ending = match closure {
            Closure::ByClient => Ending::Returned,
            Closure::ByBroker => Ending::Interrupted,
            Closure::Failed if held <= 1 => Ending::FailedAlone,
            Closure::Failed => Ending::FailedInCompany,
        };
        for priority in 0..self.levels.len() {
            let Some(level) = self.levels.get_mut(priority) else { continue };
            let mut ended = Vec::new();
            level.end_channels(channels, &mut ended);
            if closure == Closure::Failed && !ended.is_empty() {
                self.note_lost(at.monotonic);
            }
            self.record_ended(priority, &ended, at, &Happening::CameBack { cause: how.cause() });
            self.finish(priority, ending, ended, at, &mut released);
        }
        self.consumers.forget_cancelled(channels);
        released
    }

    /// Settles messages whose deliveries ended, requeues them or marks them dead, as `ending` says.
    fn finish(
        &mut self,
        priority: usize,
        ending: Ending,
        mut ended: Vec<(Offset, Held)>,
        at: Instants,
        released: &mut Released,
    ) {
        let count = ended.len() as u64;
        match ending {
            Ending::Settled(Settlement::Ack) => {
                self.counters.acked += count;
                self.note_held(&ended, at.monotonic);
                released.needs_commit |= self.settle_ended(priority, &ended);
            }
            Ending::Settled(Settlement::Reject) => {
                self.counters.acked += count;
                self.note_held(&ended, at.monotonic);
                released.needs_commit |= self.end_for(priority, &ended, DeathReason::Rejected, at);
            }
            Ending::Settled(Settlement::Recover) => {
                self.counters.recovered += count;
                released.needs_commit |= self.requeue_uncounted(priority, &ended);
            }
            Ending::Interrupted => {
                self.counters.abandoned += count;
                released.needs_commit |= self.requeue_uncounted(priority, &ended);
            }
            Ending::Returned => {
                self.counters.returned += count;
                released.needs_commit |= count > 0;
                ended.iter().for_each(|delivery| self.take_return(priority, *delivery, at));
            }
            Ending::Settled(Settlement::Requeue(_) | Settlement::Retry(_))
            | Ending::FailedAlone
            | Ending::FailedInCompany => {
                *self.failed_by(ending) += count;
                released.needs_commit |= count > 0;
                ended.iter().for_each(|delivery| self.fail(priority, *delivery, ending, at));
            }
        }
        released.count.all += count;
        for same in ended.chunk_by(|(_, a), (_, b)| a.consumer == b.consumer) {
            if let Some(consumer) = same.first().and_then(|(_, held)| held.consumer) {
                self.consumers.settled(consumer, same.len() as u64, at.monotonic);
                released.count.consumed += same.len() as u64;
            }
        }
        ended.clear();
        self.ended = ended;
    }

    /// Counts how long deliveries were held that their clients settled.
    fn note_held(&mut self, ended: &[(Offset, Held)], now: Monotonic) {
        for (_, held) in ended {
            self.counters.hold_times.observe(now.0.saturating_sub(held.delivered_at.0));
        }
    }

    /// What counts deliveries that failed this way.
    fn failed_by(&mut self, ending: Ending) -> &mut u64 {
        match ending {
            Ending::Settled(Settlement::Requeue(RequeueMethod::Nack) | Settlement::Retry(_)) => {
                &mut self.counters.nacked
            }
            Ending::Settled(_) => &mut self.counters.rejected,
            _ => &mut self.counters.abandoned,
        }
    }

    fn requeue_uncounted(&mut self, priority: usize, ended: &[(Offset, Held)]) -> bool {
        let level = self.levels.get_mut(priority);
        level.is_some_and(|level| level.requeue(ended, Counts::NONE))
    }

    /// A client returned a delivery in good order.
    fn take_return(&mut self, priority: usize, delivery: (Offset, Held), at: Instants) {
        let limit = self.rules.return_limit();
        let Some(level) = self.levels.get_mut(priority) else { return };
        if limit.is_some_and(|limit| level.returns(delivery.0) + 1 >= limit) {
            self.end_for(priority, &[delivery], DeathReason::DeliveryLimit, at);
        } else {
            let reason = ReturnReason::Returned;
            let how = Return { counts: Counts::RETURN, reason, delay: None };
            self.send_back(priority, delivery, how, at);
        }
    }

    /// A delivery failed. One that failed in company may have done so through another message: the
    /// failure that would be its last one only makes a suspect of it, which does not wait.
    fn fail(&mut self, priority: usize, delivery: (Offset, Held), ending: Ending, at: Instants) {
        let offset = delivery.0;
        let limit = self.rules.delivery_limit;
        let Some(level) = self.levels.get_mut(priority) else { return };
        let reaches_limit = limit.is_some_and(|limit| level.failures(offset) + 1 >= limit);
        match (reaches_limit, ending) {
            (false, _) => {
                let (reason, delay) = ending.failure();
                let how = Return { counts: Counts::FAILURE, reason, delay };
                self.send_back(priority, delivery, how, at);
            }
            (true, Ending::FailedInCompany) => {
                level.requeue(&[delivery], Counts::NONE);
                level.quarantine(offset);
                self.record(priority, offset, at, || Happening::Quarantined);
            }
            (true, _) => {
                self.end_for(priority, &[delivery], DeathReason::DeliveryLimit, at);
            }
        }
    }

    /// Messages become dead letters, or are settled when `reason` has no destination.
    fn end_for(
        &mut self,
        priority: usize,
        ended: &[(Offset, Held)],
        reason: DeathReason,
        at: Instants,
    ) -> bool {
        let is_dead_letter = self.rules.has_destination(reason);
        self.record_ended(priority, ended, at, &Happening::Died { reason, is_dead_letter });
        if !is_dead_letter {
            self.count_end(reason, ended.len() as u64);
            return self.settle_ended(priority, ended);
        }
        if let Some(level) = self.levels.get_mut(priority) {
            for (offset, held) in ended {
                level.mark_dead(*offset, reason, held.size);
            }
        }
        false
    }

    fn settle_ended(&mut self, priority: usize, ended: &[(Offset, Held)]) -> bool {
        let settled = ended.iter().map(|(offset, held)| (*offset, held.size));
        self.levels.get_mut(priority).is_some_and(|level| level.settle(settled))
    }

    /// Settlements of overdue deliveries: their credit returns. They count for the message only where it
    /// was not delivered again.
    fn settle_overdue(
        &mut self,
        channel: ChannelSlot,
        settlement: Settlement,
        run: OffsetRange,
        at: Instants,
        released: &mut Released,
    ) {
        let priority = usize::from(run.level.0);
        let Some(level) = self.levels.get_mut(priority) else { return };
        for (offset, late) in level.settle_overdue(channel, run) {
            released.count.all += 1;
            if let Some(consumer) = late.held.consumer {
                self.consumers.settled(consumer, 1, at.monotonic);
                released.count.consumed += 1;
            }
            let is_end = matches!(settlement, Settlement::Ack | Settlement::Reject);
            if !late.may_settle || !is_end {
                continue;
            }
            if let Some(level) = self.levels.get_mut(priority)
                && level.take_parked(offset).is_none()
            {
                level.take(offset);
            }
            self.counters.acked += 1;
            let ended = [(offset, late.held)];
            self.note_held(&ended, at.monotonic);
            let what = match settlement {
                Settlement::Reject => Happening::Rejected { is_late: true },
                _ => Happening::Acknowledged { is_late: true },
            };
            self.record_ended(priority, &ended, at, &what);
            released.needs_commit |= match settlement {
                Settlement::Reject => self.end_for(priority, &ended, DeathReason::Rejected, at),
                _ => self.settle_ended(priority, &ended),
            };
        }
    }
}

/// Notes how long acknowledged messages were held, and how often each had failed.
fn note_done(
    level: &PriorityLevel,
    ended: &[(Offset, Held)],
    now: Monotonic,
    timings: &mut Timings,
) {
    for (offset, held) in ended {
        timings.processed.observe(now.0.saturating_sub(held.delivered_at.0));
        timings.failures.observe(u64::from(level.failures(*offset)));
    }
}
