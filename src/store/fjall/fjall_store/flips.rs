//! A bit is flipped, or a block zeroed, somewhere in the files of a store: it is opened with
//! everything in it, or the damage is reported. Never silently less.

use super::tests::read_all;
use super::*;
use crate::check::verify::verify;
use crate::damage::Damage;
use crate::fjall::database::Space;
use crate::fjall::journal_change::tests::copy;
use crate::format::key;
use crate::repair::repair_accepting_loss;
use crate::workload::{Workload, put_record};
use forebay_engine::operation::Durability;

use forebay_engine::operation::{BLOCK_OFFSETS, RecoveredLevel};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Everything that a store holds.
#[derive(Debug, PartialEq)]
struct Content {
    records: Vec<(bytes::Bytes, bytes::Bytes)>,
    levels: Vec<RecoveredLevel>,
    pages: Vec<Vec<Page>>,
}

fn content(store: &FjallStore) -> Result<Content, StoreError> {
    let Recovered { records, levels, damaged, .. } = store.recover()?;
    if let Some(damaged) = damaged.first() {
        return Err(Damage::elsewhere(damaged.what.to_string()));
    }
    let pages = levels
        .iter()
        .map(|level| read_all(store, level.queue, level.level))
        .collect::<Result<_, _>>()?;
    Ok(Content { records, levels, pages })
}

/// Commits of which some are in tables and some in the journal only.
fn fill(store: &FjallStore, has_tables: bool) {
    let mut workload = Workload::default();
    for round in 0..30_u64 {
        let queue = QueueId(round % 3);
        let mut operations = vec![put_record(round as u8 % 5, round)];
        operations.push(workload.publish(queue, Level(0), 0, &[20, 200, 2000]));
        if round % 7 == 0 {
            operations.push(workload.publish(queue, Level(1), 0, &[66_000]));
        }
        if round % 6 == 1 {
            operations.extend(workload.fan_out(&[0, 1, 2].map(QueueId), Level(2), 5_000));
        }
        if round % 12 == 11 {
            operations.extend(workload.copy(queue, Level(2), round as usize));
        }
        if round % 2 == 0 {
            operations.extend(workload.settle(queue, Level(0), &[0, 2]));
        }
        store.apply(&[workload.commit(operations, Durability::Synced)]).unwrap();
        if has_tables && round % 10 == 9 {
            store.make_tables();
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
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1)
}

fn harm(file: &Path, harm: Harm, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let used = used(&bytes);
    let at = random.below(used);
    match harm {
        Harm::Flip => bytes[at] ^= 1 << random.below(8),
        Harm::Zero => bytes[at..used.min(at + 512)].fill(0),
        Harm::Cut => bytes.truncate(at),
    }
    fs::write(file, bytes).unwrap();
    format!("{harm:?} at {at} of {used} in {}", file.display())
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

fn rounds(has_tables: bool, is_harmed: impl Fn(&Path) -> bool) {
    let rounds = number("FOREBAY_TEST_ROUNDS").unwrap_or(25);
    let seed = number("FOREBAY_TEST_SEED")
        .unwrap_or_else(|| (u64::from(std::process::id()) * 0x9e37_79b9) | 1);
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
            Err(StoreError::Damaged(_)) => {
                reported += 1;
                repair(&copied, &expected, &what);
            }
            Err(
                StoreError::BadFormat { .. }
                | StoreError::NewerFormat { .. }
                | StoreError::OlderFormat { .. },
            ) => reported += 1,
            Err(error) => panic!("not named as damage: {error} after {what}"),
        }
        fs::remove_dir_all(copied).unwrap();
    }
    println!("{reported} of {rounds} reported and repaired; the others harmless");
}

/// Repairs. What is there then was there before, in its place; what is not there any more is told
/// of, message by message; and the store works.
fn repair(directory: &Path, before: &Content, what: &str) {
    let told = verify(directory, |_| ()).unwrap();
    assert!(!told.damages.is_empty(), "not seen by verify: {what}");
    let repair = repair_accepting_loss(directory, |_| ())
        .unwrap_or_else(|error| panic!("{error} after {what}"));
    assert_eq!(repair.kept.missing().messages, told.missing().messages, "{what}");
    assert_eq!(verify(directory, |_| ()).unwrap().damages, [], "{what}");
    let store = FjallStore::open(directory).unwrap();
    let after = content(&store).unwrap();
    let (before, after) = (messages(before), messages(&after));
    let known = after.iter().all(|(place, message)| before.get(place) == Some(message));
    // What was settled may come again when that is not known any more.
    assert!(known || !repair.kept.damages.is_empty(), "{what}");
    let lost = before.keys().filter(|place| !after.contains_key(*place)).count() as u64;
    assert!(
        lost <= repair.kept.missing().messages || is_uncountable(&repair.kept),
        "{lost} {what}"
    );
    assert!(repair.damaged_files.unwrap().join("REPORT.txt").is_file());
    let commit = Workload::default().commit(vec![put_record(9, 9)], Durability::Synced);
    store.apply(&[commit]).unwrap();
    drop(store);
    assert!(content(&FjallStore::open(directory).unwrap()).is_ok(), "{what}");
}

/// Whether commits are lost as a whole, with what they said of where levels end.
fn is_uncountable(kept: &crate::Verification) -> bool {
    kept.damages.iter().any(|damage| damage.what.contains("commits"))
}

type Messages = BTreeMap<(QueueId, Level, Offset), forebay_engine::model::Message>;

/// Every message that is not settled.
fn messages(content: &Content) -> Messages {
    let mut messages = Messages::new();
    for (level, pages) in content.levels.iter().zip(&content.pages) {
        let is_settled = |offset: Offset| {
            level.blocks.iter().any(|(number, block)| {
                let place = offset.0.checked_sub(number * BLOCK_OFFSETS);
                block.settled.iter().any(|(first, last)| {
                    place.is_some_and(|at| (u64::from(*first)..=u64::from(*last)).contains(&at))
                })
            })
        };
        for record in pages.iter().flat_map(|page| &page.records) {
            if record.offset >= level.watermark.low && !is_settled(record.offset) {
                let place = (level.queue, level.level, record.offset);
                messages.insert(place, record.message.clone());
            }
        }
    }
    messages
}

/// A batch in the middle of the journal is damaged: its messages are lost and named, the others are
/// kept.
#[test]
fn a_repair_names_what_is_lost_and_keeps_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    for _ in 0..3 {
        let page = workload.publish(QueueId(4), Level(0), 0, &[500; 5]);
        store.apply(&[workload.commit(vec![page], Durability::Synced)]).unwrap();
    }
    drop(store);
    let journal = directory.path().join("fjall/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    // Past the middle of what is written: in the second page.
    let middle = used(&bytes) / 2;
    bytes[middle] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let error = FjallStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("commits 2 to 3"), "{error}");
    let repair = repair_accepting_loss(directory.path(), |_| ()).unwrap();
    assert_eq!((repair.kept.pages, repair.kept.messages), (2, 10));
    let lost: Vec<_> = repair.kept.damages.iter().filter_map(|damage| damage.offsets).collect();
    assert_eq!(lost, [(Offset(5), Some(Offset(10)))]);
    let store = FjallStore::open(directory.path()).unwrap();
    let pages = store.read(QueueId(4), Level(0), Offset(0), usize::MAX).unwrap();
    assert_eq!(pages.iter().map(|page| page.first.0).collect::<Vec<_>>(), [0, 10]);
}

/// What was written but not synced may be torn: it is cut off, and the store opens.
#[test]
fn a_torn_tail_is_cut_off() {
    let mut random = Random(77);
    for kind in [Harm::Flip, Harm::Zero, Harm::Cut].into_iter().cycle().take(12) {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path()).unwrap();
        fill(&store, false);
        drop(store);
        let store = FjallStore::open(directory.path()).unwrap();
        let synced = content(&store).unwrap();
        let journal = directory.path().join("fjall/0.jnl");
        let size = used(&fs::read(&journal).unwrap());
        let mut workload = Workload::default();
        for number in 0..20 {
            let operations = vec![put_record(100, number), put_record(101, number)];
            store.apply(&[workload.commit(operations, Durability::Written)]).unwrap();
        }
        drop(store);
        let mut bytes = fs::read(&journal).unwrap();
        let at = size + random.below(bytes.len() - size);
        match kind {
            Harm::Flip => bytes[at] ^= 1 << random.below(8),
            Harm::Zero => bytes[at..].fill(0),
            Harm::Cut => bytes.truncate(at),
        }
        fs::write(&journal, &bytes).unwrap();
        let mut found = content(&FjallStore::open(directory.path()).unwrap()).unwrap();
        is_kept(directory.path(), &bytes);
        let unsynced = found.records.extract_if(.., |(key, _)| key[1] >= 100);
        let values: Vec<_> = unsynced.map(|(_, value)| value).collect();
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{kind:?} at {at}");
        assert_eq!(found, synced, "{kind:?} at {at}");
    }
}

/// What was cut off a journal, if anything was, is kept as it was.
fn is_kept(directory: &Path, before: &[u8]) {
    let after = fs::metadata(directory.join("fjall/0.jnl")).unwrap().len() as usize;
    let torn = before.get(after..).unwrap_or_default();
    let torn = &torn[..used(torn).min(torn.len())];
    if torn.iter().all(|byte| *byte == 0) {
        return;
    }
    let copy = fs::read(directory.join("TORN-TAIL")).unwrap();
    let line = copy.iter().position(|byte| *byte == b'\n').unwrap();
    let (head, kept) = (&copy[..line], &copy[line + 1..]);
    assert!(
        head.starts_with(format!("0.jnl from {after}: ").as_bytes()),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(&kept[..torn.len()], torn);
    assert!(kept[torn.len()..].iter().all(|byte| *byte == 0));
}

/// A check that comes after the cut may refuse: what was cut off is there to be looked at.
#[test]
fn a_torn_tail_is_there_when_a_later_check_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    fill(&store, true);
    drop(store);
    // A torn write behind what is synced, and a damaged table of records.
    let journal = directory.path().join("fjall/0.jnl");
    drop(FjallStore::open(directory.path()).unwrap());
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend(b"torn before it was synced");
    fs::write(&journal, &bytes).unwrap();
    let records = directory.path().join("fjall/keyspaces/4/tables");
    for table in files(&records) {
        let mut bytes = fs::read(&table).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(table, bytes).unwrap();
    }
    let refused = FjallStore::open(directory.path()).and_then(|store| store.recover());
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    is_kept(directory.path(), &bytes);
    let copy = fs::read(directory.path().join("TORN-TAIL")).unwrap();
    assert!(copy.ends_with(b"torn before it was synced"));
}

#[test]
fn harm_in_a_journal_is_never_silent() {
    rounds(false, |file| file.extension().is_some_and(|extension| extension == "jnl"));
}

#[test]
fn harm_in_any_file_is_never_silent() {
    rounds(true, |_| true);
}

/// fjall panics when the number of levels in a manifest is not what it knows.
#[test]
fn without_any_manifest_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    fill(&store, true);
    let before = content(&store).unwrap();
    drop(store);
    let mut manifests = files(directory.path());
    manifests.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name.strip_prefix('v').is_some_and(|number| number.parse::<u64>().is_ok())
    });
    assert!(!manifests.is_empty());
    for manifest in manifests {
        let mut bytes = fs::read(&manifest).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(manifest, bytes).unwrap();
    }
    let repair = repair_accepting_loss(directory.path(), |_| ()).unwrap();
    assert_eq!(repair.kept.missing().messages, 0, "{:?}", repair.kept.damages);
    let after = content(&FjallStore::open(directory.path()).unwrap()).unwrap();
    assert_eq!(messages(&after), messages(&before));
    assert!(before.records.iter().all(|record| after.records.contains(record)));
}

/// The last page of a level has no page after it that would miss it.
#[test]
fn a_last_page_that_is_missing_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut workload = Workload::default();
    for _ in 0..3 {
        let page = workload.publish(QueueId(4), Level(0), 0, &[100; 5]);
        store.apply(&[workload.commit(vec![page], Durability::Synced)]).unwrap();
    }
    let mut batch = store.shared.database.batch();
    batch.remove(Space::Pages, key::page(QueueId(4), Level(0), Offset(10)));
    batch.commit(Durability::Synced).unwrap();
    drop(store);
    let missing = Damage::missing(QueueId(4), Level(0), Offset(10), Offset(15));
    assert_eq!(verify(directory.path(), |_| ()).unwrap().damages, [missing]);
    let recovered = FjallStore::open(directory.path()).unwrap().recover().unwrap();
    let [damaged] = &recovered.damaged[..] else { panic!("{recovered:?}") };
    assert_eq!(damaged.queue, QueueId(4));
    assert!(damaged.what.contains("5 messages"), "{}", damaged.what);
    assert_eq!(recovered.levels[0].last_page.unwrap().0, Offset(15), "no offset is used again");
    let repair = repair_accepting_loss(directory.path(), |_| ()).unwrap();
    assert_eq!((repair.kept.messages, repair.kept.missing().messages), (10, 5));
    let store = FjallStore::open(directory.path()).unwrap();
    let levels = store.recover().unwrap().levels;
    assert_eq!(levels[0].blocks[0].1.settled, [(10, 14)]);
    assert_eq!(levels[0].last_page.unwrap().0, Offset(10));
}
