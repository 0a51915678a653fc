use super::*;
use crate::workload::message;
use forebay_engine::model::{Retry, ReturnReason};
use forebay_engine::operation::Block;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..300, any::<u64>()]
}

fn queue() -> impl Strategy<Value = QueueId> {
    number().prop_map(QueueId)
}

fn level() -> impl Strategy<Value = Level> {
    any::<u8>().prop_map(Level)
}

fn any_message() -> impl Strategy<Value = Message> {
    (number(), prop_oneof![0_usize..200, Just(70_000)], 0_u64..3)
        .prop_map(|(number, size, id)| message(number, size).with_shared_body(BodyId(id)))
}

fn any_page() -> impl Strategy<Value = Page> {
    let messages = proptest::collection::vec((0_u64..4, any_message()), 0..5);
    let bounds = proptest::option::of((number(), proptest::option::of(number())));
    let first = prop_oneof![0_u64..300, Just(u64::MAX - 100)];
    (first, messages, 0_u64..9, 0_u64..1 << 62, 0_u64..1 << 62, bounds).prop_map(
        |(first, messages, rest, bytes_before, added, bounds)| {
            let mut expected = Offset(first);
            let mut records = Vec::new();
            for (gap, message) in messages {
                let offset = Offset(expected.0 + gap);
                records.push(Record { offset, message });
                expected = offset.next();
            }
            Page {
                first: Offset(first),
                end: Offset(expected.0 + rest).max(Offset(first).next()),
                bytes_before,
                bytes_after: bytes_before + added,
                bounds: bounds.map(|(from, expiration_min)| ExpiryBounds {
                    published_from: WallClock(from),
                    expiration_min,
                }),
                records,
            }
        },
    )
}

fn any_block() -> impl Strategy<Value = Block> {
    let reason = proptest::sample::select(ReturnReason::ALL.to_vec());
    let retry = (number(), number(), any::<u32>(), reason, any::<Option<u64>>());
    (any::<[u16; 3]>(), any::<u32>(), proptest::option::of(retry)).prop_map(
        |([from, to, offset], count, retry)| Block {
            settled: vec![(from.min(to), from.max(to))],
            failures: vec![(offset, count)],
            returns: vec![(offset, count)],
            retries: retry
                .into_iter()
                .map(|(due, delay, size, reason, group)| {
                    (offset, Retry { due: WallClock(due), delay, size, reason, group })
                })
                .collect(),
        },
    )
}

fn clock() -> impl Strategy<Value = DueClock> {
    proptest::sample::select(DueClock::ALL.to_vec())
}

fn any_delayed_id() -> impl Strategy<Value = DelayedId> {
    (clock(), number(), number()).prop_map(|(clock, due, sequence)| DelayedId {
        clock,
        due: WallClock(due),
        sequence,
    })
}

fn key() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (queue(), level(), any_page()).prop_map(|(queue, level, page)| {
            Operation::PutPage { queue, level, page: Arc::new(page) }
        }),
        1 => (queue(), level(), number()).prop_map(|(queue, level, first)| {
            Operation::RemovePage { queue, level, first: Offset(first) }
        }),
        1 => (queue(), level(), number(), number()).prop_map(|(queue, level, low, bytes_settled)| {
            let watermark = Watermark { low: Offset(low), bytes_settled };
            Operation::PutWatermark { queue, level, watermark }
        }),
        1 => (queue(), level(), number(), any_block()).prop_map(|(queue, level, block, content)| {
            Operation::PutBlock { queue, level, block, content }
        }),
        1 => (queue(), level(), number()).prop_map(|(queue, level, block)| {
            Operation::RemoveBlock { queue, level, block }
        }),
        1 => (queue(), any_delayed_id(), any_message()).prop_map(|(queue, id, message)| {
            Operation::PutDelayed { queue, id, message }
        }),
        1 => (queue(), any_delayed_id(), proptest::option::of(1_u64..9)).prop_map(
            |(queue, id, body)| Operation::RemoveDelayed { queue, id, body: body.map(BodyId) }
        ),
        1 => (queue(), clock(), any::<[u64; 4]>()).prop_map(
            |(queue, clock, [count, bytes, from, next_sequence])| {
                let state = DelayedState { count, bytes, from: WallClock(from), next_sequence };
                Operation::PutDelayedState { queue, clock, state }
            }
        ),
        1 => queue().prop_map(|queue| Operation::DropQueue { queue }),
        1 => (key(), key()).prop_map(|(key, value)| Operation::PutRecord { key, value }),
        1 => key().prop_map(|key| Operation::RemoveRecord { key }),
    ]
}

fn commit() -> impl Strategy<Value = Commit> {
    let durability = prop_oneof![Just(Durability::Written), Just(Durability::Synced)];
    (number(), number(), proptest::collection::vec(operation(), 0..8), durability).prop_map(
        |(epoch, id, operations, durability)| Commit {
            id: CommitId(id),
            epoch: Epoch(epoch),
            operations,
            durability,
        },
    )
}

proptest! {
    #[test]
    fn a_commit_comes_back_as_it_was(commit in commit()) {
        prop_assert_eq!(decode_commit(&encode_commit(&commit)), Ok(commit));
    }

    /// What the checksum does not find out, since somebody made it so.
    #[test]
    fn no_content_makes_decoding_panic(mut content: Vec<u8>, commit in commit(), flip: usize) {
        content.insert(0, LAYOUT);
        let _ = decode_commit(&checksummed::seal(KEY, &content));
        let whole = checksummed::unseal(KEY, &encode_commit(&commit)).unwrap();
        let mut flipped = whole.to_vec();
        let at = flip % flipped.len();
        flipped[at] ^= 1 << (flip % 8);
        let _ = decode_commit(&checksummed::seal(KEY, &flipped));
        let cut = checksummed::seal(KEY, &whole[..at]);
        prop_assert!(decode_commit(&cut).is_err());
    }
}

fn small_commit() -> Commit {
    let page = Page {
        first: Offset(3),
        end: Offset(5),
        bytes_before: 10,
        bytes_after: 30,
        bounds: None,
        records: vec![Record { offset: Offset(4), message: message(9, 20) }],
    };
    let page = Operation::PutPage { queue: QueueId(1), level: Level(0), page: Arc::new(page) };
    let operations = vec![page, Operation::DropQueue { queue: QueueId(7) }];
    Commit { id: CommitId(5), epoch: Epoch(2), operations, durability: Durability::Synced }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let bytes = encode_commit(&small_commit());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_commit(&flipped.into()).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(decode_commit(&bytes.slice(..length)).is_err(), "length {length}");
    }
}

#[test]
fn what_another_version_wrote_is_named() {
    let content = checksummed::unseal(KEY, &encode_commit(&small_commit())).unwrap();
    let mut newer = content.to_vec();
    newer[0] = LAYOUT + 1;
    let refused = decode_commit(&checksummed::seal(KEY, &newer));
    assert_eq!(refused, Err(CommitError::Layout { found: LAYOUT + 1 }));
    let mut longer = content.to_vec();
    longer.push(0);
    let refused = decode_commit(&checksummed::seal(KEY, &longer));
    assert_eq!(refused, Err(CommitError::Damaged("bytes follow its end".to_owned())));
}
