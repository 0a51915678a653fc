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
    /// The pages from the one that covers `from` on, until `octets_max` octets of messages, or up to a
    /// damaged one.
    ///
    /// # Errors
    /// When the first page is damaged, or pages are missing.
    pub(crate) fn read(
        &self,
        state: LaneState,
        from: Offset,
        octets_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let from = from.max(state.watermark.low);
        let mut pages: Vec<Page> = Vec::new();
        let mut octets = 0;
        let covering = self.covering(state, from)?.map(Ok);
        for page in covering.into_iter().chain(self.following(from)) {
            let page = match page {
                // Those before it can be delivered; who asks for this one is told.
                Err(StoreError::Damaged(_)) if !pages.is_empty() => break,
                page => page?,
            };
            octets += page.records.iter().map(|record| record.message.size()).sum::<usize>();
            pages.push(page);
            if octets >= octets_max {
                break;
            }
        }
        let holes = contiguity::holes(from, &pages);
        if !holes.is_empty() {
            let settled = recovery::settled(self.view, self.queue, self.lane)?;
            for hole in holes {
                if let Err(error) = contiguity::explain(self.queue, self.lane, &[hole], &settled) {
                    pages.retain(|page| page.end <= hole.0);
                    return if pages.is_empty() { Err(error) } else { Ok(pages) };
                }
            }
        }
        Ok(pages)
    }

    fn covering(&self, state: LaneState, from: Offset) -> Result<Option<Page>, StoreError> {
        let Some(span) = state.span else { return Ok(None) };
        let low = key::page(self.queue, self.lane, span.lowest_first(from));
        let high = key::page(self.queue, self.lane, from);
        let pages = || self.view.range(Space::Pages, &low, &high);
        let Some(item) = pages().next_back() else { return Ok(None) };
        let page = |item| self.page(item, span.lowest_first(from));
        let covers = |page: &Page| page.end > from;
        match page(item) {
            // From behind, the block after the page is read too, and may be what is damaged.
            Err(error @ StoreError::Damaged(_)) => {
                let last_whole = pages().map_while(Result::ok).last();
                let covering = last_whole.map(|item| page(Ok(item))).transpose()?;
                covering.filter(covers).map(Some).ok_or(error)
            }
            page => Ok(Some(page?).filter(covers)),
        }
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
            if !database::is_unreadable(&error) {
                return StoreError::failed("read its data", error);
            }
            let what = format!("a page can't be read: {error}");
            Damage::of_lane(self.queue, self.lane, Some((from, None)), what)
        })?;
        let (_, _, first) = key::parse_page(&key).ok_or_else(|| {
            let what = format!("a page has the unknown key {}", key.escape_ascii());
            Damage::of_lane(self.queue, self.lane, Some((from, None)), what)
        })?;
        let fetch = |key: &[u8]| self.view.get(Space::Bodies, key);
        page_value::decode(self.queue, self.lane, first, &value, fetch).map_err(|flaw| match flaw {
            PageFlaw::Fetch(error) if !database::is_unreadable(&error) => {
                StoreError::failed("read its data", error)
            }
            flaw => self.damaged(first, &flaw),
        })
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
