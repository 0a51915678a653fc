//! The check of fjall's journals before fjall sees them. fjall takes a broken batch for the end of
//! the journal and cuts off what follows; that is right for a torn tail, which nobody was told of,
//! and loses synced commits when it is damage. The numbers that every batch carries, and the
//! high-water mark, tell the two apart.

use crate::creation;
use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::journal::{Batch, JournalReader, Next, TRAILER};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One journal, as far as it can be read.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    has_batches: bool,
    /// Numbers of the first and the last batch that carries one.
    first: Option<u64>,
    last: Option<u64>,
    /// Where the last whole batch ends, when something else than zeros follows.
    pub(crate) broken_at: Option<u64>,
    /// Whole batches behind the broken one.
    later: Option<Later>,
}

/// What whole batches behind a broken one say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Later {
    last: u64,
    synced: u64,
}

/// What nobody was told of, at the end of the last journal.
#[derive(Debug)]
pub(crate) struct TornTail {
    pub(crate) journal: PathBuf,
    /// Where the last whole batch ends.
    pub(crate) at: u64,
}

impl TornTail {
    /// Copies it to a file, where it replaces the copy of an earlier one, and cuts it off: had the check
    /// been wrong, or a later one refuse, it would be what there is left to look at.
    pub(crate) fn cut(&self, copy: &Path) -> Result<(), StoreError> {
        let name = self.journal.file_name().unwrap_or_default().to_string_lossy();
        self.keep(&name, copy).map_err(failed)?;
        tracing::warn!(
            journal = %name,
            byte = self.at,
            copy = %copy.display(),
            "a torn tail is cut off and kept in a copy: nothing in it was synced"
        );
        let file = OpenOptions::new().write(true).open(&self.journal).map_err(failed)?;
        file.set_len(self.at).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// A line that says where it stood, and what stood there.
    fn keep(&self, name: &str, copy: &Path) -> io::Result<()> {
        let tail = rest(&self.journal, self.at)?;
        let draft = copy.with_extension("new");
        let mut file = File::create(&draft)?;
        writeln!(file, "{name} from {}: {} bytes", self.at, tail.len())?;
        file.write_all(&tail)?;
        file.sync_all()?;
        fs::rename(draft, copy)?;
        creation::sync_name(copy)
    }
}

/// Checks all journals of a database directory, and changes nothing. `synced` is the high-water mark;
/// `in_tables` tells the last commit that tables hold, and is asked when no journal begins with a whole
/// one.
///
/// # Errors
/// When a batch is missing or broken that was on stable storage.
pub(crate) fn check(
    directory: &Path,
    synced: u64,
    in_tables: impl FnOnce() -> io::Result<u64>,
) -> Result<Option<TornTail>, StoreError> {
    let journals = journals(directory).map_err(failed)?;
    let mut last = None;
    let mut torn = None;
    for (index, path) in journals.iter().enumerate() {
        let scan = scan(path).map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        scan.check_order(&name, last)?;
        last = scan.last.or(last);
        let is_sealed = index + 1 < journals.len();
        if is_sealed && !scan.has_batches && scan.broken_at.is_none() {
            return Err(Damage::elsewhere(format!(
                "journal {name} is empty, but journals were written after it"
            )));
        }
        let Some(broken_at) = scan.broken_at else { continue };
        let later = scan.later.unwrap_or_default();
        let known_synced = synced.max(later.synced);
        if is_sealed || known_synced > last.unwrap_or(if scan.later.is_some() { 0 } else { synced })
        {
            return Err(Damage::elsewhere(format!(
                "journal {name} is broken at byte {broken_at}: commits {} to {} of the store were on stable storage and can't be read",
                last.map_or("up".to_owned(), |last| (last + 1).to_string()),
                known_synced.max(later.last),
            )));
        }
        torn = Some(TornTail { journal: path.clone(), at: broken_at });
    }
    if torn.is_some() && last.is_none() {
        let in_tables = in_tables().map_err(failed)?;
        if in_tables < synced {
            return Err(Damage::elsewhere(format!(
                "the journals can't be read from their beginning: commits {} to {synced} of the store \
                 were on stable storage and can't be read",
                in_tables + 1
            )));
        }
    }
    match last {
        Some(last) if last < synced => Err(Damage::elsewhere(format!(
            "the journals end with commit {last} of the store, but commits up to {synced} were on stable storage"
        ))),
        _ => Ok(torn),
    }
}

impl Scan {
    fn check_order(&self, name: &str, before: Option<u64>) -> Result<(), StoreError> {
        match (before, self.first) {
            (Some(before), Some(first)) if first != before + 1 => Err(Damage::elsewhere(format!(
                "journal {name} begins with commit {first} of the store, the journals before it end with {before}"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes in a batch, if it stands where it belongs.
    fn add(&mut self, batch: &Batch, seqno: &mut Option<u64>) -> bool {
        let follows = self.last.zip(batch.progress);
        if seqno.is_some_and(|seqno| batch.seqno <= seqno)
            || follows.is_some_and(|(last, progress)| progress.applied != last + 1)
        {
            return false;
        }
        *seqno = Some(batch.seqno);
        self.has_batches = true;
        if let Some(progress) = batch.progress {
            self.first = self.first.or(Some(progress.applied));
            self.last = Some(progress.applied);
        }
        true
    }
}

/// Journals in their order.
pub(crate) fn journals(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

pub(crate) fn scan(path: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut reader = JournalReader::new(BufReader::with_capacity(1 << 16, File::open(path)?));
    let mut seqno = None;
    loop {
        let at = reader.position();
        match reader.next()? {
            Next::Batch(batch) if scan.add(&batch, &mut seqno) => {}
            Next::End => return Ok(scan),
            // A batch out of order had its number damaged, or the one before had.
            Next::Batch(_) | Next::Broken => {
                scan.broken_at = Some(at);
                scan.later = later(path, at)?;
                return Ok(scan);
            }
        }
    }
}

/// The whole batches behind a broken one: a batch begins where a trailer ends.
fn later(path: &Path, broken_at: u64) -> io::Result<Option<Later>> {
    let rest = rest(path, broken_at)?;
    let mut later: Option<Later> = None;
    let mut searched = 0;
    while let Some(found) = find(rest.get(searched..).unwrap_or_default(), TRAILER) {
        searched += found + TRAILER.len();
        let mut reader = JournalReader::new(rest.get(searched..).unwrap_or_default());
        while let Next::Batch(batch) = reader.next()? {
            searched += reader.position() as usize;
            let progress = batch.progress.unwrap_or_default();
            let so_far = later.unwrap_or_default();
            later = Some(Later {
                last: so_far.last.max(progress.applied),
                synced: so_far.synced.max(progress.synced),
            });
            reader = JournalReader::new(rest.get(searched..).unwrap_or_default());
        }
    }
    Ok(later)
}

/// What a journal holds from a byte on, without most of the zeros at its end.
fn rest(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    while rest.ends_with(&ZEROS) {
        rest.truncate(rest.len() - ZEROS.len());
    }
    Ok(rest)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn failed(error: io::Error) -> StoreError {
    StoreError::failed("check its journals", error)
}
