//! The lag histories of queues: a file for each day in `lag/` of the data directory.
//!
//! They are no messages, and losing one loses no message. So they stand beside the database, in files that are written anew
//! as a whole, with a sync, and put in place at once.
//!
//! ```text
//! DAY             the number of the day, in days since 1970
//!     content:    { queue:u64 length:u16 value }*
//!     value:      version and checksum over day, queue and content, and the encoded day
//! damaged/DAY     a file of which something was damaged, as it was
//! ```

use crate::damage::{Damage, QueueName};
use crate::format::checksummed::{seal, unseal};
use crate::limits::{LAG_DAMAGED_FILES_MAX, LAG_DAY_BYTES_MAX, LAG_DAYS_MAX};
use bytes::Bytes;
use forebay_engine::model::QueueId;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "lag";
const DRAFT: &str = "draft";
const DAMAGED: &str = "damaged";

/// The files of the lag histories in a data directory.
#[derive(Clone, Debug)]
pub struct LagHistories {
    directory: PathBuf,
}

/// A day of a queue, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagDay {
    /// The queue.
    pub queue: QueueId,
    /// Its day.
    pub encoded: Vec<u8>,
}

/// What one file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagFile {
    /// In days since 1970.
    pub day: u64,
    /// What could be read.
    pub days: Vec<LagDay>,
    /// What could not: whose, where that can be told; once `None` when where the next one begins is not known.
    pub damaged: Vec<Option<QueueId>>,
}

/// Whether a file, named from the data directory on, is one of lag histories.
pub(crate) fn is_one(file: &Path) -> bool {
    file.starts_with(DIRECTORY)
}

fn key(day: u64, queue: QueueId) -> [u8; 16] {
    let mut key = [0; 16];
    let (left, right) = key.split_at_mut(8);
    left.copy_from_slice(&day.to_be_bytes());
    right.copy_from_slice(&queue.0.to_be_bytes());
    key
}

impl LagHistories {
    /// Those of a data directory that is open.
    #[must_use]
    pub fn of(data_directory: &Path) -> Self {
        Self { directory: data_directory.join(DIRECTORY) }
    }

    /// All files, the oldest first; what is damaged is left out and counted.
    ///
    /// # Errors
    /// When a file can't be read at all.
    pub fn read(&self) -> io::Result<Vec<LagFile>> {
        let mut files = Vec::new();
        for day in self.days()? {
            files.push(parse(day, &fs::read(self.path(day))?));
        }
        Ok(files)
    }

    /// Puts a day's file in place, and removes all but the `kept` newest, at most [`LAG_DAYS_MAX`].
    ///
    /// # Errors
    /// When it can't be written; then the file is as it was.
    pub fn write(
        &self,
        day: u64,
        days: impl Iterator<Item = LagDay>,
        kept: usize,
    ) -> io::Result<()> {
        self.put(day, days)?;
        let days = self.days()?;
        for old in days.iter().rev().skip(kept.min(LAG_DAYS_MAX)) {
            fs::remove_file(self.path(*old))?;
        }
        Ok(())
    }

    fn put(&self, day: u64, days: impl Iterator<Item = LagDay>) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut content = Vec::new();
        for LagDay { queue, encoded } in days {
            let value = seal(&key(day, queue), &encoded);
            let length =
                u16::try_from(value.len()).ok().filter(|_| encoded.len() <= LAG_DAY_BYTES_MAX);
            let too_long = || io::Error::other("a day of a lag history is too long");
            content.extend(queue.0.to_be_bytes());
            content.extend(length.ok_or_else(too_long)?.to_be_bytes());
            content.extend(&value);
        }
        let draft = self.directory.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&draft, self.path(day))?;
        File::open(&self.directory)?.sync_all()
    }

    /// Puts aside a file of which something is damaged, as it was, and in its place one of what could be read.
    ///
    /// # Errors
    /// When that can't be written; then the file is as it was.
    pub fn set_aside(&self, file: &LagFile, aside: &Path) -> io::Result<()> {
        fs::create_dir_all(aside)?;
        let path = aside.join(file.day.to_string());
        fs::copy(self.path(file.day), &path)?;
        File::open(&path)?.sync_all()?;
        File::open(aside)?.sync_all()?;
        self.put(file.day, file.days.iter().cloned())
    }

    /// Where a running broker puts damaged files aside: the newest [`LAG_DAMAGED_FILES_MAX`].
    ///
    /// # Errors
    /// When one can't be written.
    pub fn set_aside_here(&self, file: &LagFile) -> io::Result<PathBuf> {
        let aside = self.directory.join(DAMAGED);
        self.set_aside(file, &aside)?;
        let there = Self { directory: aside };
        for old in there.days()?.iter().rev().skip(LAG_DAMAGED_FILES_MAX) {
            fs::remove_file(there.path(*old))?;
        }
        Ok(there.path(file.day))
    }

    /// What is damaged, each queue by its name where that is known.
    pub(crate) fn damages(
        files: &[LagFile],
        name: impl Fn(QueueId) -> Option<QueueName>,
    ) -> Vec<Damage> {
        let damage = |day: u64, queue: &Option<QueueId>| {
            let queue_name = queue.and_then(&name);
            let whose = match (&queue_name, queue) {
                (Some(QueueName { vhost, name }), _) => {
                    format!("the lag history of queue '{name}' in vhost '{vhost}'")
                }
                (None, Some(id)) => format!("the lag history of queue id {id}"),
                (None, None) => "what follows of the lag histories".to_owned(),
            };
            let what = format!(
                "{whose} is damaged: what was learnt on this day of its normal lag is lost, and no message"
            );
            Damage {
                queue: queue_name,
                file: Some(Path::new(DIRECTORY).join(day.to_string())),
                what,
                ..Damage::default()
            }
        };
        let of_file = |file: &LagFile| -> Vec<Damage> {
            file.damaged.iter().map(|queue| damage(file.day, queue)).collect()
        };
        files.iter().flat_map(of_file).collect()
    }

    fn path(&self, day: u64) -> PathBuf {
        self.directory.join(day.to_string())
    }

    fn days(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut days = Vec::new();
        for entry in entries {
            days.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        days.sort_unstable();
        Ok(days)
    }
}

fn parse(day: u64, mut content: &[u8]) -> LagFile {
    let mut file = LagFile { day, ..LagFile::default() };
    while !content.is_empty() {
        let Some((queue, value, rest)) = split(content) else {
            // Where the next one begins is not known.
            file.damaged.push(None);
            break;
        };
        match unseal(&key(day, queue), &Bytes::copy_from_slice(value)) {
            Ok(encoded) => file.days.push(LagDay { queue, encoded: encoded.to_vec() }),
            Err(_) => file.damaged.push(Some(queue)),
        }
        content = rest;
    }
    file
}

fn split(content: &[u8]) -> Option<(QueueId, &[u8], &[u8])> {
    let (queue, rest) = content.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((QueueId(u64::from_be_bytes(*queue)), value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(queue: u64) -> LagDay {
        LagDay { queue: QueueId(queue), encoded: vec![queue as u8; 20] }
    }

    #[test]
    fn days_come_back_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let histories = LagHistories::of(directory.path());
        assert_eq!(histories.read().unwrap(), []);
        for number in 0..40 {
            histories.write(number, [day(1), day(2)].into_iter(), LAG_DAYS_MAX).unwrap();
        }
        let files = histories.read().unwrap();
        assert_eq!(files.len(), LAG_DAYS_MAX);
        assert_eq!(
            files.last().unwrap(),
            &LagFile { day: 39, days: vec![day(1), day(2)], damaged: vec![] }
        );
        histories.write(39, [day(3)].into_iter(), LAG_DAYS_MAX).unwrap();
        assert_eq!(histories.read().unwrap().last().unwrap().days, [day(3)]);
        histories.write(40, [day(3)].into_iter(), 10).unwrap();
        let kept: Vec<u64> = histories.read().unwrap().iter().map(|file| file.day).collect();
        assert_eq!(kept, (31..=40).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_damaged_is_left_out_and_no_bytes_are_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let histories = LagHistories::of(directory.path());
        histories.write(7, [day(1), day(2)].into_iter(), LAG_DAYS_MAX).unwrap();
        let path = directory.path().join("lag/7");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x10;
            let file = parse(7, &spoilt);
            assert!(!file.damaged.is_empty(), "byte {at}");
            assert!(file.days.iter().all(|kept| [day(1), day(2)].contains(kept)), "byte {at}");
            assert!(parse(7, &whole[..at]).days.len() < 2);
        }
        let both = vec![Some(QueueId(1)), Some(QueueId(2))];
        assert_eq!(parse(8, &whole).damaged, both, "under the name of another day");
        let mut spoilt = whole.clone();
        *spoilt.last_mut().unwrap() ^= 1;
        fs::write(&path, &spoilt).unwrap();
        let files = histories.read().unwrap();
        let name = QueueName { vhost: "/".to_owned(), name: "orders".to_owned() };
        let [damage] = &LagHistories::damages(&files, |_| Some(name.clone()))[..] else { panic!() };
        assert!(damage.to_string().starts_with("file lag/7: "), "{damage}");
        assert_eq!(damage.queue, Some(name));
        let aside = histories.set_aside_here(&files[0]).unwrap();
        assert_eq!(fs::read(aside).unwrap(), spoilt);
        let kept = LagFile { day: 7, days: vec![day(1)], damaged: vec![] };
        assert_eq!(histories.read().unwrap(), [kept], "what could be read is still there");
    }
}
