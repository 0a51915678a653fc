//! Checking a data directory that no broker has open.

use crate::check::survey::{Survey, SurveySink, survey};
use crate::damage::{Certainty, Damage, Missing};
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::database::Space;
use crate::format::high_water::{HighWater, Mark};
use crate::lag_histories::LagHistories;
use crate::repair::salvage::Salvage;
use bytes::Bytes;
use forebay_engine::model::QueueId;
use std::collections::BTreeSet;
use std::path::Path;

/// What a data directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Queues that have a record.
    pub queues: u64,
    /// Records of queues, exchanges, bindings, users and so on.
    pub records: u64,
    /// Pages that can be read.
    pub pages: u64,
    /// Messages in them that are not settled, and delayed ones.
    pub messages: u64,
    /// Those among them that are delayed.
    pub delayed: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// What is damaged or missing, as exactly as can be told.
    pub damages: Vec<Damage>,
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadProgress {
    /// Bytes of tables read.
    pub bytes: u64,
    /// Of so many.
    pub bytes_total: u64,
}

impl Verification {
    pub(crate) fn of(survey: &Survey) -> Self {
        let levels = survey.levels.values();
        Self {
            queues: survey.names.len() as u64,
            records: survey.records.len() as u64,
            pages: levels.clone().map(|level| level.extents.len() as u64).sum(),
            messages: levels.clone().map(|level| level.messages).sum::<u64>()
                + survey.delayed.messages(),
            delayed: survey.delayed.messages(),
            bytes: levels.map(|level| level.bytes).sum::<u64>() + survey.delayed.bytes(),
            damages: survey.damages.clone(),
        }
    }

    /// Messages that are missing, and how well that is known.
    #[must_use]
    pub fn missing(&self) -> Missing {
        Missing::by(&self.damages)
    }

    /// Whether each queue of which messages may be missing is named.
    #[must_use]
    pub fn is_every_queue_named(&self) -> bool {
        let is_vague = |damage: &&Damage| {
            let counts = damage.messages.is_some_and(|messages| messages > 0);
            damage.level.is_none() && (counts || damage.certainty == Certainty::Unknown)
        };
        !self.damages.iter().any(|damage| is_vague(&damage))
    }

    /// Queues of which something is missing or damaged.
    #[must_use]
    pub fn queues_damaged(&self) -> u64 {
        let levels = self.damages.iter().filter_map(|damage| damage.level);
        levels.map(|(queue, _)| queue).collect::<BTreeSet<QueueId>>().len() as u64
    }
}

/// Drops all items, and reports how many bytes were read.
pub(crate) struct Count<F> {
    pub(crate) progress: ReadProgress,
    pub(crate) watch: F,
}

impl<F: FnMut(ReadProgress)> SurveySink for Count<F> {
    fn keep(&mut self, _: Space, _: Bytes, _: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_read(&mut self, bytes: u64) {
        if bytes > 0 {
            self.progress.bytes += bytes;
            (self.watch)(self.progress);
        }
    }
}

/// Reads everything in a data directory and checks it; changes nothing. `watch` is told how far it
/// has come.
///
/// # Errors
/// When there is no data directory at this path, or somebody has it open, or the system fails to
/// read. Damage is no error: it is in what is given back.
pub fn verify(
    path: impl AsRef<Path>,
    watch: impl FnMut(ReadProgress),
) -> Result<Verification, StoreError> {
    let directory = DataDirectory::existing(path.as_ref())?;
    if directory.is_repair_interrupted() {
        return Err(StoreError::RepairInterrupted { directory: directory.path().into() });
    }
    let found = survey_of(&directory, |bytes_total| {
        let progress = ReadProgress { bytes: 0, bytes_total };
        Ok(Count { progress, watch })
    })?;
    Ok(Verification::of(&found.survey))
}

/// What was found, and what the high-water mark says.
pub(crate) struct Surveyed<K> {
    pub(crate) survey: Survey,
    pub(crate) synced: u64,
    pub(crate) sink: K,
}

/// Surveys the database of a directory. `sink` makes the receiver of the items from the bytes of all tables.
pub(crate) fn survey_of<K: SurveySink>(
    directory: &DataDirectory,
    sink: impl FnOnce(u64) -> Result<K, StoreError>,
) -> Result<Surveyed<K>, StoreError> {
    let database = directory.database();
    let mark = match HighWater::read(&directory.high_water()) {
        // A directory in which nothing was stored yet.
        Ok(None) if !database.exists() => Ok(Mark::default()),
        Ok(None) => Err("is missing".to_owned()),
        Ok(Some(mark)) => Ok(mark),
        Err(StoreError::Damaged(damage)) => Err(damage.what),
        Err(error) => return Err(error),
    };
    let mut salvage =
        Salvage::open(&database, mark.as_ref().ok().copied(), directory.knows_delayed())?;
    let mut sink = sink(salvage.bytes())?;
    let mut survey = survey(&database, &mut salvage, &mut sink)?;
    let synced = mark.as_ref().map_or(0, |mark| mark.synced);
    let applied = survey.progress.applied;
    if applied < synced {
        let first = applied + 1;
        let what = format!("commits {first} to {synced} of the store are missing");
        let lost = salvage.lost_commits().last();
        let is_counted = lost.is_some_and(|lost| lost.last == synced);
        let certainty = if is_counted { Certainty::Exact } else { Certainty::Unknown };
        survey.damages.push(Damage { what, certainty, ..Damage::default() });
        survey.is_topology_damaged = true;
    }
    if let Err(what) = mark {
        let file = Some("HIGH-WATER".into());
        let what = format!("{what}: whether the last commits are missing can't be told");
        let certainty = Certainty::Unknown;
        survey.damages.push(Damage { file, what, certainty, ..Damage::default() });
    }
    let histories = LagHistories::of(directory.path()).read();
    let histories = histories.map_err(|error| StoreError::failed("read lag histories", error))?;
    let names = &survey.names;
    survey.damages.extend(LagHistories::damages(&histories, |queue| names.get(&queue).cloned()));
    Ok(Surveyed { survey, synced, sink })
}
