//! Everything that a database holds, read once and checked: what `verify` counts and `repair`
//! copies.

use crate::check::delayed_survey::DelayedSurvey;
use crate::check::level_survey::{Hole, LevelSurvey};
use crate::check::shared_survey::SharedSurvey;
use crate::damage::{Certainty, Damage, QueueName};
use crate::error::StoreError;
use crate::fjall::database::Space;
use crate::fjall::levels::Span;
use crate::fjall::recovery;
use crate::fjall::shared_bodies;
use crate::format::ack_value;
use crate::format::checksummed;
use crate::format::delayed_value;
use crate::format::key::{self, AckKind};
use crate::format::page_value::{self, Outside, PageFlaw};
use crate::format::progress::Progress;
use crate::repair::salvage::{FileDamage, Item, Items, LostCommits, Salvage};
use bytes::Bytes;
use forebay_engine::model::{Level, Offset, QueueId};
use forebay_engine::page::Page;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) levels: BTreeMap<(QueueId, Level), LevelSurvey>,
    pub(crate) dropped: BTreeSet<QueueId>,
    pub(crate) names: BTreeMap<QueueId, QueueName>,
    /// Keys and values of the engine's records.
    pub(crate) records: Vec<(Bytes, Bytes)>,
    pub(crate) progress: Progress,
    /// Delayed messages.
    pub(crate) delayed: DelayedSurvey,
    /// Bodies that several messages have.
    pub(crate) shared: SharedSurvey,
    /// Some record may be lost.
    pub(crate) is_topology_damaged: bool,
    /// Some settled state may be lost.
    are_acks_damaged: bool,
    /// Pages may be lost by something else than that commits are.
    pub(super) are_pages_damaged: bool,
    /// All bodies were read, and what is damaged of them is named.
    are_bodies_read: bool,
    /// Messages of lost commits that are there all the same.
    pub(super) survivors: u64,
    pub(crate) damages: Vec<Damage>,
    /// The data directory, which file names begin with.
    root: PathBuf,
}

/// Takes every whole item of a survey: `verify` drops them, `repair` copies them.
pub(crate) trait SurveySink {
    /// Takes a key and its value.
    ///
    /// # Errors
    /// When the copy can't be written.
    fn keep(&mut self, space: Space, key: Bytes, value: Bytes) -> Result<(), StoreError>;

    /// Counts bytes that were read since the last call, for the display of progress.
    fn has_read(&mut self, bytes: u64);
}

pub(crate) fn survey(
    database: &Path,
    salvage: &mut Salvage,
    sink: &mut impl SurveySink,
) -> Result<Survey, StoreError> {
    let root = database.parent().map(Path::to_owned).unwrap_or_default();
    let mut survey = Survey { root, ..Survey::default() };
    survey.files_damaged(salvage.damages());
    survey.meta(salvage, sink)?;
    survey.acks(salvage, sink)?;
    survey.note_delayed_bodies(salvage)?;
    survey.shared_bodies(salvage, sink)?;
    survey.delayed(salvage, sink)?;
    survey.pages(salvage, sink)?;
    survey.shared_counts();
    salvage.check_blob_files().map_err(failed)?;
    survey.files_damaged(salvage.damages());
    let named = survey.holes();
    survey.uncounted(salvage.lost_commits(), named);
    survey.name_queues();
    Ok(survey)
}

/// Whether a file may hold values of a keyspace: all but the other keyspaces' own.
fn may_hold(file: &Path, space: Space) -> bool {
    let mut parts = file.iter().skip_while(|part| *part != "keyspaces").skip(1);
    let id = parts.next().and_then(|part| part.to_str()?.parse::<u64>().ok());
    id.is_none_or(|id| id == space as u64 + 1)
}

pub(super) fn failed(error: io::Error) -> StoreError {
    StoreError::failed("read its data", error)
}

impl Survey {
    pub(super) fn damaged(
        &mut self,
        level: Option<(QueueId, Level)>,
        first: Option<Offset>,
        what: String,
    ) {
        let offsets = first.map(|first| (first, None));
        self.damages.push(Damage { level, offsets, what, ..Damage::default() });
    }

    fn files_damaged(&mut self, damages: Vec<FileDamage>) {
        for FileDamage { file, what } in damages {
            self.is_topology_damaged |= may_hold(&file, Space::Meta);
            self.are_acks_damaged |= may_hold(&file, Space::Acks);
            let holds_pages = [Space::Pages, Space::Bodies, Space::Delayed]
                .into_iter()
                .any(|space| may_hold(&file, space));
            // What journals lost is known by their commits.
            self.are_pages_damaged |=
                holds_pages && file.starts_with(self.root.join("fjall/keyspaces"));
            let file = file.strip_prefix(&self.root).map(Path::to_owned).unwrap_or(file);
            self.damages.push(Damage { file: Some(file), what, ..Damage::default() });
        }
    }

    /// The next item; what was damaged before it is noted.
    pub(super) fn next(
        &mut self,
        items: &mut Items,
        sink: &mut impl SurveySink,
    ) -> Result<Option<Item>, StoreError> {
        let item = items.next().map_err(failed)?;
        sink.has_read(items.bytes_read());
        self.files_damaged(items.damages());
        Ok(item)
    }

    fn meta(&mut self, salvage: &Salvage, sink: &mut impl SurveySink) -> Result<(), StoreError> {
        let mut items = salvage.items(Space::Meta).map_err(failed)?;
        while let Some(Item { key, value, .. }) = self.next(&mut items, sink)? {
            if key == key::HEARTBEAT_KEY {
                continue;
            }
            if key == key::progress() {
                match Progress::decode(&key, &value) {
                    Ok(progress) => self.progress = progress,
                    Err(flaw) => {
                        self.damaged(None, None, format!("the record of progress: {flaw}"))
                    }
                }
                continue;
            }
            if key == key::unfinished_snapshot() {
                let what = "a snapshot from another node was being put in place: the next start of this \
                            node finishes that; until then parts of it are missing";
                self.damaged(None, None, what.to_owned());
            }
            let content = match checksummed::unseal(&key, &value) {
                Ok(content) => content,
                Err(flaw) => {
                    self.is_topology_damaged = true;
                    self.damaged(None, None, format!("record {}: {flaw}", key.escape_ascii()));
                    continue;
                }
            };
            if let Some((queue, clock)) = key::parse_delayed_state(&key) {
                // Written anew from what is there.
                let state = delayed_value::decode_state(&key, &value);
                if let Some(state) = state.ok().filter(|_| !self.dropped.contains(&queue)) {
                    self.delayed.note_state(queue, clock, state);
                }
                continue;
            }
            if key::is_page_bodies(&key) {
                let bodies = shared_bodies::decode_page_bodies(&key, &value).unwrap_or_default();
                self.shared.note_references(bodies);
                continue;
            }
            if let Some(id) = key::parse_body_count(&key) {
                let count = shared_bodies::decode_count(&key, &value).unwrap_or(0);
                self.shared.note_count(id, count);
                continue;
            }
            self.dropped.extend(key::parse_dropped_queue(&key));
            self.names.extend(recovery::queue_name(&key, &value));
            self.records.extend(key::parse_record(&key).map(|key| (key, content)));
            sink.keep(Space::Meta, key, value)?;
        }
        Ok(())
    }

    fn acks(&mut self, salvage: &Salvage, sink: &mut impl SurveySink) -> Result<(), StoreError> {
        let mut items = salvage.items(Space::Acks).map_err(failed)?;
        while let Some(Item { key, value, .. }) = self.next(&mut items, sink)? {
            let Some((queue, level, kind)) = key::parse_ack(&key) else { continue };
            if self.dropped.contains(&queue) {
                continue;
            }
            let found = self.levels.entry((queue, level)).or_default();
            let taken = match kind {
                AckKind::Level => ack_value::decode_level(&key, &value).map(|record| {
                    found.span = found.span.max(Some(Span(record.span)));
                    found.end = record.end;
                    found.has_record = true;
                }),
                AckKind::Watermark => ack_value::decode_watermark(&key, &value).map(|watermark| {
                    found.settled.watermark = watermark;
                    found.has_watermark = true;
                }),
                AckKind::Block(block) => ack_value::decode_block(&key, &value)
                    .map(|content| found.settled.blocks.push((block, content))),
            };
            if let Err(flaw) = taken {
                let what = format!("settled state ({kind:?}): {flaw}");
                self.damaged(Some((queue, level)), None, what);
            }
        }
        for level in self.levels.values_mut() {
            level.runs = level.settled.runs();
        }
        Ok(())
    }

    fn pages(&mut self, salvage: &Salvage, sink: &mut impl SurveySink) -> Result<(), StoreError> {
        let mut items = salvage.items(Space::Pages).map_err(failed)?;
        let mut bodies =
            Bodies { items: salvage.items(Space::Bodies).map_err(failed)?, next: None };
        while let Some(item) = self.next(&mut items, sink)? {
            let is_survivor =
                item.is_saved || salvage.lost_commits().iter().any(|lost| lost.have(item.seqno));
            let Item { key, value, .. } = item;
            if key::parse_log_entry(&key).is_some() {
                // No repair copies it: it belongs to a replica, which has others to get it from.
                if let Err(flaw) = checksummed::unseal(&key, &value) {
                    let what = format!("an entry of the replicated log: {flaw}");
                    self.damaged(None, None, what);
                }
                continue;
            }
            // The key of a level's anchor names no page.
            let Some((queue, level, first)) = key::parse_page(&key) else { continue };
            if self.dropped.contains(&queue) {
                continue;
            }
            let of_page = bodies.of_page(&key).map_err(failed)?;
            let damages = bodies.items.damages();
            if !self.are_bodies_read {
                self.files_damaged(damages);
            }
            let shared = &mut self.shared;
            let fetch = |key: &[u8], outside: &Outside| {
                Ok::<_, io::Error>(match key::parse_shared_body(key) {
                    Some(id) => shared.stand_in(id, outside),
                    None => outside.checked(key, of_page.get(key).cloned()),
                })
            };
            let mut lost = Vec::new();
            let lose = |flaw| {
                lost.push(flaw);
                Ok(())
            };
            match page_value::decode_without(queue, level, first, &value, fetch, lose) {
                Ok(page) => {
                    self.survivors += if is_survivor { page.records.len() as u64 } else { 0 };
                    let value = match lost.is_empty() {
                        true => value,
                        false => without(queue, level, first, &value, &lost),
                    };
                    self.page(queue, level, &page, (key, value), sink)?;
                    self.bodiless(queue, level, lost);
                }
                Err(flaw) => {
                    self.are_pages_damaged = true;
                    let what = format!("a page is damaged: {flaw}");
                    self.damaged(Some((queue, level)), Some(first), what);
                }
            }
        }
        Ok(())
    }

    /// Looks at all bodies that several messages have: which are there, and as what.
    fn shared_bodies(
        &mut self,
        salvage: &Salvage,
        sink: &mut impl SurveySink,
    ) -> Result<(), StoreError> {
        // What tells of them may itself be lost.
        if self.shared.is_unused() && !self.is_topology_damaged {
            return Ok(());
        }
        let mut items = salvage.items(Space::Bodies).map_err(failed)?;
        while let Some(Item { key, value, .. }) = items.next().map_err(failed)? {
            if let Some(id) = key::parse_shared_body(&key) {
                self.shared.found(id, value.len() as u64, checksummed::checksum(&key, &value));
                sink.keep(Space::Bodies, key, value)?;
            }
        }
        self.files_damaged(items.damages());
        self.are_bodies_read = true;
        Ok(())
    }

    /// A count that is too low would take a body away that messages have; one too high keeps it for ever.
    fn shared_counts(&mut self) {
        for (id, counted, found) in self.shared.wrong_counts() {
            let what = format!("body {id} is counted for {counted} messages; {found} have it");
            self.damaged(None, None, what);
        }
    }

    fn page(
        &mut self,
        queue: QueueId,
        level: Level,
        page: &Page,
        (key, value): (Bytes, Bytes),
        sink: &mut impl SurveySink,
    ) -> Result<(), StoreError> {
        let found = self.levels.entry((queue, level)).or_default();
        if page.end <= found.settled.watermark.low {
            return Ok(());
        }
        found.span = found.span.max(Some(Span::of(page.first, page.end)));
        found.extents.push((page.first, page.end, page.bytes_before, page.bytes_after));
        let mut unsettled = found.runs.unsettled(page.first, page.end).into_iter().peekable();
        for record in &page.records {
            while unsettled.next_if(|(_, end)| *end <= record.offset).is_some() {}
            if unsettled.peek().is_some_and(|(first, _)| *first <= record.offset) {
                found.messages += 1;
                found.bytes += record.message.size() as u64;
            }
        }
        if let Some((key, value)) = self.shared.use_page(queue, level, page) {
            sink.keep(Space::Meta, key, value)?;
        }
        for (key, body) in page_value::outside_bodies(queue, level, page) {
            sink.keep(Space::Bodies, key, body)?;
        }
        sink.keep(Space::Pages, key, value)
    }

    /// Messages of a readable page whose bodies are not.
    fn bodiless(&mut self, queue: QueueId, level: Level, flaws: Vec<PageFlaw<io::Error>>) {
        for flaw in flaws {
            let (PageFlaw::BodyMissing { offset, size } | PageFlaw::BodyChecksum { offset, size }) =
                flaw
            else {
                continue;
            };
            let mut damage = Damage::missing(queue, level, offset, offset.next());
            damage.what = flaw.to_string();
            let found = self.levels.entry((queue, level)).or_default();
            let is_settled = found.runs.unsettled(offset, offset.next()).is_empty();
            if is_settled && matches!(flaw, PageFlaw::BodyMissing { .. }) {
                // A settled message's body may be gone before its page is.
                continue;
            }
            self.are_pages_damaged = true;
            if found.runs.unsettled(offset, offset.next()).is_empty() {
                damage.messages = Some(0);
            } else {
                found.bodiless.push((offset, size));
            }
            self.damages.push(damage);
        }
    }

    /// Names what no page holds and nothing settles; how many messages that is.
    fn holes(&mut self) -> u64 {
        let mut named = 0;
        for level in self.levels.values_mut() {
            level.is_doubtful = self.are_acks_damaged || !level.has_record;
        }
        for damage in self.delayed.missing() {
            named += damage.messages.unwrap_or(0);
            self.damages.push(damage);
        }
        for ((queue, level), found) in &self.levels {
            for Hole { first, end, .. } in found.holes() {
                named += end.0.saturating_sub(first.0);
                self.damages.push(Damage::missing(*queue, *level, first, end));
            }
            if found.extents.is_empty() {
                continue;
            }
            if !found.has_record {
                let what = "the record of its pages is lost; the pages are there".to_owned();
                let level = Some((*queue, *level));
                self.damages.push(Damage { level, what, ..Damage::default() });
            }
            if let Some(first) = found.settled_unknown_below() {
                let mut missing = Damage::missing(*queue, *level, Offset(0), first);
                missing.what =
                    "missing, unless they were acknowledged, which is not known any more; \
                                acknowledged ones whose page is there come again"
                        .to_owned();
                missing.certainty = Certainty::AtMost;
                self.damages.push(missing);
            }
        }
        named
    }

    /// Counts what was in lost commits, is not there, and is not `named`: messages of queues of which
    /// nothing that is left tells where they end.
    fn uncounted(&mut self, lost: &[LostCommits], named: u64) {
        if lost.is_empty() {
            return;
        }
        // What is named may be missing for another reason.
        let named = if self.are_pages_damaged { 0 } else { named };
        let messages = lost.iter().map(|lost| lost.messages).sum::<Option<u64>>();
        let messages =
            messages.map(|messages| messages.saturating_sub(self.survivors).saturating_sub(named));
        if messages == Some(0) {
            return;
        }
        let commits = lost.iter().map(|LostCommits { first, last, .. }| match first {
            Some(first) => format!("{first} to {last}"),
            None => format!("up to {last}"),
        });
        let commits = commits.collect::<Vec<_>>().join(", ");
        let what = format!(
            "were in the commits {commits} of the store, which can't be read, and nothing else tells \
             of which queues"
        );
        let certainty = if messages.is_some() { Certainty::AtMost } else { Certainty::Unknown };
        let what =
            if messages.is_some() { what } else { format!("an unknown number of messages {what}") };
        self.damages.push(Damage { messages, certainty, what, ..Damage::default() });
    }

    fn name_queues(&mut self) {
        for damage in &mut self.damages {
            let queue = damage.level.and_then(|(queue, _)| self.names.get(&queue));
            damage.queue = queue.cloned();
        }
    }
}

/// The value of a page without the messages whose bodies are lost.
fn without(
    queue: QueueId,
    level: Level,
    first: Offset,
    value: &Bytes,
    lost: &[PageFlaw<io::Error>],
) -> Bytes {
    let lost = lost.iter().filter_map(|flaw| match flaw {
        PageFlaw::BodyMissing { offset, .. } | PageFlaw::BodyChecksum { offset, .. } => {
            Some(*offset)
        }
        _ => None,
    });
    // It was decoded just now.
    page_value::without(queue, level, first, value, &lost.collect())
        .unwrap_or_else(|_| value.clone())
}

/// The bodies beside the pages, in the same order.
struct Bodies {
    items: Items,
    next: Option<Item>,
}

impl Bodies {
    fn of_page(&mut self, page: &Bytes) -> io::Result<BTreeMap<Bytes, Bytes>> {
        let mut of_page = BTreeMap::new();
        loop {
            let next = match self.next.take() {
                Some(next) => Some(next),
                None => self.items.next()?,
            };
            match next {
                None => return Ok(of_page),
                Some(item) if item.key.starts_with(page) => {
                    of_page.insert(item.key, item.value);
                }
                Some(item) if item.key < *page => {}
                later => {
                    self.next = later;
                    return Ok(of_page);
                }
            }
        }
    }
}
