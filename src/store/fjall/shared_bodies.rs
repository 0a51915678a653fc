//! Bodies that messages of several queues have in common, or a delayed message hands on to the page that it
//! comes into: each is one value in `bodies`, and `meta` counts the stored messages that have it. The last one to go takes the body with it.
//!
//! ```text
//! bodies, shared body:  the bytes as they came; each page holds their checksum
//! meta, body count:     messages:u64           messages in stored pages, and delayed ones, that have the body
//! meta, page bodies:    body:u64 *             the shared bodies of one page, once for each message
//! ```
//! What a page refers to stands beside it, so that a page is removed, and a queue dropped, without being
//! read. A count changes in the batch that writes or removes the pages which it counts: a crash finds both
//! or neither.

use crate::fjall::database::{Error, Space};
use crate::fjall::view::View;
use crate::fjall::write_batch::WriteBatch;
use crate::format::checksummed::{self, Flaw};
use crate::format::cursor::Cursor;
use crate::format::key;
use bytes::{BufMut, Bytes};
use forebay_engine::model::{BodyId, Level, Message, Offset, QueueId};
use forebay_engine::page::Page;
use std::collections::BTreeMap;

/// What one batch changes.
#[derive(Debug, Default)]
pub(crate) struct BodyUses {
    uses: BTreeMap<BodyId, Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    put: u64,
    removed: u64,
    /// Its bytes, when a page of the batch has it.
    body: Option<Bytes>,
}

impl BodyUses {
    /// A page is written.
    pub(crate) fn put_page(
        &mut self,
        batch: &mut WriteBatch<'_>,
        queue: QueueId,
        level: Level,
        page: &Page,
    ) {
        let mut bodies = Vec::new();
        for message in page.records.iter().map(|record| &record.message) {
            let Some(id) = message.shared_body() else { continue };
            bodies.put_u64(id.0);
            let uses = self.uses.entry(id).or_default();
            uses.put += 1;
            uses.body.get_or_insert_with(|| message.body().clone());
        }
        if !bodies.is_empty() {
            let key = key::page_bodies(queue, level, page.first);
            let value = checksummed::seal(&key, &bodies);
            batch.insert(Space::Meta, key, value);
        }
    }

    /// A page is removed.
    ///
    /// # Errors
    /// When what it refers to can't be read.
    pub(crate) fn remove_page(
        &mut self,
        batch: &mut WriteBatch<'_>,
        view: &View,
        queue: QueueId,
        level: Level,
        first: Offset,
    ) -> Result<(), Error> {
        let key = key::page_bodies(queue, level, first);
        if let Some(value) = view.get(Space::Meta, &key)? {
            self.remove(batch, key, &value);
        }
        Ok(())
    }

    /// A delayed message is written.
    pub(crate) fn put_delayed(&mut self, message: &Message) {
        let Some(id) = message.shared_body() else { return };
        let uses = self.uses.entry(id).or_default();
        uses.put += 1;
        uses.body.get_or_insert_with(|| message.body().clone());
    }

    /// A delayed message that has this body is removed.
    pub(crate) fn remove_delayed(&mut self, body: BodyId) {
        self.uses.entry(body).or_default().removed += 1;
    }

    /// What stands under a page's key in `meta` is removed.
    pub(crate) fn remove(&mut self, batch: &mut WriteBatch<'_>, key: Bytes, value: &Bytes) {
        // A value that is damaged leaves its bodies behind, which costs room on the disk and no message.
        for id in decode_page_bodies(&key, value).unwrap_or_default() {
            self.uses.entry(id).or_default().removed += 1;
        }
        batch.remove(Space::Meta, key);
    }

    /// Writes counts, and the bodies that are new or not used any more. Tells whether there were any.
    ///
    /// # Errors
    /// When a count can't be read.
    pub(crate) fn write(self, batch: &mut WriteBatch<'_>, view: &View) -> Result<bool, Error> {
        let has_any = !self.uses.is_empty();
        for (id, Uses { put, removed, body }) in self.uses {
            let key = key::body_count(id);
            let before = view.get(Space::Meta, &key)?;
            let before = before.map(|value| decode_count(&key, &value));
            let Ok(before) = before.transpose() else {
                // How many messages have it is not known: it stays until a repair counts them.
                continue;
            };
            let is_stored = before.is_some();
            let count = before.unwrap_or(0).saturating_add(put).saturating_sub(removed);
            if count > 0 {
                if let (false, Some(body)) = (is_stored, body) {
                    batch.insert(Space::Bodies, key::shared_body(id), body);
                }
                let value = encode_count(&key, count);
                batch.insert(Space::Meta, key, value);
            } else if is_stored {
                batch.remove(Space::Bodies, key::shared_body(id));
                batch.remove(Space::Meta, key);
            }
        }
        Ok(has_any)
    }
}

/// The highest identifier of a body that is stored; 0 when there is none.
///
/// # Errors
/// When the keys can't be read.
pub(crate) fn last(view: &View) -> Result<BodyId, Error> {
    let (first, last) = key::shared_bodies_range();
    let key = view.last_key(Space::Bodies, &first, &last)?;
    Ok(key.and_then(|key| key::parse_shared_body(&key)).unwrap_or_default())
}

pub(crate) fn encode_count(key: &[u8], messages: u64) -> Bytes {
    checksummed::seal(key, &messages.to_be_bytes())
}

pub(crate) fn decode_count(key: &[u8], value: &Bytes) -> Result<u64, Flaw> {
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    cursor.integer().filter(|_| cursor.is_empty()).ok_or(Flaw::Layout("body count"))
}

pub(crate) fn decode_page_bodies(key: &[u8], value: &Bytes) -> Result<Vec<BodyId>, Flaw> {
    let mut cursor = Cursor::new(checksummed::unseal(key, value)?);
    let mut bodies = Vec::new();
    while let Some(id) = cursor.integer() {
        bodies.push(BodyId(id));
    }
    if cursor.is_empty() { Ok(bodies) } else { Err(Flaw::Layout("bodies of a page")) }
}
