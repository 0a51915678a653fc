//! Ready messages of a level that wait behind another one of their group, so that looking past them reads no
//! content again. Belongs to the [`super::message_states::MessageStates`].

use super::offset_set::OffsetSet;
use crate::model::Offset;
use std::collections::{BTreeMap, BTreeSet};

/// Messages with the hashes of their groups.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    groups: BTreeMap<Offset, u64>,
    /// Index of `groups`.
    by_group: BTreeSet<(u64, Offset)>,
    /// Index of `groups`.
    offsets: OffsetSet,
}

impl Blocked {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.groups.len() as u64
    }

    /// The offsets of all of them.
    pub(crate) fn offsets(&self) -> &OffsetSet {
        &self.offsets
    }

    /// Adds a message.
    pub(crate) fn insert(&mut self, offset: Offset, group: u64) {
        self.groups.insert(offset, group);
        self.by_group.insert((group, offset));
        self.offsets.insert(offset, offset);
    }

    /// Takes a message out; whether it was there.
    pub(crate) fn remove(&mut self, offset: Offset) -> bool {
        if self.groups.is_empty() {
            return false;
        }
        let Some(group) = self.groups.remove(&offset) else { return false };
        self.by_group.remove(&(group, offset));
        self.offsets.remove(offset, offset);
        true
    }

    /// The first message of a group.
    pub(crate) fn first_of(&self, group: u64) -> Option<Offset> {
        let (found, offset) = *self.by_group.range((group, Offset(0))..).next()?;
        (found == group).then_some(offset)
    }
}
