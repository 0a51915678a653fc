//! Reads that meet damage: they are told from those of what is not needed any more, named with queue
//! and file, and noted for the next start.

use crate::damage::Damage;
use crate::damage_notes::{DamageNote, DamageNotes, DamagedRead};
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::database::Space;
use crate::fjall::fjall_failure;
use crate::fjall::levels::Levels;
use crate::fjall::reading::LevelReader;
use crate::fjall::recovery;
use crate::fjall::shared::Shared;
use crate::fjall::view::View;
use crate::format::key;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::DamagedQueue;
use forebay_engine::page::Page;
use std::sync::PoisonError;

/// Looks for the damage that is noted, and forgets what can be read again or is gone. Gives the queues
/// of which a read still meets damage.
///
/// # Errors
/// When a file is damaged that fjall's own threads would meet again.
pub(crate) fn look_for_noted_damage(
    directory: &DataDirectory,
    view: &View,
    levels: &Levels,
) -> Result<(DamageNotes, Vec<DamagedQueue>), StoreError> {
    let failed = |error| StoreError::failed("look into its data directory", error);
    let mut notes = DamageNotes::read(directory.damage_notes()).map_err(failed)?;
    let mut damaged = Vec::new();
    let mut still_there = Vec::new();
    for note in notes.iter() {
        match note {
            DamageNote::Read(DamagedRead { queue, level, from, bytes_max }) => {
                let state = levels.get(*queue, *level);
                let reader = LevelReader { view, queue: *queue, level: *level };
                match state.map(|state| reader.read(state, *from, *bytes_max)) {
                    Some(Err(error @ StoreError::Damaged(_))) => {
                        damaged.push(recovery::damaged_queue(*queue, error, view));
                        still_there.push(note.clone());
                        continue;
                    }
                    read => drop(read.transpose()?),
                }
            }
            DamageNote::File(file) => {
                if fjall_failure::is_damaged(&directory.database(), file).map_err(failed)? {
                    let what = "does not match its checksum; a compaction of it ended the broker";
                    let (file, what) = (Some(file.clone()), what.to_owned());
                    return Err(Damage { file, what, ..Damage::default() }.into());
                }
            }
        }
        tracing::info!(%note, "what was damaged when it was met last can be read now, or is gone");
    }
    notes.retain(|note| still_there.contains(note)).map_err(failed)?;
    Ok((notes, damaged))
}

impl Shared {
    /// The pages of a level, unless it is gone.
    pub(crate) fn read(
        &self,
        queue: QueueId,
        level: Level,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Option<Vec<Page>>, StoreError> {
        let state = || self.levels.read().unwrap_or_else(PoisonError::into_inner).get(queue, level);
        loop {
            // The view first: of a queue that is there afterwards nothing has been removed before.
            let view = self.database.view();
            let Some(before) = state() else { return Ok(None) };
            let reader = LevelReader { view: &view, queue, level };
            let error = match reader.read(before, from, bytes_max) {
                Ok(pages) => return Ok(Some(pages)),
                Err(error) => error,
            };
            // What was dropped or settled meanwhile may be damaged, or half removed.
            match state() {
                None => return Ok(None),
                Some(now) if now.watermark.low > before.watermark.low.max(from) => continue,
                Some(_) => {}
            }
            let error = recovery::named(self.with_file(queue, level, error), &view);
            let read = DamagedRead { queue, level, from, bytes_max };
            self.note_damage(DamageNote::Read(read), &error);
            return Err(error);
        }
    }

    /// Names the file that is damaged, where it can be found out.
    fn with_file(&self, queue: QueueId, level: Level, error: StoreError) -> StoreError {
        let StoreError::Damaged(mut damage) = error else { return error };
        let first = key::page(queue, level, Offset(0));
        let last = key::page(queue, level, Offset(u64::MAX));
        let tables = self.database.tables(Space::Pages).into_iter();
        let of_level = tables.filter(|table| table.first <= last && first <= table.last);
        let of_level = of_level.map(|table| table.id).collect();
        let file = fjall_failure::damaged_file(&self.database_path(), &of_level);
        damage.file = damage.file.or(file);
        StoreError::Damaged(damage)
    }

    /// For the next start: see [`DamageNotes`].
    pub(crate) fn note_damage(&self, note: DamageNote, error: &StoreError) {
        if !matches!(error, StoreError::Damaged(_)) {
            return;
        }
        let mut notes = self.damage_notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(failure) = notes.add(note, error) {
            // The next broker meets the damage as this one did.
            tracing::warn!(%failure, "can't note what is damaged");
        }
    }
}
