//! The net effect of the commits of one batch. No key may be written twice in a batch, so the last
//! word on each counts; and a page that is put and removed by the same batch is never written.

use crate::ack_value::{self, LaneRecord};
use crate::database::{Error, Space, View, WriteBatch};
use crate::key::{self, AckKind};
use crate::lanes::{LaneChange, Lanes, Span};
use crate::page_value;
use crate::seal;
use crate::shared_bodies::BodyUses;
use bytes::Bytes;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::operation::{Commit, Operation};
use forebay_engine::page::Page;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type PageKey = (QueueId, Lane, Offset);

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Puts and removals (`None`).
    pages: BTreeMap<PageKey, Option<Arc<Page>>>,
    acks: BTreeMap<(QueueId, Bytes), Option<Bytes>>,
    records: BTreeMap<Bytes, Option<Bytes>>,
    pub(crate) lanes: BTreeMap<(QueueId, Lane), LaneChange>,
    pub(crate) dropped: BTreeSet<QueueId>,
}

impl Changes {
    pub(crate) fn gather(commits: &[Commit], lanes: &Lanes) -> Self {
        let mut changes = Self::default();
        for operation in commits.iter().flat_map(|commit| &commit.operations) {
            changes.add(operation, lanes);
        }
        changes
    }

    fn add(&mut self, operation: &Operation, lanes: &Lanes) {
        match operation {
            Operation::PutPage { queue, lane, page } => {
                self.pages.insert((*queue, *lane, page.first), Some(Arc::clone(page)));
                self.grow(*queue, *lane, page, lanes);
            }
            Operation::RemovePage { queue, lane, first } => {
                let key = (*queue, *lane, *first);
                if matches!(self.pages.get(&key), Some(Some(_))) {
                    self.pages.remove(&key);
                } else {
                    self.pages.insert(key, None);
                }
            }
            Operation::PutWatermark { queue, lane, watermark } => {
                let key = key::ack(*queue, *lane, AckKind::Watermark);
                let value = ack_value::encode_watermark(&key, *watermark);
                self.acks.insert((*queue, key), Some(value));
                self.lane(*queue, *lane).watermark = Some(*watermark);
            }
            Operation::PutBlock { queue, lane, block, content } => {
                let key = key::ack(*queue, *lane, AckKind::Block(*block));
                let value = ack_value::encode_block(&key, content);
                self.acks.insert((*queue, key), Some(value));
                self.lane(*queue, *lane);
            }
            Operation::RemoveBlock { queue, lane, block } => {
                let key = key::ack(*queue, *lane, AckKind::Block(*block));
                self.acks.insert((*queue, key), None);
            }
            Operation::DropQueue { queue } => self.drop_queue(*queue),
            Operation::PutRecord { key, value } => {
                let key = key::record(key);
                let value = seal::seal(&key, value);
                self.records.insert(key, Some(value));
            }
            Operation::RemoveRecord { key } => {
                self.records.insert(key::record(key), None);
            }
        }
    }

    /// Messages in the pages that are put.
    pub(crate) fn messages(&self) -> u64 {
        let pages = self.pages.values().flatten();
        pages.map(|page| page.records.len() as u64).sum()
    }

    fn lane(&mut self, queue: QueueId, lane: Lane) -> &mut LaneChange {
        self.lanes.entry((queue, lane)).or_default()
    }

    /// Notes where the lane ends now: the last page is missed when it is gone.
    fn grow(&mut self, queue: QueueId, lane: Lane, page: &Page, lanes: &Lanes) {
        let stored = lanes.get(queue, lane).and_then(|state| state.span);
        let change = self.lane(queue, lane);
        let span = Span::of(page.first, page.end).max(change.span.or(stored).unwrap_or_default());
        change.span = Some(span);
        change.end = Some(page.end);
        let key = key::ack(queue, lane, AckKind::Lane);
        let record = LaneRecord { span: span.0, end: page.end };
        let value = ack_value::encode_lane(&key, record);
        self.acks.insert((queue, key), Some(value));
    }

    /// Whatever is on the disk is removed later: an identifier is never used again.
    fn drop_queue(&mut self, queue: QueueId) {
        self.pages.retain(|(owner, ..), _| *owner != queue);
        self.acks.retain(|(owner, _), _| *owner != queue);
        self.lanes.retain(|(owner, _), _| *owner != queue);
        let key = key::dropped_queue(queue);
        let value = seal::seal(&key, &[]);
        self.records.insert(key, Some(value));
        self.dropped.insert(queue);
    }

    /// Whether a page is written that has bodies in common with others.
    pub(crate) fn shares_bodies(&self) -> bool {
        let pages = self.pages.values().flatten();
        pages.flat_map(|page| &page.records).any(|record| record.message.shared_body().is_some())
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
        for ((queue, lane, first), page) in self.pages {
            if let Some(page) = page {
                for (key, body) in page_value::outside_bodies(queue, lane, &page) {
                    batch.insert(Space::Bodies, key, body);
                    has_bodies = true;
                }
                uses.put_page(batch, queue, lane, &page);
                let value = page_value::encode(queue, lane, &page);
                batch.insert(Space::Pages, key::page(queue, lane, first), value);
            } else {
                remove_page(batch, queue, lane, first, bodies)?;
                if let Some(view) = bodies {
                    uses.remove_page(batch, view, queue, lane, first)?;
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
    lane: Lane,
    first: Offset,
    bodies: Option<&View>,
) -> Result<(), Error> {
    batch.remove_page(key::page(queue, lane, first));
    if let Some(view) = bodies {
        let (from, to) = key::bodies_range(queue, lane, first, first);
        for key in view.keys(Space::Bodies, &from, &to) {
            batch.remove(Space::Bodies, key?);
        }
    }
    Ok(())
}
