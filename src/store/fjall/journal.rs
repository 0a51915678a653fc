//! Reading fjall's journals without fjall, which truncates a journal at the first thing that it does
//! not understand, whatever follows. Format 3, as the pinned version writes it (little endian):
//!
//! ```text
//! journal: batch* zeros
//! batch:   1 items:u32 seqno:u64 item* 3 checksum:u64 "FJL" 3     checksum: XXH3 of the items
//! item:    2 type:u8 compression:u8 keyspace:u64 key_size:u16 value_size:u32 stored_size:u32
//!          key value
//! ```

use crate::fjall::database::META_ID;
use crate::format::key;
use crate::format::progress::Progress;
use bytes::Bytes;
use std::io::{self, Read};
use xxhash_rust::xxh3::Xxh3;

pub(crate) const TRAILER: &[u8] = b"FJL\x03";
const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const VALUE_TYPE_MAX: u8 = 2;
const ITEM_HEADER_SIZE: usize = 1 + 1 + 8 + 2 + 4 + 4;

/// A whole batch whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) seqno: u64,
    /// What it says of the store's progress; `None` when the reclaimer wrote it.
    pub(crate) progress: Option<Progress>,
}

/// What comes next in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Batch(Batch),
    /// Nothing but zeros.
    End,
    /// No whole batch.
    Broken,
}

/// Reads batches one after another; holds one value at a time.
pub(crate) struct JournalReader<R> {
    input: R,
    position: u64,
    buffer: Vec<u8>,
}

/// Why a batch is none. The end of the file is one of the reasons.
enum Stop {
    Broken,
    Io(io::Error),
}

impl<R: Read> JournalReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, position: 0, buffer: Vec::new() }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn next(&mut self) -> io::Result<Next> {
        match self.batch() {
            Ok(Some(batch)) => Ok(Next::Batch(batch)),
            Ok(None) => Ok(if self.rest_is_zeros()? { Next::End } else { Next::Broken }),
            Err(Stop::Broken) => Ok(Next::Broken),
            Err(Stop::Io(error)) => Err(error),
        }
    }

    /// `None` when no batch begins here.
    fn batch(&mut self) -> Result<Option<Batch>, Stop> {
        match self.array() {
            Ok([TAG_START]) => {}
            Ok([0]) => return Ok(None),
            Err(Stop::Broken) if self.buffer.is_empty() => return Ok(None),
            Ok(_) => return Err(Stop::Broken),
            Err(stop) => return Err(stop),
        }
        let items = u32::from_le_bytes(self.array()?);
        let seqno = u64::from_le_bytes(self.array()?);
        let mut hasher = Xxh3::new();
        let mut progress = None;
        for _ in 0..items {
            progress = self.item(&mut hasher)?.or(progress);
        }
        let [TAG_END] = self.array()? else { return Err(Stop::Broken) };
        let checksum = u64::from_le_bytes(self.array()?);
        let trailer: [u8; TRAILER.len()] = self.array()?;
        if trailer == TRAILER && checksum == hasher.digest() {
            Ok(Some(Batch { seqno, progress }))
        } else {
            Err(Stop::Broken)
        }
    }

    fn item(&mut self, hasher: &mut Xxh3) -> Result<Option<Progress>, Stop> {
        let [TAG_ITEM] = self.array()? else { return Err(Stop::Broken) };
        let header: [u8; ITEM_HEADER_SIZE] = self.array()?;
        hasher.update(&[TAG_ITEM]);
        hasher.update(&header);
        let header = ItemHeader::parse(&header).ok_or(Stop::Broken)?;
        self.fill(u64::from(header.key_size))?;
        hasher.update(&self.buffer);
        let is_progress = header.keyspace == META_ID && *self.buffer == *key::progress();
        self.fill(u64::from(header.value_size))?;
        hasher.update(&self.buffer);
        if !is_progress {
            return Ok(None);
        }
        let value = Bytes::copy_from_slice(&self.buffer);
        Progress::decode(&key::progress(), &value).map(Some).map_err(|_| Stop::Broken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.fill(N as u64)?;
        self.buffer.first_chunk().copied().ok_or(Stop::Broken)
    }

    /// Reads so many bytes into the buffer. A wrong size takes no more memory than the file has.
    fn fill(&mut self, size: u64) -> Result<(), Stop> {
        self.buffer.clear();
        let read = self.input.by_ref().take(size).read_to_end(&mut self.buffer);
        let read = read.map_err(Stop::Io)? as u64;
        self.position += read;
        if read == size { Ok(()) } else { Err(Stop::Broken) }
    }

    fn rest_is_zeros(&mut self) -> io::Result<bool> {
        loop {
            self.buffer.clear();
            let read = self.input.by_ref().take(1 << 16).read_to_end(&mut self.buffer)?;
            if read == 0 {
                return Ok(true);
            }
            if self.buffer.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}

struct ItemHeader {
    keyspace: u64,
    key_size: u16,
    value_size: u32,
}

impl ItemHeader {
    fn parse(header: &[u8]) -> Option<Self> {
        let (kind, rest) = header.split_first_chunk()?;
        let (keyspace, rest) = rest.split_first_chunk()?;
        let (key_size, rest) = rest.split_first_chunk()?;
        let (value_size, rest) = rest.split_first_chunk()?;
        let (stored_size, _) = rest.split_first_chunk()?;
        let [value_type, compression] = *kind;
        (value_type <= VALUE_TYPE_MAX && compression == 0 && value_size == stored_size).then_some(
            Self {
                keyspace: u64::from_le_bytes(*keyspace),
                key_size: u16::from_le_bytes(*key_size),
                value_size: u32::from_le_bytes(*value_size),
            },
        )
    }
}
