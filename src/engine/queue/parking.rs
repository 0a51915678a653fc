//! Messages that came back and wait for their next delivery (`x-delayed-retry-type`, `amq.forebay.retry`):
//! out of the way of those behind them, each at its own place when its wait is over.
//!
//! A parked message is neither ready nor unacked. It counts for the length of the queue, is purged with
//! it, and does not expire while it waits: when it is ready again it may have been too old for long, and
//! leaves then.

use super::Queue;
use super::clock_skew::Instants;
use super::delivery_pass::DeliveryPass;
use super::level::PriorityLevel;
use super::message_states::Held;
use super::retry_rule::jittered;
use super::settled_state::Counts;
use crate::limits::CLOCK_STEP_MS;
use crate::model::{DeathReason, Monotonic, Offset, Retry, ReturnReason, WallClock};
use crate::trace::Happening;

/// How a delivery came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    /// What it counts.
    pub(super) counts: Counts,
    pub(super) reason: ReturnReason,
    /// The wait that its consumer asked for, in ms; `None`: as the queue has it.
    pub(super) delay: Option<u64>,
}

impl Queue {
    /// How many messages wait.
    pub(crate) fn parked(&self) -> u64 {
        self.levels.iter().map(PriorityLevel::parked).sum()
    }

    /// In how many ms the first wait is over.
    pub(super) fn next_due(&self, now: Monotonic) -> Option<u64> {
        Some(self.parked_until?.0.saturating_sub(now.0))
    }

    /// A message whose delivery ended waits as the queue or its consumer has it, or is ready at once.
    pub(super) fn send_back(
        &mut self,
        priority: usize,
        delivery: (Offset, Held),
        how: Return,
        at: Instants,
    ) {
        let offset = delivery.0;
        let Some(level) = self.levels.get_mut(priority) else { return };
        let count = match how.reason {
            ReturnReason::Returned => level.returns(offset) + how.counts.returns,
            _ => level.failures(offset) + how.counts.failures,
        };
        let rule = self.rules.retry.filter(|rule| rule.applies(how.reason));
        let delay = how
            .delay
            .or_else(|| Some(jittered(rule?.delay(count), self.id, offset, count)))
            .filter(|delay| *delay > 0);
        let Some(delay) = delay else {
            level.requeue(&[delivery], how.counts);
            return;
        };
        let wait = delay.saturating_add(CLOCK_STEP_MS);
        let due = at.monotonic.plus(wait);
        let wall = WallClock(at.wall.0.saturating_add(wait));
        let size = delivery.1.size;
        let group = level.watched_group(offset);
        let retry = Retry { due: wall, delay, size, reason: how.reason, group };
        level.park(delivery, how.counts, due, retry);
        self.record(priority, offset, at, || Happening::Parked { until: wall, delay });
        self.parked_until = Some(self.parked_until.map_or(due, |other| other.min(due)));
        if self.parked() > self.parked_max {
            self.release_first(at);
        }
    }

    /// What is due is ready again.
    pub(super) fn release_due(&mut self, at: Instants) {
        if std::mem::take(&mut self.has_recovered_parked) {
            self.levels.iter_mut().for_each(|level| level.rebase_parked(at));
            self.note_first_due();
        }
        if self.parked_until.is_none_or(|until| until > at.monotonic) {
            return;
        }
        for priority in 0..self.levels.len() {
            while let Some(level) = self.levels.get_mut(priority)
                && let Some((_, offset)) = level.first_due().filter(|(due, _)| *due <= at.monotonic)
            {
                level.release(offset);
                self.record(priority, offset, at, || Happening::Ready);
            }
        }
        self.note_first_due();
    }

    /// A message that waits is dropped or becomes a dead letter, because the queue has more than it may.
    pub(super) fn drop_parked(
        &mut self,
        priority: usize,
        offset: Offset,
        at: Instants,
        pass: &mut DeliveryPass,
    ) {
        let has_destination = self.rules.has_destination(DeathReason::MaxLength);
        let Some(level) = self.levels.get_mut(priority) else { return };
        let Some(size) = level.take_parked(offset) else { return };
        if has_destination {
            level.mark_dead(offset, DeathReason::MaxLength, size);
            // It leaves in the next turn, for which its content may have to be read.
            pass.is_unfinished = true;
        } else {
            pass.needs_commit |= level.settle([(offset, size)]);
        }
        pass.depart();
        self.record_death(priority, offset, at, DeathReason::MaxLength);
        self.count_end(DeathReason::MaxLength, 1);
    }

    /// The first one of a level that waits and stands before all that are ready there; that of the highest
    /// level that has any message.
    pub(super) fn parked_front(&self) -> Option<(usize, Offset)> {
        let levels = self.levels.iter().enumerate().rev();
        let mut fronts =
            levels.map(|(priority, level)| (priority, level.first_parked(), level.first_ready()));
        let (priority, parked, ready) =
            fronts.find(|(_, parked, ready)| parked.is_some() || ready.is_some())?;
        let parked = parked.filter(|parked| ready.is_none_or(|ready| *parked < ready))?;
        Some((priority, parked))
    }

    fn release_first(&mut self, at: Instants) {
        let levels = self.levels.iter_mut().enumerate();
        let first =
            levels.filter_map(|(priority, level)| Some((level.first_due()?, priority, level)));
        if let Some(((_, offset), priority, level)) = first.min_by_key(|((due, _), ..)| *due) {
            level.release(offset);
            self.record(priority, offset, at, || Happening::Ready);
        }
        self.note_first_due();
    }

    fn note_first_due(&mut self) {
        let due = self.levels.iter().filter_map(|level| Some(level.first_due()?.0));
        self.parked_until = due.min();
    }
}
