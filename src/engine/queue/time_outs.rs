//! Messages of a level all of whose failures were time-outs on one connection: it may be the client
//! that hangs, whatever it is given. Belongs to a [`super::level::PriorityLevel`]; kept in memory alone.

use crate::model::{ConnectionId, Offset};
use std::collections::BTreeMap;

/// By message: the one connection that failed it, and how often.
#[derive(Debug, Default)]
pub(crate) struct TimeOuts {
    of_one: BTreeMap<Offset, (ConnectionId, u32)>,
}

impl TimeOuts {
    /// A connection let a message time out that had failed so often before. Whether no other
    /// connection ever failed it, as far as is known.
    pub(crate) fn note(
        &mut self,
        offset: Offset,
        connection: ConnectionId,
        failures_before: u32,
    ) -> bool {
        let (one, count) = self.of_one.get(&offset).copied().unwrap_or((connection, 0));
        let is_one = one == connection && count == failures_before;
        if is_one {
            self.of_one.insert(offset, (connection, count + 1));
        } else {
            self.of_one.remove(&offset);
        }
        is_one
    }

    /// The time-out that was just noted was not counted as a failure.
    pub(crate) fn uncount(&mut self, offset: Offset) {
        if let Some((_, count)) = self.of_one.get_mut(&offset) {
            *count -= 1;
        }
    }

    /// The message is gone.
    pub(crate) fn forget(&mut self, offset: Offset) {
        if !self.of_one.is_empty() {
            self.of_one.remove(&offset);
        }
    }

    /// All messages are gone but those that are `kept`.
    pub(crate) fn retain(&mut self, kept: impl Fn(Offset) -> bool) {
        self.of_one.retain(|offset, _| kept(*offset));
    }
}
