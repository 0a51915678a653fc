//! Reading pages of a level: checked, in order, and with every hole explained.

use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::contiguity;
use crate::fjall::database::{self, Space};
use crate::fjall::levels::LevelState;
use crate::fjall::recovery;
use crate::fjall::view::View;
use crate::format::key;
use crate::format::page_value::{self, PageFlaw};
use bytes::Bytes;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::page::Page;

/// A level of a view.
pub(crate) struct LevelReader<'a> {
    pub(crate) view: &'a View,
    pub(crate) queue: QueueId,
    pub(crate) level: Level,
}

impl LevelReader<'_> {
    /// The pages from the one that covers `from` on, until `bytes_max` bytes of messages, or up to a
    /// damaged one.
    ///
    /// # Errors
    /// When the first page is damaged, or pages are missing.
    pub(crate) fn read(
        &self,
        state: LevelState,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let from = from.max(state.watermark.low);
        let mut pages: Vec<Page> = Vec::new();
        let mut bytes = 0;
        let covering = self.covering(state, from)?.map(Ok);
        for page in covering.into_iter().chain(self.following(from)) {
            let page = match page {
                // Those before it can be delivered; who asks for this one is told.
                Err(StoreError::Damaged(_)) if !pages.is_empty() => break,
                page => page?,
            };
            bytes += page.records.iter().map(|record| record.message.size()).sum::<usize>();
            pages.push(page);
            if bytes >= bytes_max {
                break;
            }
        }
        let holes = contiguity::holes(from, &pages);
        if !holes.is_empty() {
            let settled = recovery::settled(self.view, self.queue, self.level)?;
            for hole in holes {
                if let Err(error) = contiguity::explain(self.queue, self.level, &[hole], &settled) {
                    pages.retain(|page| page.end <= hole.0);
                    return if pages.is_empty() { Err(error) } else { Ok(pages) };
                }
            }
        }
        Ok(pages)
    }

    fn covering(&self, state: LevelState, from: Offset) -> Result<Option<Page>, StoreError> {
        let Some(span) = state.span else { return Ok(None) };
        let low = key::page(self.queue, self.level, span.lowest_first(from));
        let high = key::page(self.queue, self.level, from);
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
        let low = key::page(self.queue, self.level, Offset(from.0.saturating_add(1)));
        let high = key::page(self.queue, self.level, Offset(u64::MAX));
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
            Damage::of_level(self.queue, self.level, Some((from, None)), what)
        })?;
        let (_, _, first) = key::parse_page(&key).ok_or_else(|| {
            let what = format!("a page has the unknown key {}", key.escape_ascii());
            Damage::of_level(self.queue, self.level, Some((from, None)), what)
        })?;
        let fetch = |key: &[u8]| self.view.get(Space::Bodies, key);
        page_value::decode(self.queue, self.level, first, &value, fetch).map_err(
            |flaw| match flaw {
                PageFlaw::Fetch(error) if !database::is_unreadable(&error) => {
                    StoreError::failed("read its data", error)
                }
                flaw => self.damaged(first, &flaw),
            },
        )
    }

    fn damaged(&self, first: Offset, flaw: &PageFlaw<database::Error>) -> StoreError {
        let next = key::page(self.queue, self.level, first.next());
        let last = key::page(self.queue, self.level, Offset(u64::MAX));
        let next = self.view.keys(Space::Pages, &next, &last).next();
        let end = next.and_then(Result::ok).and_then(|key| key::parse_page(&key));
        let offsets = (first, end.map(|(_, _, end)| end));
        Damage::of_level(
            self.queue,
            self.level,
            Some(offsets),
            format!("a page is damaged: {flaw}"),
        )
    }
}
