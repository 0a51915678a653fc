//! Checking a data directory that no broker has open, and going on after a loss.

use crate::ack_value;
use crate::data_directory::DataDirectory;
use crate::database::{Database, Error, Space};
use crate::error::{Damage, StoreError};
use crate::high_water::HighWater;
use crate::journal_check;
use crate::key::{self, AckKind};
use crate::limits::PAGE_SIZE_MAX;
use crate::opening;
use crate::progress::Progress;
use crate::survey::{Count, Keeper, LaneSurvey, Survey, survey};
use bytes::Bytes;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::operation::{BLOCK_OFFSETS, Block, Durability, Watermark};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a data directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Topology records.
    pub records: u64,
    /// Lanes of queues.
    pub lanes: u64,
    /// Pages that can be read.
    pub pages: u64,
    /// Messages in them, settled ones included.
    pub messages: u64,
    /// Octets of these messages.
    pub octets: u64,
    /// What is damaged or missing, as exactly as can be told.
    pub damages: Vec<Damage>,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What is kept now, and, as its damages, what is lost.
    pub kept: Verification,
    /// Where the files are as they were.
    pub damaged_files: PathBuf,
}

/// Reads everything in a data directory and checks it. Changes nothing but a torn tail of the
/// journal, as any start does.
///
/// # Errors
/// When the directory can't be opened: then the error says what is damaged.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, StoreError> {
    let directory = DataDirectory::open(path.as_ref())?;
    let opened = opening::open(&directory)?;
    let found = survey(&opened.database.view(), &mut Count).map_err(unreadable)?;
    Ok(verification(&found))
}

/// Makes a damaged data directory usable again with everything that can still be read. Messages
/// that are lost count as settled. The files as they were are kept aside.
///
/// # Errors
/// When the directory is in use or can't be written; when the tables' manifest is damaged, so that
/// only a backup helps. What was there is kept in all cases.
pub fn repair_accepting_loss(path: impl AsRef<Path>) -> Result<Repair, StoreError> {
    let failed = |error: io::Error| StoreError::failed("repair its data directory", error);
    let directory = DataDirectory::open(path.as_ref())?;
    let aside = free_name(directory.path()).map_err(failed)?;
    fs::create_dir(&aside).map_err(failed)?;
    let (old, new) = (directory.database(), directory.path().join("fjall.new"));
    let mut damages = salvage_journals(&old, &aside).map_err(failed)?;
    if new.try_exists().map_err(failed)? {
        fs::remove_dir_all(&new).map_err(failed)?;
    }
    let mark = directory.high_water();
    let synced = HighWater::open(&mark, true).map_or(0, |mark| mark.synced());
    // Before fjall sees them: there are manifests at which it panics, in a destructor too.
    opening::check_manifests(&old).map_err(|error| {
        Damage::elsewhere(format!("its tables can't be opened, only a backup helps: {error}"))
    })?;
    let (found, progress) = {
        let source = Database::open(&old).map_err(|error| {
            Damage::elsewhere(format!("its tables can't be opened, only a backup helps: {error}"))
        })?;
        let target = Database::open(&new).map_err(unreadable)?;
        rebuild(&source, &target, synced).map_err(unreadable)?
    };
    fs::rename(&old, aside.join("fjall")).map_err(failed)?;
    fs::rename(&new, &old).map_err(failed)?;
    if mark.try_exists().map_err(failed)? {
        fs::rename(&mark, aside.join("HIGH-WATER")).map_err(failed)?;
    }
    HighWater::open(&mark, true)?.raise(progress.synced).map_err(failed)?;
    let mut kept = verification(&found);
    damages.append(&mut kept.damages);
    kept.damages = damages;
    Ok(Repair { kept, damaged_files: aside })
}

fn unreadable(error: Error) -> StoreError {
    crate::recovery::failed(error)
}

fn verification(survey: &Survey) -> Verification {
    let lanes = survey.lanes.values();
    Verification {
        records: survey.records,
        lanes: survey.lanes.len() as u64,
        pages: lanes.clone().map(|lane| lane.extents.len() as u64).sum(),
        messages: lanes.clone().map(|lane| lane.messages).sum(),
        octets: lanes.map(|lane| lane.octets).sum(),
        damages: survey.damages.clone(),
    }
}

fn free_name(directory: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = directory.join(format!("damaged-{number}"));
        if !path.try_exists()? {
            return Ok(path);
        }
        number += 1;
    }
}

/// Leaves only whole batches in the journals; the broken ones go aside.
fn salvage_journals(database: &Path, aside: &Path) -> io::Result<Vec<Damage>> {
    let mut damages = Vec::new();
    for path in journal_check::journals(database)? {
        if let Some((whole, what)) = journal_check::salvage(&path)? {
            let name = path.file_name().unwrap_or_default();
            fs::copy(&path, aside.join(name))?;
            fs::write(&path, whole)?;
            let what = format!("journal {}: {what}", name.to_string_lossy());
            damages.push(Damage { lane: None, offsets: None, what });
        }
    }
    Ok(damages)
}

/// Copies what is whole in batches.
struct Copy<'a> {
    target: &'a Database,
    items: Vec<(Space, Bytes, Bytes)>,
    octets: usize,
}

impl Keeper for Copy<'_> {
    fn keep(&mut self, space: Space, key: Bytes, value: Bytes) -> Result<(), Error> {
        self.octets += key.len() + value.len();
        self.items.push((space, key, value));
        if self.octets >= PAGE_SIZE_MAX { self.flush(Durability::Written) } else { Ok(()) }
    }
}

impl Copy<'_> {
    fn flush(&mut self, durability: Durability) -> Result<(), Error> {
        self.octets = 0;
        let mut batch = self.target.batch();
        for (space, key, value) in self.items.drain(..) {
            batch.insert(space, key, value);
        }
        batch.commit(durability)
    }
}

fn rebuild(source: &Database, target: &Database, synced: u64) -> Result<(Survey, Progress), Error> {
    let view = source.view();
    let mut copy = Copy { target, items: Vec::new(), octets: 0 };
    let mut survey = survey(&view, &mut copy)?;
    for ((queue, lane), found) in &survey.lanes {
        for (key, value) in settle_holes(*queue, *lane, found) {
            copy.keep(Space::Acks, key, value)?;
        }
    }
    let key = key::progress();
    let value = view.get(Space::Meta, &key).ok().flatten();
    let applied = value.and_then(|value| Progress::decode(&key, &value).ok()).unwrap_or_default();
    if applied.applied < synced {
        let what = format!("commits {} to {synced} of the store are lost", applied.applied + 1);
        survey.damages.push(Damage { lane: None, offsets: None, what });
    }
    let number = applied.applied.max(synced) + 1;
    let progress = Progress { applied: number, synced: number };
    copy.keep(Space::Meta, key.clone(), progress.encode(&key))?;
    copy.flush(Durability::Synced)?;
    Ok((survey, progress))
}

/// The settled state of a lane in which lost messages count as settled.
fn settle_holes(queue: QueueId, lane: Lane, found: &LaneSurvey) -> Vec<(Bytes, Bytes)> {
    let mut watermark = found.settled.watermark;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut failures: BTreeMap<u64, Vec<(u16, u32)>> = BTreeMap::new();
    for (number, block) in &found.settled.blocks {
        let start = number * BLOCK_OFFSETS;
        runs.extend(
            block
                .settled
                .iter()
                .map(|(first, last)| (start + u64::from(*first), start + u64::from(*last) + 1)),
        );
        failures.insert(*number, block.failures.clone());
    }
    for (first, end, octets) in found.holes() {
        runs.push((first.0, end.0));
        watermark.octets_settled += octets;
    }
    runs.sort_unstable();
    let (watermark, blocks) = blocks(watermark, &runs, failures);
    let ack = |kind| key::ack(queue, lane, kind);
    let mut items = Vec::new();
    let key = ack(AckKind::Watermark);
    items.push((key.clone(), ack_value::encode_watermark(&key, watermark)));
    if let Some(span) = found.span {
        let key = ack(AckKind::Lane);
        items.push((key.clone(), ack_value::encode_span(&key, span.0)));
    }
    for (number, block) in blocks {
        let key = ack(AckKind::Block(number));
        items.push((key.clone(), ack_value::encode_block(&key, &block)));
    }
    items
}

/// Raises the watermark over the runs that reach it, and cuts the others into blocks.
fn blocks(
    mut watermark: Watermark,
    runs: &[(u64, u64)],
    failures: BTreeMap<u64, Vec<(u16, u32)>>,
) -> (Watermark, BTreeMap<u64, Block>) {
    let mut blocks: BTreeMap<u64, Block> = failures
        .into_iter()
        .map(|(number, failures)| (number, Block { settled: Vec::new(), failures }))
        .collect();
    for (first, end) in runs {
        if *first <= watermark.low.0 {
            watermark.low = watermark.low.max(Offset(*end));
            continue;
        }
        let mut at = *first;
        while at < *end {
            let number = at / BLOCK_OFFSETS;
            let to = (*end).min((number + 1) * BLOCK_OFFSETS);
            let start = number * BLOCK_OFFSETS;
            let run = ((at - start) as u16, (to - 1 - start) as u16);
            let settled = &mut blocks.entry(number).or_default().settled;
            match settled.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(run.0) => *last = run.1,
                _ => settled.push(run),
            }
            at = to;
        }
    }
    let low = watermark.low.0;
    blocks.retain(|number, _| (number + 1) * BLOCK_OFFSETS > low);
    (watermark, blocks)
}
