//! The net effect of the commits of one batch. No key may be written twice in a batch, so the last
//! word on each counts; and a page that is put and removed by the same batch is never written.

use crate::fjall::database::{Error, Space};
use crate::fjall::levels::{LevelChange, Levels, Span};
use crate::fjall::shared_bodies::BodyUses;
use crate::fjall::view::View;
use crate::fjall::write_batch::WriteBatch;
use crate::format::ack_value::{self, LevelRecord};
use crate::format::checksummed;
use crate::format::delayed_value;
use crate::format::key::{self, AckKind};
use crate::format::page_value;
use bytes::Bytes;
use forebay_engine::model::{BodyId, DelayedId, DueClock, Level, Message, Offset, QueueId};
use forebay_engine::operation::{Commit, Operation};
use forebay_engine::page::Page;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type PageKey = (QueueId, Level, Offset);

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Puts and removals (`None`).
    pages: BTreeMap<PageKey, Option<Arc<Page>>>,
    acks: BTreeMap<(QueueId, Bytes), Option<Bytes>>,
    records: BTreeMap<Bytes, Option<Bytes>>,
    delayed: BTreeMap<(QueueId, DelayedId), DelayedChange>,
    pub(crate) levels: BTreeMap<(QueueId, Level), LevelChange>,
    pub(crate) dropped: BTreeSet<QueueId>,
}

/// What becomes of a delayed message.
#[derive(Debug)]
enum DelayedChange {
    Put(Message),
    Removed(Option<BodyId>),
}

impl Changes {
    pub(crate) fn gather(commits: &[Commit], levels: &Levels) -> Self {
        let mut changes = Self::default();
        for operation in commits.iter().flat_map(|commit| &commit.operations) {
            changes.add(operation, levels);
        }
        changes
    }

    fn add(&mut self, operation: &Operation, levels: &Levels) {
        match operation {
            Operation::PutPage { queue, level, page } => {
                self.pages.insert((*queue, *level, page.first), Some(Arc::clone(page)));
                self.grow(*queue, *level, page, levels);
            }
            Operation::RemovePage { queue, level, first } => {
                let key = (*queue, *level, *first);
                if matches!(self.pages.get(&key), Some(Some(_))) {
                    self.pages.remove(&key);
                } else {
                    self.pages.insert(key, None);
                }
            }
            Operation::PutWatermark { queue, level, watermark } => {
                let key = key::ack(*queue, *level, AckKind::Watermark);
                let value = ack_value::encode_watermark(&key, *watermark);
                self.acks.insert((*queue, key), Some(value));
                self.level(*queue, *level).watermark = Some(*watermark);
            }
            Operation::PutBlock { queue, level, block, content } => {
                let key = key::ack(*queue, *level, AckKind::Block(*block));
                let value = ack_value::encode_block(&key, content);
                self.acks.insert((*queue, key), Some(value));
                self.level(*queue, *level);
            }
            Operation::RemoveBlock { queue, level, block } => {
                let key = key::ack(*queue, *level, AckKind::Block(*block));
                self.acks.insert((*queue, key), None);
            }
            Operation::PutDelayed { queue, id, message } => {
                self.delayed.insert((*queue, *id), DelayedChange::Put(message.clone()));
            }
            Operation::RemoveDelayed { queue, id, body } => {
                let key = (*queue, *id);
                if matches!(self.delayed.get(&key), Some(DelayedChange::Put(_))) {
                    self.delayed.remove(&key);
                } else {
                    self.delayed.insert(key, DelayedChange::Removed(*body));
                }
            }
            Operation::PutDelayedState { queue, clock, state } => {
                let key = key::delayed_state(*queue, *clock);
                let value = delayed_value::encode_state(&key, *state);
                self.records.insert(key, (state.count > 0).then_some(value));
            }
            Operation::DropQueue { queue } => self.drop_queue(*queue),
            Operation::PutRecord { key, value } => {
                let key = key::record(key);
                let value = checksummed::seal(&key, value);
                self.records.insert(key, Some(value));
            }
            Operation::RemoveRecord { key } => {
                self.records.insert(key::record(key), None);
            }
        }
    }

    /// Messages in the pages that are put, and delayed ones.
    pub(crate) fn messages(&self) -> u64 {
        let pages = self.pages.values().flatten();
        let delayed = self.put_delayed().count() as u64;
        pages.map(|page| page.records.len() as u64).sum::<u64>() + delayed
    }

    fn put_delayed(&self) -> impl Iterator<Item = &Message> {
        self.delayed.values().filter_map(|change| match change {
            DelayedChange::Put(message) => Some(message),
            DelayedChange::Removed(_) => None,
        })
    }

    fn level(&mut self, queue: QueueId, level: Level) -> &mut LevelChange {
        self.levels.entry((queue, level)).or_default()
    }

    /// Notes where the level ends now: the last page is missed when it is gone.
    fn grow(&mut self, queue: QueueId, level: Level, page: &Page, levels: &Levels) {
        let stored = levels.get(queue, level).and_then(|state| state.span);
        let change = self.level(queue, level);
        let span = Span::of(page.first, page.end).max(change.span.or(stored).unwrap_or_default());
        change.span = Some(span);
        change.end = Some(page.end);
        let key = key::ack(queue, level, AckKind::Level);
        let record = LevelRecord { span: span.0, end: page.end };
        let value = ack_value::encode_level(&key, record);
        self.acks.insert((queue, key), Some(value));
    }

    /// Whatever is on the disk is removed later: an identifier is never used again.
    fn drop_queue(&mut self, queue: QueueId) {
        self.pages.retain(|(owner, ..), _| *owner != queue);
        self.acks.retain(|(owner, _), _| *owner != queue);
        self.levels.retain(|(owner, _), _| *owner != queue);
        self.delayed.retain(|(owner, _), _| *owner != queue);
        for clock in DueClock::ALL {
            // It goes with what is on the disk.
            self.records.remove(&key::delayed_state(queue, clock));
        }
        let key = key::dropped_queue(queue);
        let value = checksummed::seal(&key, &[]);
        self.records.insert(key, Some(value));
        self.dropped.insert(queue);
    }

    /// Whether a message is written that has a body in common with others.
    pub(crate) fn shares_bodies(&self) -> bool {
        let pages = self.pages.values().flatten();
        let in_pages = pages.flat_map(|page| &page.records).map(|record| &record.message);
        in_pages.chain(self.put_delayed()).any(|message| message.shared_body().is_some())
    }

    /// Writes everything into a batch. `bodies` shows the bodies that are on the disk, unless there
    /// never were any and none is shared. Tells whether the batch holds such bodies.
    pub(crate) fn write(
        self,
        batch: &mut WriteBatch<'_>,
        bodies: Option<&View>,
    ) -> Result<bool, Error> {
        let mut has_bodies = false;
        let mut uses = BodyUses::default();
        for ((queue, level, first), page) in self.pages {
            if let Some(page) = page {
                for (key, body) in page_value::outside_bodies(queue, level, &page) {
                    batch.insert(Space::Bodies, key, body);
                    has_bodies = true;
                }
                uses.put_page(batch, queue, level, &page);
                let value = page_value::encode(queue, level, &page);
                batch.insert(Space::Pages, key::page(queue, level, first), value);
            } else {
                remove_page(batch, queue, level, first, bodies)?;
                if let Some(view) = bodies {
                    uses.remove_page(batch, view, queue, level, first)?;
                }
            }
        }
        for ((queue, id), change) in self.delayed {
            let key = key::delayed(queue, id);
            match change {
                DelayedChange::Put(message) => {
                    uses.put_delayed(&message);
                    let value = delayed_value::encode(&key, &message);
                    batch.insert(Space::Delayed, key, value);
                }
                DelayedChange::Removed(body) => {
                    body.into_iter().for_each(|body| uses.remove_delayed(body));
                    batch.remove(Space::Delayed, key);
                }
            }
        }
        if let Some(view) = bodies {
            has_bodies |= uses.write(batch, view)?;
        }
        for ((_, key), value) in self.acks {
            put_or_remove(batch, Space::Acks, key, value);
        }
        for (key, value) in self.records {
            put_or_remove(batch, Space::Meta, key, value);
        }
        Ok(has_bodies)
    }
}

fn put_or_remove(batch: &mut WriteBatch<'_>, space: Space, key: Bytes, value: Option<Bytes>) {
    match value {
        Some(value) => batch.insert(space, key, value),
        None => batch.remove(space, key),
    }
}

fn remove_page(
    batch: &mut WriteBatch<'_>,
    queue: QueueId,
    level: Level,
    first: Offset,
    bodies: Option<&View>,
) -> Result<(), Error> {
    batch.remove_page(key::page(queue, level, first));
    if let Some(view) = bodies {
        let (from, to) = key::bodies_range(queue, level, first, first);
        for key in view.keys(Space::Bodies, &from, &to) {
            batch.remove(Space::Bodies, key?);
        }
    }
    Ok(())
}
