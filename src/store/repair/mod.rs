//! Going on after a loss: a new database is made of everything that can still be read, and takes the
//! old one's place. What is damaged is put aside and never deleted.
//!
//! Killed at any moment it can be run again: until the new database is complete the old one is not
//! touched, and from then on only names change.

pub(crate) mod salvage;
pub(crate) mod settled_blocks;

use crate::check::level_survey::{Hole, LevelSurvey};
use crate::check::survey::{Survey, SurveySink};
use crate::check::verify::{Count, ReadProgress, Surveyed, Verification, survey_of};
use crate::creation;
use crate::damage::Damage;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::database::{Database, Space};
use crate::fjall::levels::Span;
use crate::fjall::recovery;
use crate::fjall::shared_bodies;
use crate::format::ack_value::{self, LevelRecord};
use crate::format::checksummed;
use crate::format::delayed_value;
use crate::format::high_water::HighWater;
use crate::format::key::{self, AckKind};
use crate::format::progress::{MessagesPut, Progress};
use crate::lag_histories::{self, LagHistories};
use crate::limits::PAGE_SIZE_MAX;
use crate::repair::settled_blocks::blocks;
use bytes::Bytes;
use forebay_engine::model::{Level, QueueId};
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Durability};
use forebay_engine::topology::{self, RemovedRecord, RenamedQueue};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const REPORT_FILE: &str = "REPORT.txt";

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What is kept now, and, as its damages, what was damaged and what is lost.
    pub kept: Verification,
    /// Where the files are as they were; nothing when nothing was damaged.
    pub damaged_files: Option<PathBuf>,
}

/// Makes a damaged data directory usable again with everything that can still be read. Messages
/// that are lost count as settled. The files as they were are kept aside, with a report. Takes as
/// much room on the disk as the data. A directory without damage is left as it is.
///
/// # Errors
/// When there is no data directory at this path, when it is in use or can't be written. What was
/// there is kept in all cases.
pub fn repair_accepting_loss(
    path: impl AsRef<Path>,
    mut watch: impl FnMut(ReadProgress),
) -> Result<Repair, StoreError> {
    let directory = DataDirectory::existing(path.as_ref())?;
    // What is lost here, the other nodes have: a new node gets it from them.
    directory.expect_single()?;
    if directory.is_repair_interrupted() {
        return resume(&directory, watch);
    }
    for leftover in [directory.building(), directory.repaired()] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(failed)?;
        }
    }
    let watch = &mut watch;
    let found = survey_of(&directory, |bytes_total| {
        Ok(Count { progress: ReadProgress { bytes: 0, bytes_total }, watch: &mut *watch })
    })?;
    let kept = Verification::of(&found.survey);
    if kept.damages.is_empty() {
        return Ok(Repair { kept, damaged_files: None });
    }
    let aside = aside(&directory).map_err(failed)?;
    if kept.damages.iter().all(|damage| is_of_the_mark(damage) || is_of_lag(damage)) {
        report(&aside, &kept).map_err(failed)?;
        set_lag_aside(&directory, &aside).map_err(failed)?;
        if kept.damages.iter().any(is_of_the_mark) {
            renew_mark(&directory, &aside, found.survey.progress)?;
        }
        return Ok(Repair { kept, damaged_files: Some(aside) });
    }
    let found = survey_of(&directory, |bytes_total| {
        let building = directory.building();
        creation::create_database(&building).map_err(recovery::failed)?;
        let target = Database::open(&building).map_err(recovery::failed)?;
        let progress = ReadProgress { bytes: 0, bytes_total };
        Ok(Copy { target, watch, progress, items: Vec::new(), bytes: 0 })
    })?;
    let (survey, progress) = complete(found)?;
    let kept = Verification::of(&survey);
    report(&aside, &kept).map_err(failed)?;
    set_lag_aside(&directory, &aside).map_err(failed)?;
    fs::rename(directory.building(), directory.repaired()).map_err(failed)?;
    directory.sync().map_err(failed)?;
    put_in_place(&directory, &aside, progress)?;
    Ok(Repair { kept, damaged_files: Some(aside) })
}

/// Whether it is a lag history that is damaged.
fn is_of_lag(damage: &Damage) -> bool {
    damage.file.as_deref().is_some_and(lag_histories::is_one)
}

/// Puts damaged files of lag histories aside; what can be read of them stays.
fn set_lag_aside(directory: &DataDirectory, aside: &Path) -> io::Result<()> {
    let histories = LagHistories::of(directory.path());
    let files = histories.read()?;
    let mut damaged = files.iter().filter(|file| !file.damaged.is_empty());
    damaged.try_for_each(|file| histories.set_aside(file, &aside.join("lag")))
}

/// Whether it is the high-water mark that is damaged.
fn is_of_the_mark(damage: &Damage) -> bool {
    damage.file.as_deref() == Some(Path::new("HIGH-WATER"))
}

/// Puts the old database aside and the new one in its place.
fn put_in_place(
    directory: &DataDirectory,
    aside: &Path,
    progress: Progress,
) -> Result<(), StoreError> {
    if directory.database().exists() {
        fs::rename(directory.database(), aside.join("fjall")).map_err(failed)?;
    }
    fs::rename(directory.repaired(), directory.database()).map_err(failed)?;
    renew_mark(directory, aside, progress)
}

/// Puts the high-water mark aside, and a new one in its place.
fn renew_mark(
    directory: &DataDirectory,
    aside: &Path,
    progress: Progress,
) -> Result<(), StoreError> {
    let mark = directory.high_water();
    if mark.exists() && !aside.join("HIGH-WATER").exists() {
        fs::copy(&mark, aside.join("HIGH-WATER")).map_err(failed)?;
    }
    let new_mark = mark.with_extension("new");
    if new_mark.exists() {
        fs::remove_file(&new_mark).map_err(failed)?;
    }
    let messages = progress.put.map_or(0, MessagesPut::after);
    HighWater::open(&new_mark, true)?.raise(progress.synced, messages).map_err(failed)?;
    File::open(&new_mark).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(new_mark, mark).map_err(failed)?;
    File::open(aside).and_then(|directory| directory.sync_all()).map_err(failed)?;
    directory.sync().map_err(failed)
}

/// Finishes a repair that was killed when everything was made and not all of it in place.
fn resume(
    directory: &DataDirectory,
    watch: impl FnMut(ReadProgress),
) -> Result<Repair, StoreError> {
    let aside = aside(directory).map_err(failed)?;
    let progress = {
        let database = Database::open(&directory.repaired()).map_err(recovery::failed)?;
        let key = key::progress();
        let value = database.view().get(Space::Meta, &key).map_err(recovery::failed)?;
        value.and_then(|value| Progress::decode(&key, &value).ok()).unwrap_or_default()
    };
    put_in_place(directory, &aside, progress)?;
    let found = survey_of(directory, |bytes_total| {
        Ok(Count { progress: ReadProgress { bytes: 0, bytes_total }, watch })
    })?;
    let mut kept = Verification::of(&found.survey);
    let report = fs::read_to_string(aside.join(REPORT_FILE)).unwrap_or_default();
    let lines = report.lines().map(|line| Damage { what: line.to_owned(), ..Damage::default() });
    kept.damages.extend(lines);
    Ok(Repair { kept, damaged_files: Some(aside) })
}

/// The last directory for what is damaged, when nothing was put into it yet, or a new one.
fn aside(directory: &DataDirectory) -> io::Result<PathBuf> {
    let path = |number: u32| directory.path().join(format!("damaged-{number}"));
    let next = (1..).find(|number| !path(*number).exists()).unwrap_or(u32::MAX);
    let last = path(next.saturating_sub(1));
    let is_empty = !["fjall", "HIGH-WATER", "lag"].iter().any(|entry| last.join(entry).exists());
    let is_unused = last.is_dir() && (is_empty || directory.is_repair_interrupted());
    if is_unused {
        return Ok(last);
    }
    fs::create_dir(path(next))?;
    Ok(path(next))
}

fn report(aside: &Path, kept: &Verification) -> io::Result<()> {
    let mut file = File::create(aside.join(REPORT_FILE))?;
    for damage in &kept.damages {
        writeln!(file, "{damage}")?;
    }
    file.sync_all()
}

fn failed(error: io::Error) -> StoreError {
    StoreError::failed("repair its data directory", error)
}

/// Copies what is whole in batches.
struct Copy<F> {
    target: Database,
    watch: F,
    progress: ReadProgress,
    items: Vec<(Space, Bytes, Bytes)>,
    bytes: usize,
}

impl<F: FnMut(ReadProgress)> SurveySink for Copy<F> {
    fn keep(&mut self, space: Space, key: Bytes, value: Bytes) -> Result<(), StoreError> {
        self.bytes += key.len() + value.len();
        self.items.push((space, key, value));
        if self.bytes >= PAGE_SIZE_MAX { self.flush(Durability::Written) } else { Ok(()) }
    }

    fn has_read(&mut self, bytes: u64) {
        if bytes > 0 {
            self.progress.bytes += bytes;
            (self.watch)(self.progress);
        }
    }
}

impl<F> Copy<F> {
    fn flush(&mut self, durability: Durability) -> Result<(), StoreError> {
        self.bytes = 0;
        let mut batch = self.target.batch();
        for (space, key, value) in self.items.drain(..) {
            batch.insert(space, key, value);
        }
        batch.commit(durability).map_err(recovery::failed)
    }
}

/// Writes what the pages and records that were copied need beside them.
fn complete<F: FnMut(ReadProgress)>(
    found: Surveyed<Copy<F>>,
) -> Result<(Survey, Progress), StoreError> {
    let Surveyed { mut survey, synced, sink: mut copy } = found;
    for ((queue, level), found) in &survey.levels {
        for (key, value) in settled_level(*queue, *level, found) {
            copy.keep(Space::Acks, key, value)?;
        }
    }
    for (queue, clock, state) in survey.delayed.states() {
        let key = key::delayed_state(queue, clock);
        let value = delayed_value::encode_state(&key, state);
        copy.keep(Space::Meta, key, value)?;
    }
    for (id, messages) in survey.shared.used() {
        let key = key::body_count(id);
        let value = shared_bodies::encode_count(&key, messages);
        copy.keep(Space::Meta, key, value)?;
    }
    // A key may stand in a batch once: the next ones replace some that were copied.
    copy.flush(Durability::Written)?;
    mend_topology(&mut survey, &mut copy)?;
    let mut batch = copy.target.batch();
    for id in survey.shared.unused() {
        batch.remove(Space::Bodies, key::shared_body(id));
    }
    batch.commit(Durability::Written).map_err(recovery::failed)?;
    let number = survey.progress.applied.max(synced) + 1;
    let progress = Progress { applied: number, synced: number, ..Progress::NONE };
    let key = key::progress();
    copy.keep(Space::Meta, key.clone(), progress.encode(&key))?;
    copy.flush(Durability::Synced)?;
    Ok((survey, progress))
}

/// Adds records that are needed and lost, and takes those away that make no sense without others that
/// are lost. Queues with messages stay.
fn mend_topology<F: FnMut(ReadProgress)>(
    survey: &mut Survey,
    copy: &mut Copy<F>,
) -> Result<(), StoreError> {
    if !survey.is_topology_damaged {
        return Ok(());
    }
    let levels = survey.levels.keys().map(|(queue, _)| *queue);
    let queues: BTreeSet<QueueId> = levels.chain(survey.delayed.queues()).collect();
    let known = survey.names.keys().chain(&survey.dropped).chain(&queues);
    let highest = known.max().copied().unwrap_or_default();
    let has_messages = |queue: &QueueId| {
        let mut levels = survey.levels.range((*queue, Level(0))..=(*queue, Level(u8::MAX)));
        levels.any(|(_, level)| level.messages > 0) || survey.delayed.has_messages(*queue)
    };
    let with_messages: BTreeSet<QueueId> =
        queues.iter().copied().filter(|queue| has_messages(queue)).collect();
    let mending = topology::mend(&survey.records, highest, &with_messages);
    let mut batch = copy.target.batch();
    for RemovedRecord { key, what, flaw } in mending.removed {
        let what = format!("the record {what} is dropped, {flaw}");
        survey.damages.push(Damage { what, ..Damage::default() });
        batch.remove(Space::Meta, key::record(&key));
    }
    for (key, value) in mending.put {
        let key = key::record(&key);
        let value = checksummed::seal(&key, &value);
        batch.insert(Space::Meta, key, value);
    }
    batch.commit(Durability::Written).map_err(recovery::failed)?;
    for RenamedQueue { queue, vhost, name, before } in mending.renamed {
        let what = match before {
            None => format!(
                "the record of queue id {queue} is lost; its messages are in {name} in vhost '{vhost}'"
            ),
            Some((before, flaw)) => format!(
                "the record of queue id {queue}, '{before}' in vhost '{vhost}', can't stay, {flaw}; its \
                 messages are in {name}"
            ),
        };
        survey.damages.push(Damage { what, ..Damage::default() });
    }
    Ok(())
}

/// The settled state of a level in which lost messages count as settled.
fn settled_level(queue: QueueId, level: Level, found: &LevelSurvey) -> Vec<(Bytes, Bytes)> {
    let mut watermark = found.settled.watermark;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut counts: BTreeMap<u64, Block> = BTreeMap::new();
    for (number, block) in &found.settled.blocks {
        let start = number * BLOCK_OFFSETS;
        let settled = block.settled.iter();
        runs.extend(
            settled.map(|(first, last)| (start + u64::from(*first), start + u64::from(*last) + 1)),
        );
        counts.insert(*number, block.clone());
    }
    if let Some(first) = found.settled_unknown_below() {
        runs.push((0, first.0));
    }
    for (offset, bytes) in &found.bodiless {
        runs.push((offset.0, offset.0 + 1));
        watermark.bytes_settled += bytes;
    }
    for Hole { first, end, bytes } in found.holes() {
        runs.push((first.0, end.0));
        watermark.bytes_settled += bytes;
    }
    runs.sort_unstable();
    let (watermark, blocks) = blocks(watermark, &runs, counts);
    let ack = |kind| key::ack(queue, level, kind);
    let mut items = Vec::new();
    let key = ack(AckKind::Watermark);
    items.push((key.clone(), ack_value::encode_watermark(&key, watermark)));
    if let Some(Span(span)) = found.span {
        let key = ack(AckKind::Level);
        let record = LevelRecord { span, end: found.end() };
        items.push((key.clone(), ack_value::encode_level(&key, record)));
    }
    for (number, block) in blocks {
        let key = ack(AckKind::Block(number));
        items.push((key.clone(), ack_value::encode_block(&key, &block)));
    }
    items
}
