//! The groups of a level's messages: which messages keep others of their group back, and which are kept
//! back. Whose turn it is in a group that has messages in several levels, the queue decides.

use super::PriorityLevel;
use crate::model::{Level, Offset, Position};
use std::collections::BTreeMap;

impl PriorityLevel {
    /// How many ready messages wait behind others of their groups.
    pub(crate) fn blocked(&self) -> u64 {
        self.states.blocked()
    }

    /// A ready message waits behind another one of its group.
    pub(crate) fn block(&mut self, offset: Offset, group: u64) {
        self.states.block(offset, group);
        self.member_groups.remove(&offset);
    }

    /// The first message of a group that waits behind others is one of those that are delivered next. Whether
    /// there is any.
    pub(crate) fn let_go(&mut self, group: u64) -> bool {
        let Some(offset) = self.states.let_go(group) else { return false };
        self.member_groups.insert(offset, group);
        true
    }

    /// The end of the message is to be told: others of its group may wait for it.
    pub(crate) fn watch_group(&mut self, offset: Offset, group: u64) {
        self.member_groups.insert(offset, group);
    }

    /// The group of a message whose end is to be told.
    pub(crate) fn watched_group(&self, offset: Offset) -> Option<u64> {
        if self.member_groups.is_empty() {
            return None;
        }
        self.member_groups.get(&offset).copied()
    }

    /// Takes the messages with their groups that left since, or became dead letters.
    pub(crate) fn take_left(&mut self) -> Vec<(Offset, u64)> {
        std::mem::take(&mut self.left)
    }

    /// Whether [`Self::take_left`] has any.
    pub(crate) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Nothing is known of groups any more: what waited behind others is one of those that are delivered next.
    pub(crate) fn forget_groups(&mut self) {
        self.states.let_all_go();
        self.member_groups.clear();
        self.left.clear();
    }

    /// The groups that messages of the level keep back, as the store told.
    pub(crate) fn recovered_groups(&mut self, level: Level) -> BTreeMap<u64, Position> {
        let parked = self.settled.retries();
        let groups: Vec<_> =
            parked.filter_map(|(offset, retry)| Some((offset, retry.group?))).collect();
        self.member_groups.extend(groups.iter().copied());
        groups.into_iter().map(|(offset, group)| (group, Position { level, offset })).collect()
    }

    /// A message leaves, or becomes a dead letter.
    pub(super) fn leave_group(&mut self, offset: Offset) {
        if !self.member_groups.is_empty()
            && let Some(group) = self.member_groups.remove(&offset)
        {
            self.left.push((offset, group));
        }
    }
}
