//! Everything that a database holds, read once and checked: what `verify` counts and `repair`
//! copies.

use crate::ack_value;
use crate::contiguity::Settled;
use crate::database::{Error, Space, View};
use crate::error::Damage;
use crate::key::{self, AckKind, MetaKind};
use crate::lanes::Span;
use crate::page_value;
use crate::seal;
use crate::walk::walk;
use bytes::Bytes;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::page::Page;
use std::collections::{BTreeMap, BTreeSet};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) lanes: BTreeMap<(QueueId, Lane), LaneSurvey>,
    pub(crate) dropped: BTreeSet<QueueId>,
    pub(crate) records: u64,
    pub(crate) damages: Vec<Damage>,
}

/// One lane.
#[derive(Debug, Default)]
pub(crate) struct LaneSurvey {
    pub(crate) settled: Settled,
    pub(crate) span: Option<Span>,
    /// First, end, `octets_before` and `octets_after` of the readable pages.
    pub(crate) extents: Vec<(Offset, Offset, u64, u64)>,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

/// Takes what is whole: its place, its key and its value, and the keys of its bodies.
pub(crate) trait Keeper {
    fn keep(&mut self, space: Space, key: Bytes, value: Bytes) -> Result<(), Error>;
}

/// Keeps nothing.
pub(crate) struct Count;

impl Keeper for Count {
    fn keep(&mut self, _: Space, _: Bytes, _: Bytes) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn survey(view: &View, keeper: &mut impl Keeper) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    survey.meta(view, keeper)?;
    survey.acks(view)?;
    survey.pages(view, keeper)?;
    survey.holes();
    Ok(survey)
}

/// The first and the last key of all queues.
fn all_queues() -> (Bytes, Bytes) {
    (key::queue_range(QueueId(0)).0, key::queue_range(QueueId(u64::MAX)).1)
}

impl Survey {
    fn damaged(&mut self, lane: Option<(QueueId, Lane)>, first: Option<Offset>, what: String) {
        let offsets = first.map(|first| (first, None));
        self.damages.push(Damage { lane, offsets, what });
    }

    fn unreadable(&mut self, what: &str, ranges: Vec<(Bytes, Option<Bytes>)>) {
        for (from, to) in ranges {
            let to = to.map_or("the end".to_owned(), |to| to.escape_ascii().to_string());
            let from = from.escape_ascii().to_string();
            self.damaged(None, None, format!("{what} with keys from {from} to {to} can't be read"));
        }
    }

    fn meta(&mut self, view: &View, keeper: &mut impl Keeper) -> Result<(), Error> {
        let first = key::meta_prefix(MetaKind::DroppedQueue);
        let last = key::record(&[u8::MAX; 64]);
        let unreadable = walk(view, Space::Meta, &first, &last, |key, value| {
            if let Err(flaw) = seal::unseal(&key, &value) {
                self.damaged(None, None, format!("record {}: {flaw}", key.escape_ascii()));
                return Ok(());
            }
            self.dropped.extend(key::parse_dropped_queue(&key));
            self.records += u64::from(key::parse_record(&key).is_some());
            keeper.keep(Space::Meta, key, value)
        })?;
        self.unreadable("records", unreadable);
        Ok(())
    }

    fn acks(&mut self, view: &View) -> Result<(), Error> {
        let (first, last) = all_queues();
        let unreadable = walk(view, Space::Acks, &first, &last, |key, value| {
            let Some((queue, lane, kind)) = key::parse_ack(&key) else {
                self.damaged(None, None, format!("unknown key {}", key.escape_ascii()));
                return Ok::<_, Error>(());
            };
            if self.dropped.contains(&queue) {
                return Ok(());
            }
            let found = self.lanes.entry((queue, lane)).or_default();
            let taken = match kind {
                AckKind::Lane => ack_value::decode_span(&key, &value)
                    .map(|span| found.span = found.span.max(Some(Span(span)))),
                AckKind::Watermark => ack_value::decode_watermark(&key, &value)
                    .map(|watermark| found.settled.watermark = watermark),
                AckKind::Block(block) => ack_value::decode_block(&key, &value)
                    .map(|content| found.settled.blocks.push((block, content))),
            };
            if let Err(flaw) = taken {
                self.damaged(
                    Some((queue, lane)),
                    None,
                    format!("settled state ({kind:?}): {flaw}"),
                );
            }
            Ok(())
        })?;
        self.unreadable("settled states", unreadable);
        Ok(())
    }

    fn pages(&mut self, view: &View, keeper: &mut impl Keeper) -> Result<(), Error> {
        let (first, last) = all_queues();
        let unreadable = walk(view, Space::Pages, &first, &last, |key, value| {
            // A lane's keeper is none.
            let Some((queue, lane, first)) = key::parse_page(&key) else { return Ok(()) };
            if self.dropped.contains(&queue) {
                return Ok(());
            }
            let fetch = |key: &[u8]| view.get(Space::Bodies, key);
            match page_value::decode(queue, lane, first, &value, fetch) {
                Ok(page) => self.page(queue, lane, &page, key, value, keeper),
                Err(flaw) => {
                    let what = format!("a page is damaged: {flaw}");
                    self.damaged(Some((queue, lane)), Some(first), what);
                    Ok(())
                }
            }
        })?;
        self.unreadable("pages", unreadable);
        Ok(())
    }

    fn page(
        &mut self,
        queue: QueueId,
        lane: Lane,
        page: &Page,
        key: Bytes,
        value: Bytes,
        keeper: &mut impl Keeper,
    ) -> Result<(), Error> {
        let found = self.lanes.entry((queue, lane)).or_default();
        if page.end <= found.settled.watermark.low {
            return Ok(());
        }
        found.span = found.span.max(Some(Span::of(page.first, page.end)));
        found.extents.push((page.first, page.end, page.octets_before, page.octets_after));
        found.messages += page.records.len() as u64;
        found.octets += page.records.iter().map(|record| record.message.size() as u64).sum::<u64>();
        for (key, body) in page_value::outside_bodies(queue, lane, page) {
            keeper.keep(Space::Bodies, key, body)?;
        }
        keeper.keep(Space::Pages, key, value)
    }

    /// Names what no page holds and nothing settles.
    fn holes(&mut self) {
        for ((queue, lane), found) in &self.lanes {
            for (first, end, _) in found.holes() {
                self.damages.push(Damage {
                    lane: Some((*queue, *lane)),
                    offsets: Some((first, Some(end))),
                    what: "messages are missing: they are not settled, but no page holds them"
                        .into(),
                });
            }
        }
    }
}

impl LaneSurvey {
    /// Unsettled offsets without a page, each run with the octets that its pages had.
    pub(crate) fn holes(&self) -> Vec<(Offset, Offset, u64)> {
        let mut holes = Vec::new();
        let mut expected = self.settled.watermark.low;
        let mut octets = None;
        for (first, end, octets_before, octets_after) in &self.extents {
            let lost = octets.map_or(0, |octets| octets_before.saturating_sub(octets));
            let runs = self.settled.unsettled(expected, *first);
            let share = lost / (runs.len() as u64).max(1);
            holes.extend(runs.into_iter().map(|(first, end)| (first, end, share)));
            expected = expected.max(*end);
            octets = Some(*octets_after);
        }
        holes
    }
}
