//! The data directory: who may use it, and which format it has. Everything in it belongs to the
//! store.
//!
//! ```text
//! LOCK            locked while a process has the directory open
//! FORMAT          "forebay data format 3"; 4 of a node of a cluster
//! HIGH-WATER      the last commit that is on stable storage
//! DAMAGED         damage that was met and is looked for again at the next start, if there is any
//! TORN-TAIL       what was cut off the end of a journal last, if anything was
//! snapshot.part   what a node has of a snapshot that another one sends
//! snapshot        a whole one, which is put in the place of what the node has
//! lag/            lag histories of queues, a file for each day
//! fjall/          pages, bodies, acks, meta, delayed messages and their journals
//! fjall.building/ what a repair has come to so far
//! fjall.repaired/ what it made, complete; it takes the place of fjall/ at once
//! damaged-N/      what a repair put aside: REPORT.txt, and what is damaged as it was
//! ```

use crate::creation;
use crate::error::StoreError;
use crate::limits::{
    FORMAT_VERSION, FORMAT_VERSION_OLDEST, FORMAT_VERSION_WITH_DELAYED, FORMAT_VERSION_WITH_LOG,
};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_DRAFT: &str = "FORMAT.new";
const FORMAT_PREFIX: &str = "forebay data format ";
const HIGH_WATER_FILE: &str = "HIGH-WATER";
const DAMAGE_NOTES_FILE: &str = "DAMAGED";
const TORN_TAIL_FILE: &str = "TORN-TAIL";
const SNAPSHOT_FILE: &str = "snapshot";
const SNAPSHOT_DRAFT: &str = "snapshot.part";
const DATABASE_DIRECTORY: &str = "fjall";
const BUILDING_DIRECTORY: &str = "fjall.building";
const REPAIRED_DIRECTORY: &str = "fjall.repaired";
/// What a new file system may hold already.
const IGNORED: [&str; 3] = [LOCK_FILE, FORMAT_DRAFT, "lost+found"];

/// A data directory that nobody else has open, of a format that is known here.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// A replicated log is in it, or will be.
    is_replica: bool,
    /// Unlocked by the system when it is closed, even by a kill.
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory of a single machine; creates it, for its owner only, when it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        // Looked at before anything is made, and again when nobody else can change it any more.
        check_data_directory(path)?;
        let directory = Self::open_as(path, false)?;
        check_data_directory(path)?;
        Ok(directory)
    }

    /// Opens the directory of a replica; one of a single machine becomes that of a replica.
    pub(crate) fn open_replica(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, true)
    }

    fn open_as(path: &Path, is_replica: bool) -> Result<Self, StoreError> {
        let unwritable = |source| StoreError::Unwritable { directory: path.into(), source };
        check(path)?;
        create(path).map_err(unwritable)?;
        let lock = lock(path)?;
        // Another process may have been faster.
        if check(path)? == Content::Nothing {
            write_format(path, is_replica).map_err(unwritable)?;
        }
        let directory = Self { path: path.into(), is_replica, _lock: lock };
        if directory.is_repair_interrupted() {
            return Err(StoreError::RepairInterrupted { directory: path.into() });
        }
        Ok(directory)
    }

    /// Opens a directory that is there, and makes nothing in it.
    pub(crate) fn existing(path: &Path) -> Result<Self, StoreError> {
        let format = match fs::read(path.join(FORMAT_FILE)) {
            Ok(content) => check_format(path, &content)?,
            Err(error) => {
                let directory = path.into();
                return Err(match error.kind() {
                    _ if !path.exists() => StoreError::NoDirectory { directory },
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                        StoreError::ForeignDirectory { directory }
                    }
                    _ => StoreError::failed("read the data directory", error),
                });
            }
        };
        let is_replica = format >= FORMAT_VERSION_WITH_LOG;
        Ok(Self { path: path.into(), is_replica, _lock: lock(path)? })
    }

    /// Whether a program that knows of delayed messages has written here, or nothing has been yet.
    pub(crate) fn knows_delayed(&self) -> bool {
        let content = fs::read(self.path.join(FORMAT_FILE)).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let number = text.trim().strip_prefix(FORMAT_PREFIX).and_then(|number| number.parse().ok());
        number.is_none_or(|number: u32| number >= FORMAT_VERSION_WITH_DELAYED)
    }

    /// Says that this program has written here: an older one would take what it does not know for damage.
    ///
    /// # Errors
    /// When the file can't be written; then it is as it was.
    pub(crate) fn renew_format(&self) -> io::Result<()> {
        let content = fs::read(self.path.join(FORMAT_FILE))?;
        match content == format_text(self.is_replica).as_bytes() {
            true => Ok(()),
            false => write_format(&self.path, self.is_replica),
        }
    }

    /// Whether only the last step of a repair is missing: putting what it made in place.
    pub(crate) fn is_repair_interrupted(&self) -> bool {
        self.repaired().is_dir() && !self.database().exists()
    }

    /// Refuses the directory of a replica.
    ///
    /// # Errors
    /// When it is one.
    pub(crate) fn expect_single(&self) -> Result<(), StoreError> {
        match self.is_replica {
            true => Err(StoreError::OfReplica { directory: self.path.clone() }),
            false => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn high_water(&self) -> PathBuf {
        self.path.join(HIGH_WATER_FILE)
    }

    pub(crate) fn damage_notes(&self) -> PathBuf {
        self.path.join(DAMAGE_NOTES_FILE)
    }

    pub(crate) fn torn_tail(&self) -> PathBuf {
        self.path.join(TORN_TAIL_FILE)
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.path.join(SNAPSHOT_FILE)
    }

    pub(crate) fn snapshot_draft(&self) -> PathBuf {
        self.path.join(SNAPSHOT_DRAFT)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE_DIRECTORY)
    }

    pub(crate) fn building(&self) -> PathBuf {
        self.path.join(BUILDING_DIRECTORY)
    }

    pub(crate) fn repaired(&self) -> PathBuf {
        self.path.join(REPAIRED_DIRECTORY)
    }

    /// Makes renamed and new entries last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// What a directory holds that a broker may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Data of a format that is known here: this one.
    Data(u32),
    /// Nothing, or it is not there.
    Nothing,
}

/// Whether a broker on a single machine may have this directory: it holds data of a format that is known
/// here and no replicated log, or nothing, or is not there. Looks only: a directory of somebody else stays
/// as it is.
///
/// # Errors
/// When it may not, or the directory can't be read.
pub fn check_data_directory(path: &Path) -> Result<(), StoreError> {
    match check(path)? {
        Content::Data(FORMAT_VERSION_WITH_LOG..) => {
            Err(StoreError::OfReplica { directory: path.into() })
        }
        Content::Data(_) | Content::Nothing => Ok(()),
    }
}

fn check(path: &Path) -> Result<Content, StoreError> {
    let unwritable = |source| StoreError::Unwritable { directory: path.into(), source };
    match fs::read(path.join(FORMAT_FILE)) {
        Ok(content) => check_format(path, &content).map(Content::Data),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match is_empty(path) {
            Ok(true) => Ok(Content::Nothing),
            Ok(false) => Err(StoreError::ForeignDirectory { directory: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::Nothing),
            Err(error) => Err(unwritable(error)),
        },
        Err(error) => Err(unwritable(error)),
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let new: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    builder.create(path)?;
    for directory in new.into_iter().filter(|directory| !directory.as_os_str().is_empty()) {
        creation::sync_name(directory)?;
    }
    // Had an earlier start ended before this; of no use where the parent is none of ours to read.
    let _ = creation::sync_name(path);
    Ok(())
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_FILE))
        .map_err(|source| StoreError::Unwritable { directory: path.into(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { directory: path.into() }),
        Err(TryLockError::Error(error)) => {
            Err(StoreError::failed("lock the data directory", error))
        }
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !IGNORED.iter().any(|ignored| name == *ignored) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The format, when it is known here.
fn check_format(path: &Path, content: &[u8]) -> Result<u32, StoreError> {
    let text = String::from_utf8_lossy(content);
    let found = text
        .trim()
        .strip_prefix(FORMAT_PREFIX)
        .and_then(|number| number.parse::<u32>().ok())
        .ok_or_else(|| StoreError::BadFormat {
            directory: path.into(),
            found: text.trim().chars().take(80).flat_map(char::escape_default).collect(),
        })?;
    if found < FORMAT_VERSION_OLDEST {
        return Err(StoreError::OlderFormat {
            directory: path.into(),
            found,
            oldest: FORMAT_VERSION_OLDEST,
            supported: FORMAT_VERSION_WITH_LOG,
        });
    }
    if found > FORMAT_VERSION_WITH_LOG {
        return Err(StoreError::NewerFormat {
            directory: path.into(),
            found,
            supported: FORMAT_VERSION_WITH_LOG,
        });
    }
    Ok(found)
}

fn format_text(is_replica: bool) -> String {
    let version = if is_replica { FORMAT_VERSION_WITH_LOG } else { FORMAT_VERSION };
    format!("{FORMAT_PREFIX}{version}\n")
}

fn write_format(path: &Path, is_replica: bool) -> io::Result<()> {
    let draft = path.join(FORMAT_DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(format_text(is_replica).as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path.join(FORMAT_FILE))?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_created_for_its_owner_only_and_locked() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let opened = DataDirectory::open(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let error = DataDirectory::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }));
        assert!(error.to_string().contains(&path.display().to_string()));
        drop(opened);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn a_newer_format_an_older_one_and_a_senseless_one_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(directory.path()).unwrap());
        let format = directory.path().join(FORMAT_FILE);
        fs::write(&format, "forebay data format 5\n").unwrap();
        assert!(matches!(
            DataDirectory::open(directory.path()),
            Err(StoreError::NewerFormat { found: 5, .. })
        ));
        fs::write(&format, "forebay data format 0\n").unwrap();
        assert!(matches!(
            DataDirectory::open(directory.path()),
            Err(StoreError::OlderFormat { found: 0, oldest: 1, .. })
        ));
        for senseless in ["", "forebay data format x", "\u{0}\u{0}", "forebay data format -1"] {
            fs::write(&format, senseless).unwrap();
            assert!(matches!(
                DataDirectory::open(directory.path()),
                Err(StoreError::BadFormat { .. })
            ));
        }
    }

    #[test]
    fn a_directory_becomes_that_of_a_replica_and_never_again_that_of_a_single_machine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        drop(DataDirectory::open(path).unwrap());
        let format = || fs::read_to_string(path.join(FORMAT_FILE)).unwrap();
        assert_eq!(format(), "forebay data format 3\n");
        DataDirectory::open_replica(path).unwrap().renew_format().unwrap();
        assert_eq!(format(), "forebay data format 4\n");
        for error in
            [check_data_directory(path).unwrap_err(), DataDirectory::open(path).unwrap_err()]
        {
            assert!(matches!(error, StoreError::OfReplica { .. }), "{error}");
        }
        let existing = DataDirectory::existing(path).unwrap();
        assert!(matches!(existing.expect_single(), Err(StoreError::OfReplica { .. })));
        drop(existing);
        DataDirectory::open_replica(path).unwrap().renew_format().unwrap();
        assert_eq!(format(), "forebay data format 4\n");
    }

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("lost+found")).unwrap();
        drop(DataDirectory::open(directory.path()).unwrap());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(
            DataDirectory::open(other.path()),
            Err(StoreError::ForeignDirectory { .. })
        ));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_directory_is_judged_without_being_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        check_data_directory(&path.join("to be made")).unwrap();
        check_data_directory(path).unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        fs::write(path.join(FORMAT_FILE), "\u{1b}]0;title\u{7}\u{202e}").unwrap();
        for error in
            [check_data_directory(path).unwrap_err(), DataDirectory::open(path).unwrap_err()]
        {
            assert!(matches!(error, StoreError::BadFormat { .. }));
            let text = error.to_string();
            assert!(text.contains("\\u{1b}]0;title") && !text.contains('\u{1b}'), "{text}");
        }
        assert_eq!(fs::read_dir(path).unwrap().count(), 1, "no LOCK");
        let file = path.join(FORMAT_FILE);
        assert!(matches!(check_data_directory(&file), Err(StoreError::Unwritable { .. })));
    }

    #[test]
    fn looking_at_what_is_there_makes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("nowhere");
        let error = DataDirectory::existing(&nowhere).unwrap_err();
        assert!(matches!(error, StoreError::NoDirectory { .. }));
        assert!(!nowhere.exists());
        let error = DataDirectory::existing(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::ForeignDirectory { .. }));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(DataDirectory::open(directory.path()).unwrap());
        let opened = DataDirectory::existing(directory.path()).unwrap();
        assert!(matches!(DataDirectory::existing(opened.path()), Err(StoreError::Locked { .. })));
    }

    #[test]
    fn a_path_that_can_t_be_a_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDirectory::open(&file.join("data")).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }));
        assert!(error.to_string().contains("file/data"));
    }
}
