//! What is known of when the stored messages of a level expire without reading one: no message was
//! published earlier, none has a shorter time to live of its own. Every page says it of all messages that
//! stand before its end, so that after a restart no queue has to read its first message before that
//! one may be too old. Belongs to a [`super::level::PriorityLevel`].

use crate::limits::MARK_INTERVAL_MS;
use crate::model::{Message, Offset, WallClock};
use crate::page::ExpiryBounds;

/// The bounds of the messages that are not settled, as messages come.
#[derive(Debug, Default)]
pub(super) struct RunningBounds {
    /// `None`: an older program stored some of the messages without them.
    known: Option<ExpiryBounds>,
    /// The latest time of publishing so far.
    latest: WallClock,
    /// The last message that was published well before an earlier one, because the clock went back, or
    /// of which that is not known.
    went_back: Option<Offset>,
}

impl RunningBounds {
    /// Those of a level that the store holds, up to `tail`.
    pub(super) fn recovered(known: Option<ExpiryBounds>, tail: Offset) -> Self {
        // What the clock did before nobody knows.
        Self { known, latest: WallClock(0), went_back: tail.0.checked_sub(1).map(Offset) }
    }

    /// A message that is to be stored was added. `is_first`: all before it are settled.
    pub(super) fn note(&mut self, offset: Offset, message: &Message, is_first: bool) {
        let (published_from, expiration_min) = (message.published_at(), message.expiration());
        if is_first {
            self.known = Some(ExpiryBounds { published_from, expiration_min });
            (self.latest, self.went_back) = (published_from, None);
            return;
        }
        if let Some(known) = &mut self.known {
            known.published_from = known.published_from.min(published_from);
            known.expiration_min =
                [known.expiration_min, expiration_min].into_iter().flatten().min();
        }
        if published_from.0.saturating_add(MARK_INTERVAL_MS) < self.latest.0 {
            self.went_back = Some(offset);
        }
        self.latest = self.latest.max(published_from);
    }

    /// The bounds of what is not settled now. `mark`: the lowest such message or one before it, and when
    /// that was published. Unless the clock went back, no message behind it is much older.
    pub(super) fn from(&self, mark: Option<(Offset, WallClock)>) -> Option<ExpiryBounds> {
        let mut bounds = self.known?;
        let is_steady =
            |(offset, _): &(Offset, _)| self.went_back.is_none_or(|went_back| went_back < *offset);
        if let Some((_, mark)) = mark.filter(is_steady) {
            let mark = WallClock(mark.0.saturating_sub(MARK_INTERVAL_MS));
            bounds.published_from = bounds.published_from.max(mark);
        }
        Some(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Envelope;
    use bytes::{Bytes, BytesMut};
    use forebay_wire::{RawProperties, ShortStr};
    use proptest::prelude::*;

    fn message(published_at: u64, expiration: Option<u64>) -> Message {
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::EMPTY,
            properties: &RawProperties::empty(),
            published_at: WallClock(published_at),
            expiration,
        };
        Message::new(envelope, Bytes::new(), &mut BytesMut::new())
    }

    proptest! {
        /// However the clock jumps, and whichever mark at or before the first message is known.
        #[test]
        fn no_message_is_older_or_ends_earlier_than_they_say(
            steps in prop::collection::vec((0..20_000_i64, prop::option::of(0..5_u64), prop::bool::weighted(0.3)), 1..40),
            jumps in prop::collection::vec(prop::bool::weighted(0.1), 40),
            low in 0..40_usize,
            mark in 0..40_usize,
        ) {
            let mut bounds = RunningBounds::default();
            let (mut clock, mut messages) = (10_000_000_i64, Vec::new());
            for ((step, expiration, goes_on), jumps) in steps.into_iter().zip(jumps) {
                clock += if jumps { -10 * step } else if goes_on { step } else { step % 500 };
                let message = message(u64::try_from(clock).unwrap(), expiration);
                bounds.note(Offset(messages.len() as u64), &message, messages.is_empty());
                messages.push(message);
            }
            let low = low.min(messages.len() - 1);
            let mark = mark.min(low);
            let mark = (Offset(mark as u64), messages[mark].published_at());
            let told = bounds.from(Some(mark)).unwrap();
            for message in &messages[low..] {
                prop_assert!(told.published_from <= message.published_at());
                let is_not_longer = |own: u64| told.expiration_min.is_some_and(|min| min <= own);
                prop_assert!(message.expiration().is_none_or(is_not_longer));
            }
        }
    }

    #[test]
    fn they_follow_a_backlog_that_never_ends_and_begin_anew_with_an_empty_level() {
        let mut bounds = RunningBounds::default();
        for offset in 0..100 {
            bounds.note(Offset(offset), &message(offset * 10_000, Some(offset + 7)), offset == 0);
        }
        let told = bounds.from(Some((Offset(90), WallClock(900_000)))).unwrap();
        assert_eq!(told.published_from, WallClock(900_000 - MARK_INTERVAL_MS));
        assert_eq!(told.expiration_min, Some(7));
        bounds.note(Offset(100), &message(5, None), true);
        let unwritten = ExpiryBounds { published_from: WallClock(5), expiration_min: None };
        assert_eq!(bounds.from(None), Some(unwritten));
        // Of messages that an older program stored nothing is known, until they are gone.
        let mut bounds = RunningBounds::recovered(None, Offset(7));
        bounds.note(Offset(7), &message(9, None), false);
        assert_eq!(bounds.from(Some((Offset(7), WallClock(9)))), None);
        // Of those that it has bounds of, they are known, whatever the clock was then.
        let mut bounds = RunningBounds::recovered(Some(unwritten), Offset(7));
        bounds.note(Offset(7), &message(90_000, None), false);
        assert_eq!(bounds.from(Some((Offset(6), WallClock(80_000)))), Some(unwritten));
    }
}
