//! A disk that lies in this process, mounted for the broker through FUSE. It keeps a history of
//! every change, so that a test can work out what a power loss at any moment could have left, and
//! it fails when it is told to.

mod content;
mod merges;
mod mount;
mod operation;
mod power_loss;
mod trouble;
mod volume;

pub(crate) use mount::Mount;
pub(crate) use power_loss::{Fate, power_loss};
pub(crate) use trouble::{Deed, Trouble};
pub(crate) use volume::Volume;

use crate::load::Clock;
use fuser::{Errno, ReplyEmpty};
use operation::Operation;
use std::sync::{Arc, Mutex, MutexGuard};

/// A disk, shared by the test and the file system that serves it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What was on the disk before the first operation, all of it durable.
    first: Volume,
    history: Vec<Operation>,
    /// What the processes see: `first` with the whole history.
    now: Volume,
    troubles: Vec<Trouble>,
    /// Syncs that nobody answers, while it hangs.
    hanging: Option<Vec<ReplyEmpty>>,
    /// Bytes that files may hold together; no bound when 0.
    capacity: u64,
}

/// How many changes a disk had seen.
pub(crate) type Moment = usize;

impl Disk {
    /// A disk with this on it.
    pub(crate) fn with(volume: Volume) -> Self {
        let state = State { first: volume.clone(), now: volume, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A disk that is full with so many bytes.
    pub(crate) fn of_size(capacity: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { capacity, ..State::default() })) }
    }

    /// The present moment of its history.
    pub(crate) fn moment(&self) -> Moment {
        self.lock().history.len()
    }

    /// Its moments, for those who note what was promised when.
    pub(crate) fn clock(&self) -> Clock {
        let disk = self.clone();
        Arc::new(move || disk.moment())
    }

    /// What a power loss at that moment leaves, as fate has it.
    pub(crate) fn after_power_loss(&self, moment: Moment, fate: &mut Fate) -> Volume {
        let state = self.lock();
        power_loss(&state.first, &state.history[..moment], fate)
    }

    /// What the processes see.
    pub(crate) fn content(&self) -> Volume {
        self.lock().now.clone()
    }

    /// From now on it fails like this.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.lock().troubles.push(trouble);
    }

    /// How often its troubles have struck.
    pub(crate) fn strikes(&self) -> u64 {
        self.lock().troubles.iter().map(|trouble| trouble.strikes).sum()
    }

    /// From now on no sync comes back.
    pub(crate) fn hang(&self) {
        self.lock().hanging = Some(Vec::new());
    }

    /// Syncs that have not come back.
    pub(crate) fn hanging(&self) -> usize {
        self.lock().hanging.as_ref().map_or(0, Vec::len)
    }

    /// It works again; what hung has failed.
    pub(crate) fn mend(&self) {
        let mut state = self.lock();
        state.troubles.clear();
        for reply in state.hanging.take().unwrap_or_default() {
            reply.error(Errno::EIO);
        }
    }

    /// Its size from now on.
    pub(crate) fn resize(&self, capacity: u64) {
        self.lock().capacity = capacity;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
