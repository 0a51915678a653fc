//! Reads the files of a running store again and again, slowly, on a thread of its own with the lowest
//! priority: a disk that forgets is found out before the message is wanted. Reads come from the disk,
//! past the system's cache, and leave it as it is.
//!
//! Tables and the files of large bodies never change once they are written, and their manifests say
//! which checksum each one has. Journals are left out: what they hold is in memory, and every start
//! checks them.

use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::database::{self, Space};
use crate::fjall::direct_file::DirectFile;
use crate::fjall::recovery;
use crate::fjall::shared::Shared;
use crate::format::key;
use crate::limits::{SCRUB_MANIFEST_READS_MAX, SCRUB_PAUSE, SCRUB_WINDOW_SIZE};
use crate::repair::salvage::{DamagedStretch, Manifest, damaged_stretches};
use forebay_engine::model::Offset;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::Xxh3;

/// The lowest priority that a thread can have.
const NICENESS: i32 = 19;
/// The scrubber's handle: dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Scrubber {
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct End {
    is_there: Mutex<bool>,
    changed: Condvar,
}

impl Scrubber {
    /// At most so many bytes a second.
    pub(crate) fn start(shared: Arc<Shared>, bytes_per_second: u64) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let worker = Worker {
            shared,
            bytes_per_second: bytes_per_second.max(1),
            end: Arc::clone(&end),
            damaged: BTreeSet::new(),
        };
        let thread =
            Builder::new().name("forebay-scrubber".to_owned()).spawn(move || worker.run())?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        *self.end.is_there.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the panic hook has told.
            let _ = thread.join();
        }
    }
}

impl End {
    /// Waits so long, or until the end; tells whether that is there.
    fn wait(&self, duration: Duration) -> bool {
        let is_there = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_there, _) = self
            .changed
            .wait_timeout_while(is_there, duration, |is_there| !*is_there)
            .unwrap_or_else(PoisonError::into_inner);
        *is_there
    }
}

struct Worker {
    shared: Arc<Shared>,
    bytes_per_second: u64,
    end: Arc<End>,
    /// Files that were named already.
    damaged: BTreeSet<PathBuf>,
}

/// Why a round ends early.
enum Stop {
    Ending,
    Failed(StoreError),
}

impl Worker {
    fn run(mut self) {
        // On Linux this is the thread's own. Without it the thread is just not as polite.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        loop {
            match self.round() {
                Ok(()) => drop(self.shared.scrubbed.rounds.fetch_add(1, Ordering::Relaxed)),
                Err(Stop::Ending) => return,
                Err(Stop::Failed(error)) => {
                    tracing::error!(%error, "what is stored can't be read again");
                }
            }
            if self.end.wait(SCRUB_PAUSE) {
                return;
            }
        }
    }

    fn round(&mut self) -> Result<(), Stop> {
        let database = self.shared.database_path();
        self.damaged.retain(|path| path.exists());
        for id in 0..=database::DELAYED_ID {
            let keyspace = database.join("keyspaces").join(id.to_string());
            let Some(manifest) = manifest(&keyspace)? else { continue };
            let tables = manifest.tables.iter().map(|file| ("tables", file));
            let blob_files = manifest.blob_files.iter().map(|file| ("blobs", file));
            for (directory, (file, checksum)) in tables.chain(blob_files) {
                let path = keyspace.join(directory).join(file.to_string());
                if !self.damaged.contains(&path) && !self.is_sound(&path, *checksum)? {
                    self.report(id, &path)?;
                    self.damaged.insert(path);
                }
            }
        }
        let count = self.damaged.len() as u64;
        self.shared.scrubbed.files_damaged.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a file has its checksum, or is gone.
    fn is_sound(&self, path: &Path, checksum: u128) -> Result<bool, Stop> {
        let mut file = match DirectFile::open(path, SCRUB_WINDOW_SIZE) {
            Ok(file) => file,
            // It was merged into others.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed(error)),
        };
        let mut hasher = Xxh3::new();
        loop {
            let start = Instant::now();
            let window = file.next().map_err(failed)?;
            if window.is_empty() {
                return Ok(hasher.digest128() == checksum);
            }
            hasher.update(window);
            let bytes = window.len() as u64;
            self.shared.scrubbed.bytes.fetch_add(bytes, Ordering::Relaxed);
            let due = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            if self.end.wait(due.saturating_sub(start.elapsed())) {
                return Err(Stop::Ending);
            }
        }
    }

    /// Names what is in the damaged parts of a file.
    fn report(&self, keyspace: u64, path: &Path) -> Result<(), Stop> {
        let is_pages = keyspace == Space::Pages as u64 + 1;
        let stretches = if is_pages { damaged_stretches(path) } else { Ok(Vec::new()) };
        let stretches = stretches.map_err(failed)?;
        if stretches.is_empty() {
            let what = "does not match its checksum".to_owned();
            self.tell(Damage { what, ..Damage::default() }, path);
        }
        for DamagedStretch { before, damage, after } in stretches {
            let mut damage = Damage { what: damage.what, ..Damage::default() };
            let before = before.as_ref().and_then(|key| key::parse_page(key));
            let after = after.as_ref().and_then(|key| key::parse_page(key));
            let place = |(queue, level, first)| ((queue, level), first);
            let (before, after) = (before.map(place), after.map(place));
            if let Some((level, first)) = before.or(after) {
                let end = after.filter(|(other, _)| *other == level).map(|(_, first)| first);
                let first = before.map_or(Offset(0), |_| first);
                damage.level = Some(level);
                damage.offsets = Some((first, end));
                damage.what += "; the messages of these offsets that are not acknowledged yet";
            }
            self.tell(damage, path);
        }
        Ok(())
    }

    fn tell(&self, mut damage: Damage, path: &Path) {
        damage.file = Some(path.to_owned());
        let error = recovery::named(damage.into(), &self.shared.database.view());
        tracing::error!(
            "{error}. The broker goes on until that is to be read; see `forebay verify` and `forebay repair`"
        );
    }
}

fn manifest(keyspace: &Path) -> Result<Option<Manifest>, Stop> {
    let mut read = Manifest::read(keyspace);
    for _ in 1..SCRUB_MANIFEST_READS_MAX {
        if read.is_ok() {
            break;
        }
        read = Manifest::read(keyspace);
    }
    read.map_err(Stop::Failed)
}

fn failed(error: io::Error) -> Stop {
    Stop::Failed(StoreError::failed("read its files again", error))
}
