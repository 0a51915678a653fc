//! The items of a journal, whole batches and what can be saved of broken ones. Their layout stands in
//! [`crate::fjall::journal`].

use super::item::{Item, Kind};
use crate::fjall::database::{DELAYED_ID, Space};
use crate::fjall::journal::{JournalReader, Next};
use crate::format::cursor::Cursor;
use crate::format::key;
use crate::format::progress::Progress;
use bytes::{Buf, Bytes};
use std::io;

const BATCH_HEADER_SIZE: usize = 1 + 4 + 8;
const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;

/// A part of a journal.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether it is a batch whose checksum is right.
    pub(super) is_whole: bool,
    /// The number that stands there; nothing checks it.
    pub(super) seqno: u64,
    /// What it says of the store's progress; nothing when it is not whole, or the reclaimer wrote it.
    pub(super) progress: Option<Progress>,
    /// fjall's number of the keyspace of each item, and the item, without its `seqno`.
    pub(super) items: Vec<(u64, Item)>,
}

/// Everything up to the zeros at the end.
pub(super) fn stretches(journal: &Bytes) -> io::Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    let mut from = 0;
    while from < journal.len() {
        let rest = journal.slice(from..);
        let mut reader = JournalReader::new(&*rest);
        let (size, batch) = match reader.next()? {
            Next::Batch(batch) => (reader.position() as usize, Some(batch)),
            Next::End => break,
            Next::Broken => (next_batch(&rest)?.unwrap_or(rest.len()), None),
        };
        let to = from + size;
        let (seqno, mut items) = items(&journal.slice(from..to), batch.is_some());
        let is_whole = batch.is_some();
        items.iter_mut().for_each(|(_, item)| item.is_saved = !is_whole);
        let progress = batch.and_then(|batch| batch.progress);
        stretches.push(Stretch { from, to, is_whole, seqno, progress, items });
        from = to;
    }
    settle_order(&mut stretches);
    Ok(stretches)
}

/// Where the next whole batch begins behind one that is none.
fn next_batch(rest: &Bytes) -> io::Result<Option<usize>> {
    for at in 1..rest.len().saturating_sub(BATCH_HEADER_SIZE) {
        let begins = rest.get(at) == Some(&TAG_START);
        // An empty batch is never written.
        if begins && rest.get(at + BATCH_HEADER_SIZE) == Some(&TAG_ITEM) {
            let mut reader = JournalReader::new(rest.get(at..).unwrap_or_default());
            if matches!(reader.next()?, Next::Batch(_)) {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}

/// The numbers of batches rise, and no checksum covers them: one that does not fit between those
/// around it is wrong, and any that does will do.
fn settle_order(stretches: &mut [Stretch]) {
    let mut before = 0_u64;
    for index in 0..stretches.len() {
        let (stretch, behind) = match stretches.get_mut(index..).and_then(<[_]>::split_first_mut) {
            Some((stretch, behind)) => (stretch, behind),
            None => return,
        };
        let next = behind.iter().find(|stretch| stretch.is_whole).map(|stretch| stretch.seqno);
        let is_above_next =
            next.is_some_and(|next| next > before.saturating_add(1) && stretch.seqno >= next);
        if stretch.seqno <= before || is_above_next {
            stretch.seqno = before.saturating_add(u64::from(stretch.is_whole));
        }
        before = stretch.seqno;
        for (_, item) in &mut stretch.items {
            item.seqno = before;
        }
    }
}

/// All items of a whole batch, and those that make sense of anything else.
fn items(batch: &Bytes, is_whole: bool) -> (u64, Vec<(u64, Item)>) {
    let mut rest = batch.clone();
    let header = rest.split_to(BATCH_HEADER_SIZE.min(rest.len()));
    let seqno = header.get(5..).and_then(|bytes| bytes.first_chunk().copied());
    let mut items = Vec::new();
    loop {
        let mut behind = rest.clone();
        match item(&mut behind) {
            Some(item) => items.push(item),
            None if is_whole => break,
            None => match next_item(&mut behind, &rest) {
                Some(item) => items.push(item),
                None => break,
            },
        }
        rest = behind;
    }
    (seqno.map_or(0, u64::from_le_bytes), items)
}

/// The next item whose value shows that it is one: what says how large the one before is may be
/// damaged.
fn next_item(behind: &mut Bytes, rest: &Bytes) -> Option<(u64, Item)> {
    for at in 1..rest.len() {
        if rest.get(at) != Some(&TAG_ITEM) {
            continue;
        }
        let mut here = rest.slice(at..);
        let Some((keyspace, item)) = item(&mut here) else { continue };
        let is_body = keyspace == Space::Bodies as u64 + 1 && key::is_body(&item.key);
        let is_ours = (1..=DELAYED_ID).contains(&keyspace);
        if is_ours && (is_body || item.is_sealed()) {
            *behind = here;
            return Some((keyspace, item));
        }
    }
    None
}

fn item(rest: &mut Bytes) -> Option<(u64, Item)> {
    if rest.try_get_u8().ok()? != TAG_ITEM {
        return None;
    }
    let kind = Kind::parse(rest.try_get_u8().ok()?)?;
    let _compression = rest.try_get_u8().ok()?;
    let keyspace = rest.try_get_u64_le().ok()?;
    let key_size = rest.try_get_u16_le().ok()?;
    let value_size = rest.try_get_u32_le().ok()?;
    let _stored_size = rest.try_get_u32_le().ok()?;
    let mut cursor = Cursor::new(rest.clone());
    let key = cursor.bytes(key_size.into())?;
    let value = cursor.bytes(value_size.into())?;
    rest.advance(key.len() + value.len());
    Some((keyspace, Item { key, seqno: 0, kind, value, is_saved: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(seqno: u64) -> Stretch {
        Stretch { from: 0, to: 0, is_whole: true, seqno, progress: None, items: Vec::new() }
    }

    #[test]
    fn a_number_out_of_order_is_put_between_its_neighbours() {
        for wrong in [0, 3, 900] {
            let mut stretches = [3, 5, wrong, 9, 10].map(batch);
            settle_order(&mut stretches);
            let order = stretches.map(|stretch| stretch.seqno);
            assert!(order.is_sorted_by(|one, other| one < other), "{order:?}");
            assert_eq!([order[0], order[1], order[3], order[4]], [3, 5, 9, 10]);
        }
    }

    proptest! {
        #[test]
        fn no_journal_makes_it_panic(journal: Vec<u8>) {
            let _ = stretches(&journal.into());
        }
    }
}
