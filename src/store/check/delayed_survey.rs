//! Delayed messages, as `verify` and `repair` find them: what is there, and what is said to be there. Belongs
//! to a [`crate::check::survey::Survey`]. Takes some tens of bytes for each queue.

use crate::check::survey::{Survey, SurveySink, failed};
use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::database::Space;
use crate::format::delayed_value;
use crate::format::key;
use crate::format::page_value::Outside;
use crate::repair::salvage::{Item, Salvage};
use forebay_engine::model::{DelayedId, DueClock, Level, Message, QueueId};
use forebay_engine::operation::DelayedState;
use std::collections::BTreeMap;
use std::io;

/// Those of one queue and clock.
#[derive(Debug, Default)]
struct Found {
    /// What the stored state says.
    said: Option<DelayedState>,
    /// What can be read.
    there: Option<DelayedState>,
    /// Bytes of the messages that can be read, heads included.
    bytes: u64,
}

/// All delayed messages of a data directory.
#[derive(Debug, Default)]
pub(crate) struct DelayedSurvey {
    found: BTreeMap<(QueueId, DueClock), Found>,
}

impl DelayedSurvey {
    /// What is said of a queue's delayed messages.
    pub(crate) fn note_state(&mut self, queue: QueueId, clock: DueClock, state: DelayedState) {
        self.found.entry((queue, clock)).or_default().said = Some(state);
    }

    /// A message that can be read. They come in order.
    pub(crate) fn found(&mut self, queue: QueueId, id: DelayedId, message: &Message) {
        let found = self.found.entry((queue, id.clock)).or_default();
        found.bytes += message.size() as u64;
        let first = DelayedState { from: id.due, ..DelayedState::default() };
        let there = found.there.get_or_insert(first);
        there.count += 1;
        there.bytes += message.body().len() as u64;
        there.next_sequence = there.next_sequence.max(id.sequence.saturating_add(1));
    }

    /// Messages that can be read.
    pub(crate) fn messages(&self) -> u64 {
        self.found.values().filter_map(|found| found.there).map(|there| there.count).sum()
    }

    /// Bytes of those.
    pub(crate) fn bytes(&self) -> u64 {
        self.found.values().map(|found| found.bytes).sum()
    }

    /// The queues that have some.
    pub(crate) fn queues(&self) -> impl Iterator<Item = QueueId> + use<'_> {
        self.states().map(|(queue, ..)| queue)
    }

    /// Whether a queue has some.
    pub(crate) fn has_messages(&self, queue: QueueId) -> bool {
        self.queues().any(|known| known == queue)
    }

    /// What is true of those that can be read.
    pub(crate) fn states(
        &self,
    ) -> impl Iterator<Item = (QueueId, DueClock, DelayedState)> + use<'_> {
        self.found.iter().filter_map(|((queue, clock), found)| {
            let mut there = found.there?;
            let said = found.said.unwrap_or_default();
            there.next_sequence = there.next_sequence.max(said.next_sequence);
            Some((*queue, *clock, there))
        })
    }

    /// What is said to be there and is not, and what nothing is said of.
    pub(crate) fn missing(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        for ((queue, _), found) in &self.found {
            let level = Some((*queue, Level(0)));
            let there = found.there.map_or(0, |there| there.count);
            match found.said {
                Some(said) if said.count > there => damages.push(Damage {
                    level,
                    messages: Some(said.count - there),
                    what: format!(
                        "delayed messages are missing: of {} that wait to become due, {there} can be read",
                        said.count
                    ),
                    ..Damage::default()
                }),
                Some(said) if said.count < there => damages.push(Damage {
                    level,
                    what: format!("{there} delayed messages are there; {} are counted", said.count),
                    ..Damage::default()
                }),
                None if there > 0 => damages.push(Damage {
                    level,
                    what: format!("the state of its {there} delayed messages is lost; they are there"),
                    ..Damage::default()
                }),
                _ => {}
            }
        }
        damages
    }
}

impl Survey {
    /// Notes which delayed messages have bodies of their own.
    pub(super) fn note_delayed_bodies(&mut self, salvage: &Salvage) -> Result<(), StoreError> {
        if self.shared.is_unused() && !self.is_topology_damaged {
            return Ok(());
        }
        // Their files are told of when they are read for their content; what a dropped queue has counts
        // until it is removed.
        let mut items = salvage.items(Space::Delayed).map_err(failed)?;
        while let Some(Item { key, value, .. }) = items.next().map_err(failed)? {
            let body = delayed_value::shared_body(&key, &value).ok().flatten();
            self.shared.note_references(body.into_iter().collect());
        }
        Ok(())
    }

    pub(super) fn delayed(
        &mut self,
        salvage: &Salvage,
        sink: &mut impl SurveySink,
    ) -> Result<(), StoreError> {
        let mut items = salvage.items(Space::Delayed).map_err(failed)?;
        while let Some(item) = self.next(&mut items, sink)? {
            let is_survivor =
                item.is_saved || salvage.lost_commits().iter().any(|lost| lost.have(item.seqno));
            let Item { key, value, .. } = item;
            let Some((queue, id)) = key::parse_delayed(&key) else { continue };
            if self.dropped.contains(&queue) {
                continue;
            }
            let shared = &mut self.shared;
            let fetch =
                |body, outside: &Outside| Ok::<_, io::Error>(shared.stand_in(body, outside));
            match delayed_value::decode(&key, &value, fetch) {
                Ok(message) => {
                    self.survivors += u64::from(is_survivor);
                    self.shared.use_body(message.shared_body());
                    self.delayed.found(queue, id, &message);
                    sink.keep(Space::Delayed, key, value)?;
                }
                Err(flaw) => {
                    self.are_pages_damaged = true;
                    let what = format!("the delayed message {id} is damaged: {flaw}");
                    self.damaged(Some((queue, Level(0))), None, what);
                }
            }
        }
        Ok(())
    }
}
