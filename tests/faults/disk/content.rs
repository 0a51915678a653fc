//! What is in a file. Holes take no room, and copies share what they have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const BLOCK_SIZE: usize = 4096;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    size: u64,
    blocks: BTreeMap<u64, Arc<[u8; BLOCK_SIZE]>>,
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut content = Self { size: bytes.len() as u64, ..Self::default() };
        for (index, block) in bytes.chunks(BLOCK_SIZE).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                content.write((index * BLOCK_SIZE) as u64, block);
            }
        }
        content
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that it takes on the disk.
    pub(crate) fn room(&self) -> u64 {
        (self.blocks.len() * BLOCK_SIZE) as u64
    }

    /// Bytes that it would take more after a write.
    pub(crate) fn room_for(&self, offset: u64, size: usize) -> u64 {
        let blocks = offset / BLOCK_SIZE as u64..(offset + size as u64).div_ceil(BLOCK_SIZE as u64);
        blocks.filter(|block| !self.blocks.contains_key(block)).count() as u64 * BLOCK_SIZE as u64
    }

    pub(crate) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        self.size = self.size.max(offset + bytes.len() as u64);
        while !bytes.is_empty() {
            let at = (offset % BLOCK_SIZE as u64) as usize;
            let count = bytes.len().min(BLOCK_SIZE - at);
            let (here, rest) = bytes.split_at(count);
            let block = self.blocks.entry(offset / BLOCK_SIZE as u64);
            let block = block.or_insert_with(|| Arc::new([0; BLOCK_SIZE]));
            Arc::make_mut(block)[at..at + count].copy_from_slice(here);
            offset += count as u64;
            bytes = rest;
        }
    }

    /// As many bytes as there are, `count` at most.
    pub(crate) fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let count = (self.size.saturating_sub(offset) as usize).min(count);
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            let place = offset + done as u64;
            let at = (place % BLOCK_SIZE as u64) as usize;
            let here = (count - done).min(BLOCK_SIZE - at);
            if let Some(block) = self.blocks.get(&(place / BLOCK_SIZE as u64)) {
                bytes[done..done + here].copy_from_slice(&block[at..at + here]);
            }
            done += here;
        }
        bytes
    }

    pub(crate) fn resize(&mut self, size: u64) {
        if size < self.size {
            self.blocks.retain(|block, _| block * (BLOCK_SIZE as u64) < size);
            let at = (size % BLOCK_SIZE as u64) as usize;
            if let Some(block) = self.blocks.get_mut(&(size / BLOCK_SIZE as u64)) {
                Arc::make_mut(block)[at..].fill(0);
            }
        }
        self.size = size;
    }

    /// The blocks that are no holes: where each begins, and what is in it.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.blocks.iter().map(|(block, bytes)| {
            let start = block * BLOCK_SIZE as u64;
            (start, &bytes[..(self.size.saturating_sub(start) as usize).min(BLOCK_SIZE)])
        })
    }
}
