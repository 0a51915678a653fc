//! Writes anew what is needed of tables, when that is little beside what they take: a few messages that
//! stay behind, such as dead letters, otherwise keep alive all tables that have neighbours of theirs.
//! Called by the reclaimer's thread.

use crate::fjall::database::{Error, Space};
use crate::fjall::shared::Shared;
use crate::fjall::view::View;
use crate::limits::{FLUSH_INTERVAL, REWRITE_BATCH_BYTES, REWRITE_BYTES_MAX};
use bytes::Bytes;
use forebay_engine::operation::Durability;
use std::path::Path;
use std::sync::PoisonError;

/// Gives back what a keyspace does not need, if that is at least so much more than could not be given
/// back the last time (`stuck`), and takes little.
pub(crate) fn collect(
    shared: &Shared,
    space: Space,
    garbage_min: u64,
    stuck: &mut u64,
    is_ending: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let database = &shared.database;
    let taken = database.disk_space(space);
    let Some(most) = taken.checked_sub(garbage_min + *stuck) else { return Ok(()) };
    let most = most.min(REWRITE_BYTES_MAX).min(room(&shared.database_path()));
    let Some(needed) = needed_bytes(shared, space, most)? else { return Ok(()) };
    merge(shared, space)?;
    // A file of bodies stays as a whole for one that is needed.
    if space == Space::Bodies && database.disk_space(space) >= needed + garbage_min {
        rewrite_bodies(shared, is_ending)?;
        database.rotate()?;
        while !database.is_flushed() && !is_ending() {
            database.check()?;
            std::thread::sleep(FLUSH_INTERVAL);
        }
        merge(shared, space)?;
    }
    let left = database.disk_space(space);
    // Counted again: more may have been written meanwhile.
    let needed = needed_bytes(shared, space, left)?.unwrap_or(left);
    *stuck = left.saturating_sub(needed);
    tracing::debug!(?space, taken, needed, left, "garbage is collected");
    Ok(())
}

fn merge(shared: &Shared, space: Space) -> Result<(), Error> {
    shared.database.merge(space)?;
    if shared.database.stale_bytes(space) > 0 {
        // Files of bodies that are not needed go with the merge after the one that finds out.
        shared.database.merge(space)?;
    }
    Ok(())
}

/// Bytes of the pages or bodies that may be needed; `None` when they are more than `most`.
fn needed_bytes(shared: &Shared, space: Space, most: u64) -> Result<Option<u64>, Error> {
    let view = shared.database.view();
    let mut bytes = 0;
    for (first, last) in needed(shared) {
        for size in view.sizes(space, &first, &last) {
            bytes += size?;
            if bytes > most {
                return Ok(None);
            }
        }
    }
    Ok(Some(bytes))
}

fn needed(shared: &Shared) -> Vec<(Bytes, Bytes)> {
    shared.levels.read().unwrap_or_else(PoisonError::into_inner).needed().collect()
}

/// Puts all bodies that are needed once more, under their keys.
fn rewrite_bodies(shared: &Shared, is_ending: &dyn Fn() -> bool) -> Result<(), Error> {
    for (first, last) in needed(shared) {
        let mut first = first;
        while !is_ending() {
            let batch = shared.while_nothing_is_written(|_| {
                let view = shared.database.view();
                let (bodies, next) = some_bodies(&view, &first, &last)?;
                let mut batch = shared.database.batch();
                for (key, body) in bodies {
                    batch.insert(Space::Bodies, key, body);
                }
                batch.commit(Durability::Written)?;
                Ok(next)
            })?;
            let Some(next) = batch else { break };
            first = next;
        }
    }
    Ok(())
}

/// What one batch takes of the bodies in a range, and where the next one begins.
#[allow(clippy::type_complexity, reason = "pairs of keys and bodies, as everywhere")]
fn some_bodies(
    view: &View,
    first: &[u8],
    last: &[u8],
) -> Result<(Vec<(Bytes, Bytes)>, Option<Bytes>), Error> {
    let (mut bodies, mut bytes) = (Vec::new(), 0);
    for item in view.range(Space::Bodies, first, last) {
        let (key, body) = item?;
        if bytes >= REWRITE_BATCH_BYTES {
            return Ok((bodies, Some(Bytes::copy_from_slice(&key))));
        }
        bytes += body.len();
        bodies.push((Bytes::copy_from_slice(&key), body));
    }
    Ok((bodies, None))
}

/// Bytes of the disk that this may take: half of what is free.
fn room(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |disk| disk.f_bavail * disk.f_frsize / 2)
}
