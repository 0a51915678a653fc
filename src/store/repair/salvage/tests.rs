use super::block::{BlockHeader, HEADER_SIZE};
use super::*;
use crate::fjall::database::Database;
use crate::format::checksummed;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::operation::Durability;
use proptest::prelude::*;
use std::fs::OpenOptions;

/// What is done to a database.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize),
    Remove(u8),
    Body(u8),
    Rotate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_u8..40, 1_usize..3000).prop_map(|(key, size)| Step::Put(key, size)),
        3 => (0_u8..40).prop_map(Step::Remove),
        1 => (0_u8..40).prop_map(Step::Body),
        1 => Just(Step::Rotate),
    ];
    proptest::collection::vec(step, 1..120)
}

fn key(number: u8) -> Bytes {
    key::page(QueueId(1), Level(0), Offset(number.into()))
}

fn carry_out(database: &Database, steps: &[Step]) {
    for (number, step) in steps.iter().enumerate() {
        let mut batch = database.batch();
        match step {
            Step::Put(at, size) => {
                let value = checksummed::seal(&key(*at), &vec![number as u8; *size]);
                batch.insert(Space::Acks, key(*at), value.clone());
                batch.insert(Space::Meta, key(*at), value);
            }
            Step::Remove(at) => SPACES.iter().for_each(|space| batch.remove(*space, key(*at))),
            Step::Body(at) => batch.insert(Space::Bodies, key(*at), vec![7; 70_000].into()),
            Step::Rotate => database.make_tables(),
        }
        batch.commit(Durability::Written).unwrap();
    }
}

fn by_fjall(database: &Database, space: Space) -> Vec<(Bytes, Bytes)> {
    database.view().prefix(space, b"").map(Result::unwrap).collect()
}

fn by_us(salvage: &Salvage, space: Space) -> Vec<(Bytes, Bytes)> {
    let mut items = salvage.items(space).unwrap();
    let mut all = Vec::new();
    while let Some(item) = items.next().unwrap() {
        all.push((item.key, item.value));
    }
    assert_eq!(items.damages(), []);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn it_reads_what_fjall_reads(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fjall");
        let database = Database::open(&path).unwrap();
        carry_out(&database, &steps);
        let expected = SPACES.map(|space| by_fjall(&database, space));
        drop(database);
        let mut salvage = Salvage::open(&path, Some(Mark::default()), true).unwrap();
        salvage.check_blob_files().unwrap();
        prop_assert_eq!(salvage.damages(), []);
        prop_assert_eq!(SPACES.map(|space| by_us(&salvage, space)), expected);
    }
}

/// Salvages values of which one table has all, after that table was harmed; how many there are.
fn salvaged_of_40(harm: impl FnOnce(&mut Vec<u8>)) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fjall");
    let database = Database::open(&path).unwrap();
    let puts: Vec<Step> = (0..40).map(|number| Step::Put(number, 50)).collect();
    carry_out(&database, &puts);
    carry_out(&database, &[Step::Rotate]);
    drop(database);
    let manifest = Manifest::read(&path.join("keyspaces/3")).unwrap().unwrap();
    let table = path.join(format!("keyspaces/3/tables/{}", manifest.tables[0].0));
    let mut bytes = fs::read(&table).unwrap();
    harm(&mut bytes);
    fs::write(table, bytes).unwrap();
    // The journal holds the same values, and would hide the loss.
    for journal in journal_check::journals(&path).unwrap() {
        OpenOptions::new().write(true).open(journal).unwrap().set_len(0).unwrap();
    }
    let salvage = Salvage::open(&path, Some(Mark::default()), true).unwrap();
    let mut items = salvage.items(Space::Acks).unwrap();
    let mut count = 0;
    while items.next().unwrap().is_some() {
        count += 1;
    }
    let damages = items.damages();
    assert!(damages[0].what.contains("values in them could be saved"), "{damages:?}");
    count
}

/// Of a block with a flipped bit only the value is lost that the bit is in.
#[test]
fn the_neighbours_of_a_damaged_value_are_saved() {
    assert_eq!(salvaged_of_40(|table| table[1000] ^= 0xee), 39);
}

/// The trailer of a block says how its keys are compressed.
#[test]
fn every_value_of_a_block_is_saved_whose_trailer_is_damaged() {
    let end_of_first_block =
        |table: &[u8]| HEADER_SIZE + BlockHeader::parse(table).expect("a block").size;
    let zeroed = salvaged_of_40(|table| {
        let end = end_of_first_block(table);
        table[end - 31..end].fill(0);
    });
    assert_eq!(zeroed, 40);
    for told in [1, 10, 16, 255] {
        let wrong = salvaged_of_40(|table| {
            let end = end_of_first_block(table);
            table[end - 31..end].fill(told);
        });
        assert_eq!(wrong, 40, "interval {told}");
    }
    // One block holds all of them.
    assert_eq!(salvaged_of_40(|table| table.truncate(end_of_first_block(table) - 5)), 40);
}
