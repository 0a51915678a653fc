//! Reading pages of a lane: checked, in order, and with every hole explained.

use crate::contiguity;
use crate::damage::Damage;
use crate::database::{self, Space, View};
use crate::error::StoreError;
use crate::key;
use crate::lanes::LaneState;
use crate::page_value::{self, PageFlaw};
use crate::recovery;
use bytes::Bytes;
use forebay_engine::ids::{Lane, Offset, QueueId};
use forebay_engine::page::Page;

/// A lane of a view.
pub(crate) struct LaneReader<'a> {
    pub(crate) view: &'a View,
    pub(crate) queue: QueueId,
    pub(crate) lane: Lane,
}

impl LaneReader<'_> {
    /// The pages from the one that covers `from` on, until `octets_max` octets of messages.
    pub(crate) fn read(
        &self,
        state: LaneState,
        from: Offset,
        octets_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let from = from.max(state.watermark.low);
        let mut pages = Vec::new();
        let mut octets = 0;
        let mut add = |page: Page| {
            octets += page.records.iter().map(|record| record.message.size()).sum::<usize>();
            pages.push(page);
            octets < octets_max
        };
        let covering = self.covering(state, from)?;
        if covering.is_none_or(&mut add) {
            for page in self.following(from) {
                if !add(page?) {
                    break;
                }
            }
        }
        let holes = contiguity::holes(from, &pages);
        if !holes.is_empty() {
            let settled = recovery::settled(self.view, self.queue, self.lane)?;
            contiguity::explain(self.queue, self.lane, &holes, &settled)?;
        }
        Ok(pages)
    }

    fn covering(&self, state: LaneState, from: Offset) -> Result<Option<Page>, StoreError> {
        let Some(span) = state.span else { return Ok(None) };
        let low = key::page(self.queue, self.lane, span.lowest_first(from));
        let high = key::page(self.queue, self.lane, from);
        let Some(item) = self.view.range(Space::Pages, &low, &high).next_back() else {
            return Ok(None);
        };
        let page = self.page(item, span.lowest_first(from))?;
        Ok(Some(page).filter(|page| page.end > from))
    }

    fn following(&self, from: Offset) -> impl Iterator<Item = Result<Page, StoreError>> {
        let low = key::page(self.queue, self.lane, Offset(from.0.saturating_add(1)));
        let high = key::page(self.queue, self.lane, Offset(u64::MAX));
        let range = self.view.range(Space::Pages, &low, &high);
        range.map(move |item| self.page(item, from))
    }

    fn page(
        &self,
        item: Result<(Bytes, Bytes), database::Error>,
        from: Offset,
    ) -> Result<Page, StoreError> {
        let (key, value) = item.map_err(|error| {
            let what = format!("a page can't be read: {error}");
            Damage::of_lane(self.queue, self.lane, Some((from, None)), what)
        })?;
        let (_, _, first) = key::parse_page(&key).ok_or_else(|| {
            let what = format!("a page has the unknown key {}", key.escape_ascii());
            Damage::of_lane(self.queue, self.lane, Some((from, None)), what)
        })?;
        let fetch = |key: &[u8]| self.view.get(Space::Bodies, key);
        page_value::decode(self.queue, self.lane, first, &value, fetch)
            .map_err(|flaw| self.damaged(first, &flaw))
    }

    fn damaged(&self, first: Offset, flaw: &PageFlaw<database::Error>) -> StoreError {
        let next = key::page(self.queue, self.lane, first.next());
        let last = key::page(self.queue, self.lane, Offset(u64::MAX));
        let next = self.view.keys(Space::Pages, &next, &last).next();
        let end = next.and_then(Result::ok).and_then(|key| key::parse_page(&key));
        let offsets = (first, end.map(|(_, _, end)| end));
        Damage::of_lane(self.queue, self.lane, Some(offsets), format!("a page is damaged: {flaw}"))
    }
}
