//! Message groups (`x-message-group`): of each group one message at a time is delivered, in the order of the
//! queue, whatever the number of consumers; other groups go on meanwhile.
//!
//! From its first delivery until it is settled or a dead letter, a message *holds* its group: while it is
//! unacked, while it waits for a retry, and while it is ready again. Ready messages of a held group are looked at
//! once and then wait in memory behind it ([`GROUP_BLOCKED_MAX`](crate::limits::GROUP_BLOCKED_MAX)); when the group is free, the first of
//! them is one of those that are delivered next.

use super::Queue;
use super::clock_skew::Instants;
use super::level::PriorityLevel;
use crate::model::{Level, Message, Offset, Position};
use crate::trace::Happening;
use std::collections::BTreeMap;

/// The groups of a queue that a message holds.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By the hash of the group.
    holders: BTreeMap<u64, Position>,
}

impl Groups {
    /// How many groups are held.
    pub(super) fn held(&self) -> u64 {
        self.holders.len() as u64
    }
}

/// What is to be done with a ready message for the sake of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may be delivered.
    Its,
    /// It waits behind another one; its group.
    Later(u64),
}

impl Queue {
    /// Whether a ready message may be delivered, or another one of its group goes first.
    pub(super) fn turn_of(&self, priority: usize, offset: Offset, message: &Message) -> Turn {
        let Some(group) = self.group_of(message) else { return Turn::Its };
        match self.groups.holders.get(&group) {
            Some(holder) if *holder != position(priority, offset) => Turn::Later(group),
            _ => Turn::Its,
        }
    }

    /// The hash of the message's group; `None`: it belongs to none.
    pub(super) fn group_of(&self, message: &Message) -> Option<u64> {
        self.rules.group.as_ref()?.group_of(message)
    }

    /// A ready message waits behind another one of its group; whether there is room for it to wait.
    pub(super) fn block(
        &mut self,
        priority: usize,
        offset: Offset,
        group: u64,
        at: Instants,
    ) -> bool {
        if self.blocked() >= self.blocked_max {
            return false;
        }
        if let Some(level) = self.levels.get_mut(priority) {
            level.block(offset, group);
        }
        self.record(priority, offset, at, || Happening::HeldByGroup);
        true
    }

    /// How many ready messages wait behind others of their groups.
    pub(super) fn blocked(&self) -> u64 {
        self.levels.iter().map(PriorityLevel::blocked).sum()
    }

    /// A message is delivered: it holds its group.
    pub(super) fn hold_group(&mut self, priority: usize, offset: Offset, group: u64) {
        if let Some(level) = self.levels.get_mut(priority) {
            level.watch_group(offset, group);
        }
        self.groups.holders.insert(group, position(priority, offset));
    }

    /// Groups whose messages left go on with their next ones.
    pub(super) fn let_groups_go_on(&mut self) {
        if self.rules.group.is_none() {
            return;
        }
        for priority in 0..self.levels.len() {
            let Some(level) = self.levels.get_mut(priority).filter(|level| level.has_left()) else {
                continue;
            };
            for (offset, group) in level.take_left() {
                if self.groups.holders.get(&group) == Some(&position(priority, offset)) {
                    self.groups.holders.remove(&group);
                }
                if !self.groups.holders.contains_key(&group) {
                    let mut levels = self.levels.iter_mut().rev();
                    let _ = levels.any(|level| level.let_go(group));
                }
            }
        }
    }

    /// Whether a message left for which others of its group may wait.
    pub(crate) fn has_groups_to_go_on(&self) -> bool {
        self.rules.group.is_some() && self.levels.iter().any(PriorityLevel::has_left)
    }

    /// Messages name their groups elsewhere, or belong to none any more. What was delivered before holds no
    /// group.
    pub(super) fn forget_groups(&mut self) {
        self.groups = Groups::default();
        self.levels.iter_mut().for_each(PriorityLevel::forget_groups);
    }

    /// Takes the groups that messages of a level hold, as the store told.
    pub(super) fn recover_groups(&mut self, level: Level) {
        if self.rules.group.is_some() {
            let recovered = self.level_mut(level).recovered_groups(level);
            self.groups.holders.extend(recovered);
        }
    }
}

fn position(priority: usize, offset: Offset) -> Position {
    Position { level: Level(priority as u8), offset }
}
