//! A walk over the ready messages of a queue by its operator, who takes out some of them. Consumers
//! are not disturbed: nothing is delivered, and the order of what stays does not change.

use super::Queue;
use super::delivery_pass::Next;
use super::level::PriorityLevel;
use crate::model::{Level, OffsetRange, Position};

impl Queue {
    /// What is ready now, the highest level first; with neighbours that are not.
    pub(crate) fn extent(&self) -> Vec<OffsetRange> {
        let levels = self.levels.iter().enumerate().rev();
        let runs = levels.filter_map(|(priority, level)| {
            let (first, last) = level.extent()?;
            Some(OffsetRange { level: Level(priority as u8), first, last })
        });
        runs.collect()
    }

    /// The first ready message of a run.
    pub(crate) fn first_ready_in(&self, run: OffsetRange) -> Next {
        let priority = usize::from(run.level.0);
        let Some(level) = self.levels.get(priority) else { return Next::Empty };
        match level.next_ready_from(run.first).filter(|offset| *offset <= run.last) {
            None => Next::Empty,
            Some(offset) => match level.content(offset) {
                Some(message) => Next::Present { priority, offset, message: message.clone() },
                None => Next::Absent { priority, offset },
            },
        }
    }

    /// A ready message leaves with nobody having been sent it. Returns whether the store has to
    /// learn of it.
    pub(crate) fn remove_at(&mut self, position: Position, bytes: u32) -> bool {
        let level = self.levels.get_mut(usize::from(position.level.0));
        level.is_some_and(|level: &mut PriorityLevel| level.remove_at(position.offset, bytes))
    }
}
