//! A bit is flipped, or a block zeroed, somewhere in the files of a store: it is opened with
//! everything in it, or the damage is reported. Never silently less.

use super::*;
use crate::workload::{Workload, put_record};
use forebay_engine::operation::RecoveredLane;
use std::fs;
use std::path::PathBuf;

/// Everything that a store holds.
#[derive(Debug, PartialEq)]
struct Content {
    records: Vec<(bytes::Bytes, bytes::Bytes)>,
    lanes: Vec<RecoveredLane>,
    pages: Vec<Vec<Page>>,
}

fn content(store: &FjallStore) -> Result<Content, StoreError> {
    let Recovered { records, lanes } = store.recover()?;
    let pages = lanes
        .iter()
        .map(|lane| store.read(lane.queue, lane.lane, Offset(0), usize::MAX))
        .collect::<Result<_, _>>()?;
    Ok(Content { records, lanes, pages })
}

/// Commits of which some are in tables and some in the journal only.
fn fill(store: &FjallStore, has_tables: bool) {
    let mut workload = Workload::default();
    for round in 0..30_u64 {
        let queue = QueueId(round % 3);
        let mut operations = vec![put_record(round as u8 % 5, round)];
        operations.push(workload.publish(queue, Lane(0), 0, &[20, 200, 2000]));
        if round % 7 == 0 {
            operations.push(workload.publish(queue, Lane(1), 0, &[66_000]));
        }
        if round % 2 == 0 {
            operations.extend(workload.settle(queue, Lane(0), &[0, 2]));
        }
        store.apply(&[workload.commit(operations, Durability::Synced)]).unwrap();
        if has_tables && round % 10 == 9 {
            store.shared.database.rotate().unwrap();
            while !store.shared.database.is_flushed() {
                std::thread::yield_now();
            }
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Flip,
    Zero,
    Cut,
}

/// Where the content of a file ends: a journal goes on with zeros.
fn used(octets: &[u8]) -> usize {
    octets.iter().rposition(|octet| *octet != 0).map_or(octets.len(), |last| last + 1)
}

fn harm(file: &Path, harm: Harm, random: &mut Random) -> String {
    let mut octets = fs::read(file).unwrap();
    let used = used(&octets);
    let at = random.below(used);
    match harm {
        Harm::Flip => octets[at] ^= 1 << random.below(8),
        Harm::Zero => octets[at..used.min(at + 512)].fill(0),
        Harm::Cut => octets.truncate(at),
    }
    fs::write(file, octets).unwrap();
    format!("{harm:?} at {at} of {used} in {}", file.display())
}

fn rounds(has_tables: bool, rounds: u64, is_harmed: impl Fn(&Path) -> bool) {
    let seed = std::env::var("FOREBAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 | 1);
    println!("FOREBAY_TEST_SEED={seed}");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    let store = FjallStore::open(&original).unwrap();
    fill(&store, has_tables);
    let expected = content(&store).unwrap();
    drop(store);
    // Opened again, the journal loses the zeros at its end.
    drop(FjallStore::open(&original).unwrap());
    let mut reported = 0;
    for round in 0..rounds {
        let copied = directory.path().join(round.to_string());
        copy(&original, &copied);
        let mut files = files(&copied);
        files.retain(|file| is_harmed(file));
        let kind = [Harm::Flip, Harm::Flip, Harm::Zero, Harm::Cut][random.below(4)];
        let file = files.swap_remove(random.below(files.len()));
        let what = harm(&file, kind, &mut random);
        match FjallStore::open(&copied).and_then(|store| content(&store)) {
            Ok(found) => assert!(found == expected, "silent: {what}"),
            Err(
                StoreError::Damaged(_)
                | StoreError::BadFormat { .. }
                | StoreError::NewerFormat { .. },
            ) => {
                reported += 1;
            }
            Err(error) => panic!("not named as damage: {error} after {what}"),
        }
        fs::remove_dir_all(copied).unwrap();
    }
    println!("{reported} of {rounds} reported, the others harmless");
}

#[test]
fn harm_in_a_journal_is_never_silent() {
    rounds(false, 60, |file| file.extension().is_some_and(|extension| extension == "jnl"));
}

#[test]
fn harm_in_any_file_is_never_silent() {
    rounds(true, 60, |_| true);
}
