//! The bounds of work and of memory that a test's shard has: those of a broker, or such small ones that
//! few messages cross them. They must make no difference to what clients see.

use crate::shard::{MemoryLimits, WorkLimits};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) work: WorkLimits,
    pub(super) memory: MemoryLimits,
}

pub(super) fn work_limits() -> impl Strategy<Value = WorkLimits> {
    let turns = (1usize..4, 1usize..4, 1usize..3, 1usize..6, 1usize..3);
    let slices = (1usize..4, 1usize..3, 1usize..4, 1usize..3);
    let few = (turns, slices).prop_map(|(turns, slices)| {
        let (deliveries_max, departures_max, dead_letters_max, work_max, work_behind_max) = turns;
        let (removals_max, removals_behind_max, discarded_max, discarded_behind_max) = slices;
        WorkLimits {
            deliveries_max,
            departures_max,
            dead_letters_max,
            work_max,
            work_behind_max,
            removals_max,
            removals_behind_max,
            discarded_max,
            discarded_behind_max,
        }
    });
    prop_oneof![3 => few, 1 => Just(WorkLimits::DEFAULT)]
}

/// Any bounds of work; of memory that of what the store has too, which is read again when it is needed.
pub(super) fn bounds() -> impl Strategy<Value = Bounds> {
    let cached = prop_oneof![Just(None), (0u64..2_000).prop_map(Some)];
    (work_limits(), cached).prop_map(|(work, cached)| {
        let default = MemoryLimits::default();
        let memory = MemoryLimits { cached: cached.unwrap_or(default.cached), ..default };
        Bounds { work, memory }
    })
}
