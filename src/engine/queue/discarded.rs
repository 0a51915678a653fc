//! Messages that nobody wants any more, on their way out of memory: of a queue that was deleted or
//! purged. There may be hundreds of thousands, and to free them takes as long as to deliver them, so
//! the shard frees a part with each input, and other clients come in between.

use super::unwritten::Unwritten;
use super::volatile::Volatile;
use crate::page::Page;
use std::sync::Arc;

/// What is to be freed.
#[derive(Debug, Default)]
pub(crate) struct Discarded {
    volatile: Vec<Volatile>,
    unwritten: Vec<Unwritten>,
    pages: Vec<Arc<Page>>,
}

impl Discarded {
    /// Adds what one level of a queue had in memory.
    pub(crate) fn add(&mut self, volatile: Volatile, unwritten: Unwritten, pages: Vec<Arc<Page>>) {
        self.volatile.push(volatile);
        self.unwritten.push(unwritten);
        self.pages.extend(pages);
    }

    /// Messages that are left.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> usize {
        let pages = self.pages.iter().map(|page| page.records.len());
        let volatile = self.volatile.iter().map(|volatile| volatile.offsets().len());
        let unwritten = self.unwritten.iter().map(Unwritten::places);
        pages.chain(volatile).chain(unwritten).sum()
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
        while let Some(unwritten) = self.unwritten.last_mut() {
            match unwritten.free_some() {
                0 => drop(self.unwritten.pop()),
                messages => return messages,
            }
        }
        0
    }
}
