//! Delayed messages on the disk: each is one value, under its queue, clock and due time, so that those that
//! are due next stand at the front.

use crate::damage::Damage;
use crate::error::StoreError;
use crate::fjall::database::{self, Space};
use crate::fjall::recovery;
use crate::fjall::shared::Shared;
use crate::fjall::shared_bodies::BodyUses;
use crate::fjall::view::View;
use crate::format::delayed_value::{self, DelayedFlaw};
use crate::format::key;
use crate::format::page_value::Outside;
use crate::limits::REMOVE_KEYS_MAX;
use crate::store::DelayedMessages;
use bytes::Bytes;
use forebay_engine::model::{BodyId, DelayedId, DueClock, Level, Message, QueueId};
use forebay_engine::operation::{Durability, RecoveredDelayed};
use std::sync::PoisonError;

/// What is known of the delayed messages of all queues, without reading one.
///
/// # Errors
/// When the disk fails or what is known is damaged.
pub(crate) fn states(view: &View) -> Result<Vec<RecoveredDelayed>, StoreError> {
    let dropped = recovery::dropped_queues(view)?;
    let mut states = Vec::new();
    for item in view.prefix(Space::Meta, &key::delayed_states()) {
        let (key, value) = item.map_err(recovery::failed)?;
        let (queue, clock) = key::parse_delayed_state(&key)
            .ok_or_else(|| Damage::elsewhere("a state of delayed messages has an unknown key"))?;
        let state = delayed_value::decode_state(&key, &value).map_err(|flaw| {
            Damage::of_level(
                queue,
                Level(0),
                None,
                format!("the state of its delayed messages: {flaw}"),
            )
        })?;
        if !dropped.contains(&queue) {
            states.push(RecoveredDelayed { queue, clock, state });
        }
    }
    Ok(states)
}

/// The messages of a queue from `from` on; see [`crate::Store::read_delayed`].
fn read(
    view: &View,
    queue: QueueId,
    from: DelayedId,
    bytes_max: usize,
) -> Result<DelayedMessages, StoreError> {
    let last = key::delayed(queue, DelayedId::highest(from.clock));
    let mut items = view.range(Space::Delayed, &key::delayed(queue, from), &last);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max {
        let Some(item) = items.next() else {
            return Ok(DelayedMessages { messages, is_end: true });
        };
        match decoded(view, queue, item) {
            Ok((id, message)) => {
                bytes += message.size();
                messages.push((id, message));
            }
            // Those before it can be delivered; who asks for this one is told.
            Err(StoreError::Damaged(_)) if !messages.is_empty() => {
                return Ok(DelayedMessages { messages, is_end: false });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(DelayedMessages { messages, is_end: items.next().is_none() })
}

fn decoded(
    view: &View,
    queue: QueueId,
    item: Result<(Bytes, Bytes), database::Error>,
) -> Result<(DelayedId, Message), StoreError> {
    let damaged = |what| Damage::of_level(queue, Level(0), None, what);
    let failed = |error| match database::is_unreadable(&error) {
        true => damaged(format!("a delayed message can't be read: {error}")),
        false => StoreError::failed("read its data", error),
    };
    let (key, value) = item.map_err(failed)?;
    let Some((_, id)) = key::parse_delayed(&key) else {
        let key = key.escape_ascii();
        return Err(damaged(format!("a delayed message has the unknown key {key}")));
    };
    let fetch = |body: BodyId, outside: &Outside| {
        let key = key::shared_body(body);
        Ok(outside.checked(&key, view.get(Space::Bodies, &key)?))
    };
    match delayed_value::decode(&key, &value, fetch) {
        Ok(message) => Ok((id, message)),
        Err(DelayedFlaw::Fetch(error)) => Err(failed(error)),
        Err(flaw) => Err(damaged(format!("the delayed message {id} is damaged: {flaw}"))),
    }
}

impl Shared {
    pub(crate) fn read_delayed(
        &self,
        queue: QueueId,
        from: DelayedId,
        bytes_max: usize,
    ) -> Result<DelayedMessages, StoreError> {
        let view = self.database.view();
        read(&view, queue, from, bytes_max).map_err(|error| recovery::named(error, &view))
    }

    /// Removes some of a dropped queue's delayed messages, from a key on, with the bodies that nothing refers
    /// to any more. Gives the last key removed; `None`: there were no more. No commit runs meanwhile: both
    /// change counts.
    pub(crate) fn remove_delayed(
        &self,
        queue: QueueId,
        from: &[u8],
    ) -> Result<Option<Bytes>, database::Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.database.view();
        let mut batch = self.database.batch();
        let mut uses = BodyUses::default();
        let (_, last) = key::delayed_of(queue);
        let mut removed = None;
        for item in view.range(Space::Delayed, from, &last).take(REMOVE_KEYS_MAX) {
            let (key, value) = item?;
            // One that is damaged leaves its body behind, which costs room on the disk and no message.
            if let Some(body) = delayed_value::shared_body(&key, &value).ok().flatten() {
                uses.remove_delayed(body);
            }
            removed = Some(Bytes::copy_from_slice(&key));
            batch.remove(Space::Delayed, key);
        }
        if removed.is_none() {
            for clock in DueClock::ALL {
                batch.remove(Space::Meta, key::delayed_state(queue, clock));
            }
        }
        uses.write(&mut batch, &view)?;
        batch.commit(Durability::Written)?;
        Ok(removed)
    }
}
