//! What the fuzzer does to the store's private formats: any bytes where a value, a key or a journal
//! is expected, and files that are harmed. Built for the fuzzer (`fuzz/fuzz_targets/store_records.rs`,
//! `salvage.rs`) and for the tests, which feed it the corpus.

mod damage;

use crate::fjall::journal::{JournalReader, Next};
use crate::format::ack_value;
use crate::format::checksummed;
use crate::format::key::{self, AckKind};
use crate::format::page_value::{self, Extent};
use crate::format::progress::Progress;
use bytes::Bytes;
pub use damage::{Ground, damaged};
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::page::Page;
use std::convert::Infallible;

const QUEUE: QueueId = QueueId(1);
const LEVEL: Level = Level(0);

/// The first byte says what the others are taken for: below 8 as they are, else with a seal that is
/// right, so that what is behind the checksum is reached too.
///
/// # Panics
/// When something is read that is not written back the same.
#[allow(clippy::expect_used, clippy::panic, reason = "the fuzzer looks for panics")]
pub fn records(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let is_sealed = *kind >= 8;
    let value = |key: &Bytes| {
        if is_sealed { checksummed::seal(key, rest) } else { Bytes::copy_from_slice(rest) }
    };
    match kind % 8 {
        0 => page(rest, is_sealed),
        1 => {
            let key = key::ack(QUEUE, LEVEL, AckKind::Watermark);
            if let Ok(watermark) = ack_value::decode_watermark(&key, &value(&key)) {
                let again = ack_value::encode_watermark(&key, watermark);
                assert_eq!(ack_value::decode_watermark(&key, &again).ok(), Some(watermark));
            }
        }
        2 => {
            let key = key::ack(QUEUE, LEVEL, AckKind::Block(0));
            if let Ok(block) = ack_value::decode_block(&key, &value(&key)) {
                let again = ack_value::encode_block(&key, &block);
                assert_eq!(ack_value::decode_block(&key, &again).ok(), Some(block));
            }
        }
        3 => {
            let key = key::ack(QUEUE, LEVEL, AckKind::Level);
            if let Ok(level) = ack_value::decode_level(&key, &value(&key)) {
                let again = ack_value::encode_level(&key, level);
                assert_eq!(ack_value::decode_level(&key, &again).ok(), Some(level));
            }
        }
        4 => {
            let key = key::progress();
            if let Ok(progress) = Progress::decode(&key, &value(&key)) {
                let again = Progress::decode(&key, &progress.encode(&key));
                assert_eq!(again.ok(), Some(progress));
            }
        }
        5 => keys(rest),
        6 => journal(rest),
        _ => drop(checksummed::unseal(b"key", &value(&Bytes::from_static(b"key")))),
    }
}

fn page(bytes: &[u8], is_sealed: bool) {
    let first = bytes.first_chunk().map_or(Offset(0), |first| Offset(u64::from_be_bytes(*first)));
    let key = key::page(QUEUE, LEVEL, first);
    let value =
        if is_sealed { checksummed::seal(&key, bytes) } else { Bytes::copy_from_slice(bytes) };
    let body = Bytes::from_static(b"a body of its own");
    let fetch = |_: &[u8]| Ok::<_, Infallible>(Some(body.clone()));
    let extent = page_value::decode_extent(QUEUE, LEVEL, first, &value);
    let Ok(page) = page_value::decode(QUEUE, LEVEL, first, &value, fetch) else { return };
    let Page { end, bytes_after, bounds, .. } = page;
    assert_eq!(extent.ok(), Some(Extent { end, bytes_after, bounds }));
    let again = page_value::encode(QUEUE, LEVEL, &page);
    let again = page_value::decode(QUEUE, LEVEL, first, &again, fetch);
    assert_eq!(again.ok(), Some(page));
}

fn keys(bytes: &[u8]) {
    if let Some((queue, level, first)) = key::parse_page(bytes) {
        assert_eq!(key::page(queue, level, first), bytes);
    }
    if let Some((queue, level, kind)) = key::parse_ack(bytes) {
        assert_eq!(key::ack(queue, level, kind), bytes);
    }
    if let Some(queue) = key::parse_dropped_queue(bytes) {
        assert_eq!(key::dropped_queue(queue), bytes);
    }
    if let Some(record) = key::parse_record(&Bytes::copy_from_slice(bytes)) {
        assert_eq!(key::record(&record), bytes);
    }
}

#[allow(clippy::expect_used, reason = "a slice can be read")]
fn journal(bytes: &[u8]) {
    let mut reader = JournalReader::new(bytes);
    let mut position = 0;
    while let Next::Batch(_) = reader.next().expect("a slice can be read") {
        assert!(reader.position() > position, "no progress");
        position = reader.position();
    }
}

#[cfg(test)]
mod tests {
    use super::Ground;
    use std::path::Path;

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let files = std::fs::read_dir(corpus).unwrap();
        let inputs: Vec<_> =
            files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(!inputs.is_empty());
        inputs
    }

    #[test]
    fn the_corpus_of_the_fuzzer_is_taken() {
        corpus("store_records").iter().for_each(|bytes| super::records(bytes));
    }

    #[test]
    fn damaged_files_of_the_corpus_are_read() {
        let ground = Ground::make(tempfile::tempdir().unwrap().path());
        for bytes in corpus("salvage") {
            super::damaged(&bytes, &ground, tempfile::tempdir().unwrap().path());
        }
    }

    #[test]
    fn without_harm_there_is_no_damage() {
        let ground = Ground::make(tempfile::tempdir().unwrap().path());
        let directory = tempfile::tempdir().unwrap();
        super::damaged(&[1], &ground, directory.path());
        assert_eq!(crate::verify(directory.path(), |_| {}).unwrap().damages, []);
        // What the corpus says must mean the same tomorrow; but tables hold when they were made, and in one ground of
        // ten to twenty a table of pages has another size. Why is not known.
        let mut grounds = vec![ground];
        while grounds.len() < 5 {
            let again = Ground::make(tempfile::tempdir().unwrap().path());
            if grounds.iter().any(|ground| ground.sizes() == again.sizes()) {
                return;
            }
            grounds.push(again);
        }
        panic!("another ground each time");
    }
}
