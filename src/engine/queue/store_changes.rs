//! What the store knows of a level, and what it has to be told with the next commit. Belongs to a
//! [`super::level::PriorityLevel`].

use super::settled_state::SettledState;
use crate::model::{Level, Offset, QueueId};
use crate::operation::{BLOCK_OFFSETS, Operation, RecoveredLevel, Watermark};
use std::collections::BTreeSet;

/// The store's side of a level.
#[derive(Debug, Default)]
pub(crate) struct StoreChanges {
    watermark: Watermark,
    blocks: BTreeSet<u64>,
    changed_blocks: BTreeSet<u64>,
    /// Pages of which nothing is left.
    pub(crate) dead_pages: Vec<Offset>,
}

impl StoreChanges {
    /// As the store has it.
    pub(crate) fn recover(recovered: &RecoveredLevel) -> Self {
        Self {
            watermark: recovered.watermark,
            blocks: recovered.blocks.iter().map(|(number, _)| *number).collect(),
            ..Self::default()
        }
    }

    /// What is known of `offset` changed.
    pub(crate) fn changed(&mut self, offset: Offset) {
        self.changed_blocks.insert(offset.0 / BLOCK_OFFSETS);
    }

    /// What is known of `first..end` changed.
    pub(crate) fn changed_all(&mut self, first: Offset, end: Offset) {
        if first < end {
            self.changed_blocks.extend(first.0 / BLOCK_OFFSETS..=(end.0 - 1) / BLOCK_OFFSETS);
        }
    }

    /// Adds to `operations` what changed.
    pub(crate) fn put_changes(
        &mut self,
        log: &SettledState,
        queue: QueueId,
        level: Level,
        operations: &mut Vec<Operation>,
    ) {
        let low_block = log.low().0 / BLOCK_OFFSETS;
        while let Some(&block) = self.blocks.first().filter(|block| **block < low_block) {
            self.blocks.remove(&block);
            operations.push(Operation::RemoveBlock { queue, level, block });
        }
        for block in std::mem::take(&mut self.changed_blocks) {
            if let Some(content) = log.block(block) {
                self.blocks.insert(block);
                operations.push(Operation::PutBlock { queue, level, block, content });
            } else if self.blocks.remove(&block) {
                operations.push(Operation::RemoveBlock { queue, level, block });
            }
        }
        let watermark = log.watermark();
        if watermark != self.watermark {
            self.watermark = watermark;
            operations.push(Operation::PutWatermark { queue, level, watermark });
        }
    }

    /// Adds to `operations` the removal of dead pages.
    pub(crate) fn remove_pages(
        &mut self,
        queue: QueueId,
        level: Level,
        operations: &mut Vec<Operation>,
    ) {
        let dead = self.dead_pages.drain(..);
        operations.extend(dead.map(|first| Operation::RemovePage { queue, level, first }));
    }
}
