//! The snapshot that a node is being sent.

use crate::group_error::GroupError;
use bytes::Bytes;
use forebay_store::{ChunkError, ReceivedSnapshot, ReplicaStore, SnapshotReceiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takes one snapshot at a time: a new one takes the place of one that was not ended.
#[derive(Debug)]
pub(crate) struct ReceivedSnapshots {
    store: Arc<ReplicaStore>,
    /// One that was ended lies in a file of the same name until it is in place.
    receiving: Mutex<Option<Receiving>>,
}

#[derive(Debug)]
struct Receiving {
    snapshot: u64,
    receiver: SnapshotReceiver,
    applied: Bytes,
}

impl ReceivedSnapshots {
    pub(crate) fn new(store: Arc<ReplicaStore>) -> Self {
        Self { store, receiving: Mutex::default() }
    }

    /// Begins one, or goes on with it. Tells which chunk is wanted. Blocks while the disk is written.
    pub(crate) fn begin(&self, snapshot: u64, applied: Bytes) -> Result<u64, GroupError> {
        let mut receiving = self.lock();
        if let Some(known) = receiving.as_ref().filter(|known| known.snapshot == snapshot) {
            return Ok(known.receiver.expected());
        }
        // Its file is made anew.
        drop(receiving.take());
        let receiver = self.store.receive_snapshot(&applied)?;
        *receiving = Some(Receiving { snapshot, receiver, applied });
        Ok(0)
    }

    /// Takes a chunk. Tells which one is wanted. Blocks while the disk is written.
    pub(crate) fn take(&self, snapshot: u64, chunk: &Bytes) -> Result<u64, GroupError> {
        let mut receiving = self.lock();
        let Some(known) = receiving.as_mut().filter(|known| known.snapshot == snapshot) else {
            return Err(GroupError::UnknownSnapshot);
        };
        match known.receiver.take(chunk) {
            Ok(()) | Err(ChunkError::Order { .. }) => Ok(known.receiver.expected()),
            Err(ChunkError::Store(error)) => Err(error.into()),
            Err(damaged @ ChunkError::Damaged { .. }) => Err(GroupError::Chunk(damaged)),
        }
    }

    /// Ends it when all its chunks are here: it is on stable storage, with how far the log is applied in it.
    /// Blocks while the disk is written.
    pub(crate) fn end(
        &self,
        snapshot: u64,
        chunks: u64,
    ) -> Result<(Bytes, ReceivedSnapshot), GroupError> {
        let mut receiving = self.lock();
        let is_whole =
            |known: &Receiving| known.snapshot == snapshot && known.receiver.expected() == chunks;
        let Some(Receiving { receiver, applied, .. }) = receiving.take_if(|known| is_whole(known))
        else {
            return Err(GroupError::UnknownSnapshot);
        };
        Ok((applied, receiver.finish()?))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Receiving>> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
