//! The spans of one queue: deliveries that have not ended, messages that are not safe yet, and what is to be
//! handed on.

use super::happening::Happening;
use super::message_span::{MessageSpan, Spanned, SpannedMessage};
use crate::limits::{SPANS_OPEN_MAX, SPANS_WAITING_MAX};
use crate::model::{Position, QueueId, WallClock};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub(crate) struct QueueSpans {
    queue: QueueId,
    /// Deliveries begun, for the numbers of their spans.
    begun: u64,
    open: BTreeMap<Position, MessageSpan>,
    /// Publishes that the next commit makes safe.
    unwritten: Vec<MessageSpan>,
    finished: Vec<MessageSpan>,
    /// Spans for which there was no room, since last asked.
    dropped: u64,
}

impl QueueSpans {
    /// None yet.
    pub(crate) fn new(queue: QueueId) -> Self {
        Self {
            queue,
            begun: 0,
            open: BTreeMap::new(),
            unwritten: Vec::new(),
            finished: Vec::new(),
            dropped: 0,
        }
    }

    /// A message came in; `is_unwritten`: it is safe with the next commit, and not at once.
    pub(crate) fn came(
        &mut self,
        position: Position,
        message: &SpannedMessage,
        how: Happening,
        is_unwritten: bool,
        at: WallClock,
    ) {
        let span = MessageSpan::publish(self.queue, position, message, how, at);
        let place = if is_unwritten { &mut self.unwritten } else { &mut self.finished };
        if place.len() < SPANS_WAITING_MAX {
            place.push(span);
        } else {
            self.dropped += 1;
        }
    }

    /// A message is delivered; `what` says to whom. `is_settled`: by that.
    pub(crate) fn delivered(
        &mut self,
        position: Position,
        message: &SpannedMessage,
        what: Spanned,
        is_settled: bool,
        at: WallClock,
    ) {
        self.begun += 1;
        let span = MessageSpan::deliver(self.queue, position, message, self.begun, what, at);
        if is_settled {
            self.finish(span);
        } else if self.open.len() < SPANS_OPEN_MAX {
            self.open.insert(position, span);
        } else {
            self.dropped += 1;
        }
    }

    /// The delivery of a message ended.
    pub(crate) fn ended(&mut self, position: Position, how: &Happening, at: WallClock) {
        let Some(mut span) = self.open.remove(&position) else { return };
        span.end = at.max(span.start);
        if let Spanned::Deliver { end, .. } = &mut span.what {
            *end = Some(how.clone());
        }
        self.finish(span);
    }

    /// Takes the publishes that a commit makes safe.
    pub(crate) fn take_unwritten(&mut self) -> Vec<MessageSpan> {
        std::mem::take(&mut self.unwritten)
    }

    /// Takes what is done.
    pub(crate) fn take_finished(&mut self) -> Vec<MessageSpan> {
        std::mem::take(&mut self.finished)
    }

    /// Takes how many there was no room for.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The queue is deleted. Returns how many spans will never end.
    pub(crate) fn abandon(self) -> u64 {
        (self.open.len() + self.unwritten.len()) as u64 + self.dropped
    }

    fn finish(&mut self, span: MessageSpan) {
        if self.finished.len() < SPANS_WAITING_MAX {
            self.finished.push(span);
        } else {
            self.dropped += 1;
        }
    }
}
