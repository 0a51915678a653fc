//! A snapshot that another node sends, as a file beside the database until it is whole and put in place.
//!
//! ```text
//! file:   record* ; record: size:u32 bytes
//! first:  sealed(layout:u8 applied)         then chunks, as they came, and
//! last:   sealed(chunks:u64)
//! ```

use crate::damage::Damage;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::format::checksummed;
use crate::format::cursor::Cursor;
use crate::replica::group_snapshot::{self, SnapshotItem};
use bytes::{BufMut, Bytes};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::PathBuf;

const LAYOUT: u8 = 1;
const HEAD_KEY: &[u8] = b"snapshot";
const END_KEY: &[u8] = b"snapshot end";

/// Takes the chunks of a snapshot. Dropping it gives the snapshot up.
#[derive(Debug)]
pub struct SnapshotReceiver {
    file: BufWriter<File>,
    draft: PathBuf,
    whole: PathBuf,
    directory: PathBuf,
    next: u64,
}

/// Why a chunk was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// It was changed on its way, or is of another version.
    #[error("chunk {expected} of a snapshot is damaged, or of a version that is not known here")]
    Damaged {
        /// The number of the chunk that was expected.
        expected: u64,
    },
    /// Chunks between were left out.
    #[error("chunk {found} of a snapshot came, {expected} was expected: send on from that one")]
    Order {
        /// The number of the chunk that came.
        found: u64,
        /// The number of the chunk that was expected.
        expected: u64,
    },
    /// It can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SnapshotReceiver {
    pub(crate) fn begin(directory: &DataDirectory, applied: &Bytes) -> Result<Self, StoreError> {
        let draft = directory.snapshot_draft();
        let file = BufWriter::new(File::create(&draft).map_err(failed)?);
        let (whole, directory) = (directory.snapshot(), directory.path().to_owned());
        let mut receiver = Self { file, draft, whole, directory, next: 0 };
        let mut content = vec![LAYOUT];
        content.put_slice(applied);
        receiver.put(&checksummed::seal(HEAD_KEY, &content))?;
        Ok(receiver)
    }

    /// The number of the chunk that is expected: a sender whose connection broke goes on from there.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.next
    }

    /// Takes a chunk; one that was taken before is passed over.
    ///
    /// # Errors
    /// When it is damaged, chunks before it are missing, or it can't be written.
    pub fn take(&mut self, chunk: &Bytes) -> Result<(), ChunkError> {
        let expected = self.next;
        let (found, _) =
            group_snapshot::decode_chunk(chunk).ok_or(ChunkError::Damaged { expected })?;
        if found > expected {
            return Err(ChunkError::Order { found, expected });
        }
        if found == expected {
            self.put(chunk)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Ends the snapshot, when all its chunks were taken, and brings it to stable storage.
    ///
    /// # Errors
    /// When it can't be written, or an earlier one is there still: it may be on its way into the store.
    pub fn finish(mut self) -> Result<ReceivedSnapshot, StoreError> {
        if self.whole.exists() {
            return Err(failed(io::Error::other(
                "an earlier one is being put in place: send it later",
            )));
        }
        self.put(&checksummed::seal(END_KEY, &self.next.to_be_bytes()))?;
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_all().map_err(failed)?;
        fs::rename(&self.draft, &self.whole).map_err(failed)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(ReceivedSnapshot { path: self.whole, outlives: false })
    }

    fn put(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let size = u32::try_from(record.len()).map_err(|error| failed(io::Error::other(error)))?;
        self.file.write_all(&size.to_be_bytes()).map_err(failed)?;
        self.file.write_all(record).map_err(failed)
    }
}

/// A whole snapshot, on stable storage. Its file goes with it, unless it is half in place.
#[derive(Debug)]
pub struct ReceivedSnapshot {
    path: PathBuf,
    /// The next start needs it.
    outlives: bool,
}

impl Drop for ReceivedSnapshot {
    fn drop(&mut self) {
        if !self.outlives
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "a snapshot that is of no use stays");
        }
    }
}

impl ReceivedSnapshot {
    /// The one that lies in a data directory, if any does. It stays there until it is removed.
    pub(crate) fn find(directory: &DataDirectory) -> Option<Self> {
        let path = directory.snapshot();
        path.exists().then_some(Self { path, outlives: true })
    }

    /// Reads it from its beginning.
    pub(crate) fn read(&self) -> Result<SnapshotReader, StoreError> {
        let mut reader = SnapshotReader {
            file: BufReader::new(File::open(&self.path).map_err(failed)?),
            chunks: 0,
            applied: Bytes::new(),
        };
        let head = reader.record()?.and_then(|record| checksummed::unseal(HEAD_KEY, &record).ok());
        let mut head = Cursor::new(head.ok_or_else(damaged)?);
        if head.octet() != Some(LAYOUT) {
            return Err(damaged());
        }
        reader.applied = head.rest();
        Ok(reader)
    }

    /// From now on a start without it can't go on: it stays until it is in place.
    pub(crate) fn keep(&mut self) {
        self.outlives = true;
    }

    /// It is in place, or of no use.
    pub(crate) fn remove(mut self) {
        self.outlives = false;
    }
}

/// Reads a snapshot from its file.
pub(crate) struct SnapshotReader {
    file: BufReader<File>,
    chunks: u64,
    /// How far the log is applied in it.
    pub(crate) applied: Bytes,
}

impl SnapshotReader {
    /// The items of the next chunk; `None`: that was the last one.
    pub(crate) fn next_items(&mut self) -> Result<Option<Vec<SnapshotItem>>, StoreError> {
        let record = self.record()?.ok_or_else(damaged)?;
        if let Ok(count) = checksummed::unseal(END_KEY, &record) {
            return match *count == self.chunks.to_be_bytes() {
                true => Ok(None),
                false => Err(damaged()),
            };
        }
        let chunk = group_snapshot::decode_chunk(&record);
        let (_, items) = chunk.filter(|(number, _)| *number == self.chunks).ok_or_else(damaged)?;
        self.chunks += 1;
        Ok(Some(items))
    }

    fn record(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut size = [0; 4];
        match self.file.read_exact(&mut size) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(failed)?,
        }
        let size = u32::from_be_bytes(size).into();
        let mut record = Vec::new();
        // Not all at once: a damaged size would take as much memory.
        let read = (&mut self.file).take(size).read_to_end(&mut record).map_err(failed)?;
        if read as u64 == size { Ok(Some(record.into())) } else { Err(damaged()) }
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::failed("write or read a snapshot of another node", error)
}

fn damaged() -> StoreError {
    Damage::elsewhere("the snapshot that came from another node (file snapshot) can't be read")
}
