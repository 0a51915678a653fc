//! A walk over messages of a queue by its operator, who may take out some that are ready. Consumers
//! are not disturbed: nothing is delivered, and the order of what stays does not change.

use super::Queue;
use super::delivery_pass::Next;
use super::level::PriorityLevel;
use crate::browse::{BrowseAction, Shown};
use crate::model::{Level, Message, Monotonic, Offset, OffsetRange, Position};

impl Queue {
    /// What is there to be browsed now, the highest level first; with neighbours that are not.
    pub(crate) fn extent(&self, action: BrowseAction) -> Vec<OffsetRange> {
        let levels = self.levels.iter().enumerate().rev();
        let runs = levels.filter_map(|(priority, level)| {
            let (first, last) = match action {
                BrowseAction::ShowParked => level.parked_extent()?,
                _ => level.extent()?,
            };
            Some(OffsetRange { level: Level(priority as u8), first, last })
        });
        runs.collect()
    }

    /// The first message of a run that is to be browsed.
    pub(crate) fn first_browsed_in(&self, run: OffsetRange, action: BrowseAction) -> Next {
        let priority = usize::from(run.level.0);
        let Some(level) = self.levels.get(priority) else { return Next::Empty };
        let next = match action {
            BrowseAction::ShowParked => level.next_parked_from(run.first),
            _ => level.next_ready_from(run.first),
        };
        match next.filter(|offset| *offset <= run.last) {
            None => Next::Empty,
            Some(offset) => match level.content(offset) {
                Some(message) => Next::Present { priority, offset, message: message.clone() },
                None => Next::Absent { priority, offset },
            },
        }
    }

    /// Asks for the content of a message that is to be browsed. Returns whether the store has to be asked
    /// because of it.
    pub(crate) fn want_browsed(&mut self, priority: usize, offset: Offset) -> bool {
        let Some(level) = self.levels.get_mut(priority) else { return false };
        match level.due(offset) {
            Some(_) => level.want_parked(offset),
            None => level.want(offset),
        }
    }

    /// No content is wanted any more for the sake of an operator.
    pub(crate) fn stop_browsing(&mut self) {
        self.levels.iter_mut().for_each(PriorityLevel::stop_looking);
    }

    /// A message as an operator sees it.
    pub(crate) fn show(&self, position: Position, message: Message, now: Monotonic) -> Shown {
        let level = self.levels.get(usize::from(position.level.0));
        let due = level.and_then(|level| level.due(position.offset));
        Shown {
            position,
            message,
            failures: level.map_or(0, |level| level.failures(position.offset)),
            returns: level.map_or(0, |level| level.returns(position.offset)),
            retry: level.and_then(|level| level.retry(position.offset)),
            due_in: due.map(|due| due.0.saturating_sub(now.0)),
        }
    }

    /// A ready message leaves with nobody having been sent it. Returns whether the store has to
    /// learn of it.
    pub(crate) fn remove_at(&mut self, position: Position, bytes: u32) -> bool {
        let level = self.levels.get_mut(usize::from(position.level.0));
        level.is_some_and(|level: &mut PriorityLevel| level.remove_at(position.offset, bytes))
    }
}
