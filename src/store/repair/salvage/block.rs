//! One block of a table, as the pinned lsm-tree writes it (little endian):
//!
//! ```text
//! block:   "LSM" 3 type:u8 checksum:u128 stored_size:u32 size:u32 header_checksum:u32 content
//!          checksum: XXH3 of the content; header_checksum: the low half of that of what is before
//! content of a data block: item* 255 index trailer
//! item:    type:u8 seqno:varint [shared:varint] rest_size:varint key_rest [size:varint value]
//! trailer: interval:u8 bytes:30
//! ```
//! Every `interval`-th item has its whole key and no `shared`; the keys after it share their first
//! `shared` bytes with it. What removes a key has no value.

use super::item::{Item, Kind};
use crate::format::cursor::Cursor;
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_128;

pub(super) const HEADER_SIZE: usize = 4 + 1 + 16 + 4 + 4 + 4;
pub(super) const MAGIC: &[u8; 4] = b"LSM\x03";
const HEADER_CHECKED_SIZE: usize = HEADER_SIZE - 4;
const TYPE_DATA: u8 = 0;
const END_OF_ITEMS: u8 = 255;
const TRAILER_SIZE: usize = 31;
/// The intervals with which fjall writes blocks: of tables of the first level, and of deeper ones.
const INTERVALS: [usize; 2] = [10, 16];

/// What stands before the content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) is_data: bool,
    /// Bytes of the content.
    pub(super) size: usize,
    checksum: u128,
}

impl BlockHeader {
    /// `None` when no block begins here.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (checked, rest) = bytes.split_at_checked(HEADER_CHECKED_SIZE)?;
        let header_checksum = u32::from_le_bytes(*rest.first_chunk()?);
        let rest = checked.strip_prefix(MAGIC)?;
        let (kind, rest) = rest.split_first()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let size = u32::from_le_bytes(*rest.first_chunk()?);
        (xxh3_128(checked) as u32 == header_checksum).then_some(Self {
            is_data: *kind == TYPE_DATA,
            size: size as usize,
            checksum: u128::from_le_bytes(*checksum),
        })
    }

    pub(super) fn is_of(&self, content: &[u8]) -> bool {
        xxh3_128(content) == self.checksum
    }
}

/// The items of a data block whose checksum is right.
pub(super) fn items(content: &Bytes) -> Vec<Item> {
    items_at(content, told_interval(content).unwrap_or_default().max(1))
}

/// The items of a damaged data block, up to the first that makes no sense. The trailer may be damaged
/// or cut off as well: of the intervals that fjall uses, the one counts that puts most keys in order.
pub(super) fn salvaged_items(content: &Bytes) -> Vec<Item> {
    let told = told_interval(content).filter(|told| INTERVALS.contains(told));
    let readings = INTERVALS.into_iter().chain(told).map(|interval| items_at(content, interval));
    // Of equals the last one, which the trailer tells.
    readings.max_by_key(|items| keys_in_order(items)).unwrap_or_default()
}

fn keys_in_order(items: &[Item]) -> usize {
    items.windows(2).filter(|pair| pair.iter().is_sorted_by(|one, next| one.key < next.key)).count()
}

fn told_interval(content: &Bytes) -> Option<usize> {
    let trailer = content.len().checked_sub(TRAILER_SIZE)?;
    content.get(trailer).copied().map(usize::from)
}

fn items_at(content: &Bytes, interval: usize) -> Vec<Item> {
    let mut cursor = Cursor::new(content.clone());
    let mut items: Vec<Item> = Vec::new();
    let mut head = Bytes::new();
    while let Some(item) =
        item(&mut cursor, (!items.len().is_multiple_of(interval)).then_some(&head))
    {
        if items.len().is_multiple_of(interval) {
            head = item.key.clone();
        }
        items.push(item);
    }
    items
}

/// `None` when no item begins here. `head`: the key with which this one's key begins.
fn item(cursor: &mut Cursor, head: Option<&Bytes>) -> Option<Item> {
    let kind = match cursor.octet()? {
        END_OF_ITEMS => return None,
        kind => Kind::parse(kind)?,
    };
    let seqno = cursor.varint()?;
    let shared = match head {
        Some(head) => head.get(..usize::try_from(cursor.varint()?).ok()?)?,
        None => &[],
    };
    let rest_size = cursor.varint()?;
    let rest = cursor.bytes(rest_size)?;
    let key = if shared.is_empty() {
        rest
    } else {
        let mut key = BytesMut::with_capacity(shared.len() + rest.len());
        key.extend_from_slice(shared);
        key.extend_from_slice(&rest);
        key.freeze()
    };
    let value = match kind {
        Kind::Removal => Bytes::new(),
        Kind::Value | Kind::Blob => {
            let size = cursor.varint()?;
            cursor.bytes(size)?
        }
    };
    Some(Item { key, seqno, kind, value, is_saved: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content: Vec<u8>) {
            let bytes = Bytes::from(content.clone());
            let _ = (items(&bytes), salvaged_items(&bytes), BlockHeader::parse(&content));
        }
    }
}
