//! Unlinks tables of which nothing is needed: all their keys belong to pages below a watermark, to
//! levels that are drained, or to queues that are gone. Called by the reclaimer's thread.
//!
//! A table holds what one memtable held, of all queues. Whether it is needed can be told from its
//! first and last key as long as nothing in between is needed; what is needed only in part is left to
//! [`crate::reclaim::garbage`].

use crate::fjall::database::{Error, Space, TableRange};
use crate::fjall::shared::Shared;
use crate::limits::{FLUSH_INTERVAL, MERGE_WAIT};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Instant;

/// Unlinks what it finds, in steps between which commits go on. Says whether it found any.
pub(crate) fn unlink(shared: &Shared, is_ending: &dyn Fn() -> bool) -> Result<bool, Error> {
    let mut found = false;
    for space in [Space::Pages, Space::Bodies] {
        let mut tried = BTreeSet::new();
        while !is_ending() {
            wait_for_merges(shared, is_ending);
            let Some(table) = unlink_one(shared, space, &tried)? else { break };
            tried.insert(table.id);
            found = true;
        }
    }
    Ok(found)
}

/// Unlinks a table and all those within its range of keys.
///
/// IMPORTANT: no commit may come between the look at the levels and the drop: it could put a page into
/// the range, which a flush could bring into a table that is dropped with the others.
fn unlink_one(
    shared: &Shared,
    space: Space,
    tried: &BTreeSet<u64>,
) -> Result<Option<TableRange>, Error> {
    let tables = shared.database.tables(space);
    let may_be_dead = {
        let levels = shared.levels.read().unwrap_or_else(PoisonError::into_inner);
        let (dead, needed): (Vec<_>, Vec<_>) =
            tables.into_iter().partition(|table| levels.are_dead(space, &table.first, &table.last));
        let is_free = |table: &TableRange| {
            !needed.iter().any(|older| older.newest < table.newest && older.overlaps(table))
        };
        let may_go = |table: &&TableRange| {
            let mut gone = dead.iter().filter(|other| table.holds(other) && other.has_removals);
            !tried.contains(&table.id) && gone.all(is_free)
        };
        dead.iter().find(may_go).cloned()
    };
    let Some(table) = may_be_dead else { return Ok(None) };
    shared.while_nothing_is_written(|levels| {
        if levels.are_dead(space, &table.first, &table.last) {
            shared.database.drop_range(space, &table.first, &table.last)?;
        }
        Ok(())
    })?;
    Ok(Some(table))
}

/// A drop waits for fjall's merges, and commits must not wait with it.
fn wait_for_merges(shared: &Shared, is_ending: &dyn Fn() -> bool) {
    let began = Instant::now();
    while shared.database.is_merging() && began.elapsed() < MERGE_WAIT && !is_ending() {
        std::thread::sleep(FLUSH_INTERVAL);
    }
}
