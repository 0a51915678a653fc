//! Messages that nobody wants any more, on their way out of memory: of a queue that was deleted or
//! purged. There may be hundreds of thousands, and to free them takes as long as to deliver them, so
//! the shard frees a part with each input, and other clients come in between.

use super::fresh::Fresh;
use super::volatile::Volatile;
use crate::page::Page;
use std::sync::Arc;

/// What is to be freed.
#[derive(Debug, Default)]
pub(crate) struct Discarded {
    volatile: Vec<Volatile>,
    fresh: Vec<Fresh>,
    pages: Vec<Arc<Page>>,
}

impl Discarded {
    /// Adds what one level of a queue had in memory.
    pub(crate) fn add(&mut self, volatile: Volatile, fresh: Fresh, pages: Vec<Arc<Page>>) {
        self.volatile.push(volatile);
        self.fresh.push(fresh);
        self.pages.extend(pages);
    }

    /// Messages that are left.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> usize {
        let pages = self.pages.iter().map(|page| page.records.len());
        let volatile = self.volatile.iter().map(|volatile| volatile.offsets().len());
        let fresh = self.fresh.iter().map(Fresh::places);
        pages.chain(volatile).chain(fresh).sum()
    }

    /// Frees a part: a page, or a chunk of messages. Returns how many messages there were in it, at
    /// least 1; 0: nothing was left.
    pub(crate) fn free_part(&mut self) -> usize {
        if let Some(page) = self.pages.pop() {
            return page.records.len().max(1);
        }
        while let Some(volatile) = self.volatile.last_mut() {
            match volatile.free_chunk() {
                0 => drop(self.volatile.pop()),
                messages => return messages,
            }
        }
        while let Some(fresh) = self.fresh.last_mut() {
            match fresh.free_some() {
                0 => drop(self.fresh.pop()),
                messages => return messages,
            }
        }
        0
    }
}
