//! The values of `acks`: what is settled in a level.
//!
//! ```text
//! level:      span:u8 [end:u64]                no page of the level covers more than 2^span offsets;
//!                                             the last one that was put ended at `end`
//! watermark: low:u64 bytes_settled:u64
//! block:     runs:varint (skipped:varint length-1:varint)*
//!            failures:varint (skipped:varint count:varint)*
//!            [returns:varint (skipped:varint count:varint)*]   left out when there are none, and no retries
//!            [retries:varint (skipped:varint due:varint delay:varint size:varint reason:u8 [group:u64])*]
//!                                                              left out when there are none
//! ```
//! `skipped` counts from the end of the run or the offset before it. `reason` is a place in
//! `ReturnReason::ALL`; its highest bit says that a group follows.

use crate::format::checksummed::{self, Flaw};
use crate::format::cursor::{Cursor, put_varint};
use bytes::{BufMut, Bytes};
use forebay_engine::model::{Offset, Retry, ReturnReason, WallClock};
use forebay_engine::operation::{Block, Watermark};

/// In the reason of a retry: the hash of a group follows.
const HAS_GROUP: u8 = 0x80;

/// What is known of a level's pages without reading one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelRecord {
    pub(crate) span: u8,
    /// 0 when it was written before there was such a field.
    pub(crate) end: Offset,
}

pub(crate) fn encode_level(key: &[u8], level: LevelRecord) -> Bytes {
    let mut content = [0; 9];
    let mut rest = content.as_mut_slice();
    rest.put_u8(level.span);
    rest.put_u64(level.end.0);
    checksummed::seal(key, &content)
}

pub(crate) fn decode_level(key: &[u8], value: &Bytes) -> Result<LevelRecord, Flaw> {
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    let span = cursor.octet().ok_or(Flaw::Layout("level"))?;
    let end = if cursor.is_empty() { Some(0) } else { cursor.integer() };
    let end = end.filter(|_| cursor.is_empty()).ok_or(Flaw::Layout("level"))?;
    Ok(LevelRecord { span, end: Offset(end) })
}

pub(crate) fn encode_watermark(key: &[u8], watermark: Watermark) -> Bytes {
    let mut content = [0; 16];
    let mut rest = content.as_mut_slice();
    rest.put_u64(watermark.low.0);
    rest.put_u64(watermark.bytes_settled);
    checksummed::seal(key, &content)
}

pub(crate) fn decode_watermark(key: &[u8], value: &Bytes) -> Result<Watermark, Flaw> {
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    match (cursor.integer(), cursor.integer()) {
        (Some(low), Some(bytes_settled)) => Ok(Watermark { low: Offset(low), bytes_settled }),
        _ => Err(Flaw::Layout("watermark")),
    }
}

pub(crate) fn encode_block(key: &[u8], block: &Block) -> Bytes {
    checksummed::seal(key, &block_content(block))
}

/// A block without its envelope.
pub(crate) fn block_content(block: &Block) -> Vec<u8> {
    let mut content = Vec::with_capacity(
        3 + 4 * (block.settled.len() + block.failures.len() + block.returns.len()),
    );
    put_varint(&mut content, block.settled.len() as u64);
    let mut expected = 0;
    for (first, last) in &block.settled {
        let (first, last) = (u64::from(*first), u64::from(*last));
        put_varint(&mut content, first.saturating_sub(expected));
        put_varint(&mut content, last.saturating_sub(first));
        expected = last + 1;
    }
    put_counts(&mut content, &block.failures);
    if !block.returns.is_empty() || !block.retries.is_empty() {
        put_counts(&mut content, &block.returns);
    }
    if !block.retries.is_empty() {
        put_retries(&mut content, &block.retries);
    }
    content
}

fn put_counts(content: &mut Vec<u8>, counts: &[(u16, u32)]) {
    put_varint(content, counts.len() as u64);
    let mut expected = 0;
    for (offset, count) in counts {
        put_varint(content, u64::from(*offset).saturating_sub(expected));
        put_varint(content, u64::from(*count));
        expected = u64::from(*offset) + 1;
    }
}

fn put_retries(content: &mut Vec<u8>, retries: &[(u16, Retry)]) {
    put_varint(content, retries.len() as u64);
    let mut expected = 0;
    for (offset, retry) in retries {
        put_varint(content, u64::from(*offset).saturating_sub(expected));
        put_varint(content, retry.due.0);
        put_varint(content, retry.delay);
        put_varint(content, u64::from(retry.size));
        let reason = ReturnReason::ALL.iter().position(|reason| *reason == retry.reason);
        let reason = reason.unwrap_or_default() as u8;
        content.put_u8(reason | if retry.group.is_some() { HAS_GROUP } else { 0 });
        content.extend(retry.group.map(u64::to_be_bytes).into_iter().flatten());
        expected = u64::from(*offset) + 1;
    }
}

pub(crate) fn decode_block(key: &[u8], value: &Bytes) -> Result<Block, Flaw> {
    decode_block_content(checksummed::unseal(key, value)?).ok_or(Flaw::Layout("settled block"))
}

/// A block without its envelope; `None`: the bytes are none.
pub(crate) fn decode_block_content(content: Bytes) -> Option<Block> {
    let mut cursor = Cursor::new(content);
    let block = block_of(&mut cursor)?;
    cursor.is_empty().then_some(block)
}

fn block_of(cursor: &mut Cursor) -> Option<Block> {
    let mut block = Block::default();
    let mut expected = 0_u64;
    for _ in 0..cursor.varint()? {
        let first = expected.checked_add(cursor.varint()?)?;
        let last = first.checked_add(cursor.varint()?)?;
        block.settled.push((u16::try_from(first).ok()?, u16::try_from(last).ok()?));
        expected = last + 1;
    }
    block.failures = counts(cursor)?;
    if !cursor.is_empty() {
        block.returns = counts(cursor)?;
    }
    if !cursor.is_empty() {
        block.retries = retries(cursor)?;
    }
    Some(block)
}

fn retries(cursor: &mut Cursor) -> Option<Vec<(u16, Retry)>> {
    let mut retries = Vec::new();
    let mut expected = 0_u64;
    for _ in 0..cursor.varint()? {
        let offset = expected.checked_add(cursor.varint()?)?;
        let (due, delay) = (WallClock(cursor.varint()?), cursor.varint()?);
        let size = u32::try_from(cursor.varint()?).ok()?;
        let reason = cursor.octet()?;
        let group = if reason & HAS_GROUP == 0 { None } else { Some(cursor.integer()?) };
        let reason = *ReturnReason::ALL.get(usize::from(reason & !HAS_GROUP))?;
        retries.push((u16::try_from(offset).ok()?, Retry { due, delay, size, reason, group }));
        expected = offset + 1;
    }
    Some(retries)
}

fn counts(cursor: &mut Cursor) -> Option<Vec<(u16, u32)>> {
    let mut counts = Vec::new();
    let mut expected = 0_u64;
    for _ in 0..cursor.varint()? {
        let offset = expected.checked_add(cursor.varint()?)?;
        let count = u32::try_from(cursor.varint()?).ok()?;
        counts.push((u16::try_from(offset).ok()?, count));
        expected = offset + 1;
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Due, delay, size, reason, group.
    type RetryParts = (u64, u64, u32, u8, Option<u64>);

    fn block(
        settled: &BTreeSet<u16>,
        failures: BTreeMap<u16, u32>,
        returns: BTreeMap<u16, u32>,
        retries: &BTreeMap<u16, RetryParts>,
    ) -> Block {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for offset in settled {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *offset => *last = *offset,
                _ => runs.push((*offset, *offset)),
            }
        }
        let (failures, returns) = (failures.into_iter(), returns.into_iter());
        let retry = |(due, delay, size, reason, group): RetryParts| {
            let reason = ReturnReason::ALL[usize::from(reason) % ReturnReason::ALL.len()];
            Retry { due: WallClock(due), delay, size, reason, group }
        };
        let retries = retries.iter().map(|(offset, parts)| (*offset, retry(*parts))).collect();
        Block { settled: runs, failures: failures.collect(), returns: returns.collect(), retries }
    }

    proptest! {
        #[test]
        fn a_block_comes_back_as_it_was(
            settled: BTreeSet<u16>,
            failures: BTreeMap<u16, u32>,
            returns: BTreeMap<u16, u32>,
            retries: BTreeMap<u16, RetryParts>,
        ) {
            let block = block(&settled, failures, returns, &retries);
            prop_assert_eq!(decode_block(b"k", &encode_block(b"k", &block)), Ok(block));
        }

        #[test]
        fn no_content_makes_decoding_panic(bytes: Vec<u8>) {
            let value = checksummed::seal(b"k", &bytes);
            let _ = (decode_block(b"k", &value), decode_watermark(b"k", &value));
            let _ = decode_level(b"k", &value);
        }
    }

    #[test]
    fn a_whole_block_and_the_last_offset_fit() {
        let last = vec![(u16::MAX, u32::MAX)];
        let group = Some(u64::MAX);
        let (due, reason) = (WallClock(u64::MAX), ReturnReason::Returned);
        let retries =
            vec![(u16::MAX, Retry { due, delay: u64::MAX, size: u32::MAX, reason, group })];
        let settled = vec![(0, u16::MAX)];
        let block = Block { settled, failures: last.clone(), returns: last, retries };
        assert_eq!(decode_block(b"k", &encode_block(b"k", &block)), Ok(block));
    }

    #[test]
    fn a_block_from_before_there_were_returns_is_read_and_still_written_so() {
        let old = checksummed::seal(b"k", &[1, 3, 1, 1, 9, 2]);
        let settled = vec![(3, 4)];
        let block = Block { settled, failures: vec![(9, 2)], ..Block::default() };
        assert_eq!(decode_block(b"k", &old), Ok(block.clone()));
        assert_eq!(encode_block(b"k", &block), old);
        // With returns and without retries, as 0.2 wrote it.
        let old = checksummed::seal(b"k", &[1, 3, 1, 1, 9, 2, 1, 9, 7]);
        let block = Block { returns: vec![(9, 7)], ..block };
        assert_eq!(decode_block(b"k", &old), Ok(block.clone()));
        assert_eq!(encode_block(b"k", &block), old);
    }

    #[test]
    fn a_watermark_and_a_level_come_back_and_a_level_without_an_end() {
        let watermark = Watermark { low: Offset(7), bytes_settled: u64::MAX };
        assert_eq!(decode_watermark(b"k", &encode_watermark(b"k", watermark)), Ok(watermark));
        let level = LevelRecord { span: 63, end: Offset(u64::MAX) };
        assert_eq!(decode_level(b"k", &encode_level(b"k", level)), Ok(level));
        let old = checksummed::seal(b"k", &[7]);
        assert_eq!(decode_level(b"k", &old), Ok(LevelRecord { span: 7, end: Offset(0) }));
    }
}
