//! A walk over the ready messages of a queue by its operator, who takes out some of them. Consumers
//! are not disturbed: nothing is delivered, and the order of what stays does not change.

use super::Queue;
use super::dispatch::Next;
use super::lane::Lane;
use crate::command::Run;
use crate::ids::{Lane as LaneId, Position};

impl Queue {
    /// What is ready now, the highest level first; with neighbours that are not.
    pub(crate) fn extent(&self) -> Vec<Run> {
        let lanes = self.lanes.iter().enumerate().rev();
        let runs = lanes.filter_map(|(level, lane)| {
            let (first, last) = lane.extent()?;
            Some(Run { lane: LaneId(level as u8), first, last })
        });
        runs.collect()
    }

    /// The first ready message of a run.
    pub(crate) fn first_ready_in(&self, run: Run) -> Next {
        let level = usize::from(run.lane.0);
        let Some(lane) = self.lanes.get(level) else { return Next::Empty };
        match lane.next_ready_from(run.first).filter(|offset| *offset <= run.last) {
            None => Next::Empty,
            Some(offset) => match lane.content(offset) {
                Some(message) => Next::Present { level, offset, message: message.clone() },
                None => Next::Absent { level, offset },
            },
        }
    }

    /// A ready message leaves with nobody having been sent it. Returns whether the store has to
    /// learn of it.
    pub(crate) fn withdraw(&mut self, position: Position, octets: u32) -> bool {
        let lane = self.lanes.get_mut(usize::from(position.lane.0));
        lane.is_some_and(|lane: &mut Lane| lane.withdraw(position.offset, octets))
    }
}
