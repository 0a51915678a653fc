//! Bodies that several messages have, as `verify` and `repair` find them: what is there, what pages have, and
//! what was counted. Belongs to a [`crate::check::survey::Survey`]. Takes some tens of bytes for each such body.

use crate::format::checksummed;
use crate::format::key;
use crate::format::page_value::{BodyFlaw, Outside};
use bytes::{BufMut, Bytes};
use forebay_engine::model::{BodyId, Level, QueueId};
use forebay_engine::page::Page;
use std::collections::BTreeMap;

/// One such body.
#[derive(Debug, Default)]
struct SharedBody {
    /// Its size and checksum, when it is there.
    found: Option<(u64, u64)>,
    /// Messages that have it, by the stored count.
    counted: u64,
    /// Messages that have it, by the stored references of pages and by delayed messages.
    referred: u64,
    /// Readable messages that have it.
    used: u64,
}

/// All shared bodies of a data directory.
#[derive(Debug, Default)]
pub(crate) struct SharedSurvey {
    bodies: BTreeMap<BodyId, SharedBody>,
    /// As long as the longest body that was asked for.
    zeros: Bytes,
}

impl SharedSurvey {
    /// The stored references of a page.
    pub(crate) fn note_references(&mut self, bodies: Vec<BodyId>) {
        for id in bodies {
            self.bodies.entry(id).or_default().referred += 1;
        }
    }

    /// A stored count.
    pub(crate) fn note_count(&mut self, id: BodyId, messages: u64) {
        self.bodies.entry(id).or_default().counted = messages;
    }

    /// Whether `meta` refers to no shared body.
    pub(crate) fn is_unused(&self) -> bool {
        self.bodies.is_empty()
    }

    /// A stored body.
    pub(crate) fn found(&mut self, id: BodyId, size: u64, checksum: u64) {
        self.bodies.entry(id).or_default().found = Some((size, checksum));
    }

    /// Zeros in the place of a body that is there as a page says; it is not read again for each message.
    pub(crate) fn stand_in(&mut self, id: BodyId, outside: &Outside) -> Result<Bytes, BodyFlaw> {
        let found = self.bodies.get(&id).and_then(|body| body.found);
        let (size, checksum) = found.ok_or(BodyFlaw::Missing)?;
        if !outside.is_of(size, checksum) {
            return Err(BodyFlaw::Checksum);
        }
        let size = usize::try_from(size).map_err(|_| BodyFlaw::Checksum)?;
        if self.zeros.len() < size {
            self.zeros = vec![0; size].into();
        }
        Ok(self.zeros.slice(..size))
    }

    /// A readable page is kept: what is to be stored of the bodies that it has.
    pub(crate) fn use_page(
        &mut self,
        queue: QueueId,
        level: Level,
        page: &Page,
    ) -> Option<(Bytes, Bytes)> {
        let mut bodies = Vec::new();
        for id in page.records.iter().filter_map(|record| record.message.shared_body()) {
            self.bodies.entry(id).or_default().used += 1;
            bodies.put_u64(id.0);
        }
        if bodies.is_empty() {
            return None;
        }
        let key = key::page_bodies(queue, level, page.first);
        let value = checksummed::seal(&key, &bodies);
        Some((key, value))
    }

    /// A readable delayed message is kept that has this body.
    pub(crate) fn use_body(&mut self, body: Option<BodyId>) {
        if let Some(id) = body {
            self.bodies.entry(id).or_default().used += 1;
        }
    }

    /// Bodies whose count is not that of the references to them: count and references.
    pub(crate) fn wrong_counts(&self) -> Vec<(BodyId, u64, u64)> {
        let wrong = self.bodies.iter().filter(|(_, body)| body.counted != body.referred);
        wrong.map(|(id, body)| (*id, body.counted, body.referred)).collect()
    }

    /// Bodies that messages have, and how many.
    pub(crate) fn used(&self) -> impl Iterator<Item = (BodyId, u64)> + use<'_> {
        let used = self.bodies.iter().filter(|(_, body)| body.used > 0);
        used.map(|(id, body)| (*id, body.used))
    }

    /// Bodies that are there and that no message has.
    pub(crate) fn unused(&self) -> impl Iterator<Item = BodyId> + use<'_> {
        let unused = self.bodies.iter().filter(|(_, body)| body.used == 0 && body.found.is_some());
        unused.map(|(id, _)| *id)
    }
}
