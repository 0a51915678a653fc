//! Spans of all queues on their way out, to whoever exports them.

use super::Shard;
use crate::limits::SPANS_WAITING_MAX;
use crate::model::{QueueId, WallClock};
use crate::trace::MessageSpan;
use std::collections::VecDeque;

/// What is to be handed on.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Somebody wants them.
    is_wanted: bool,
    finished: VecDeque<MessageSpan>,
    /// Spans for which there was no room, since last asked.
    dropped: u64,
    /// When the last input was handled.
    now: WallClock,
}

impl Spans {
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub(super) fn set_now(&mut self, now: WallClock) {
        self.now = now;
    }

    fn push(&mut self, span: MessageSpan) {
        if self.finished.len() < SPANS_WAITING_MAX {
            self.finished.push_back(span);
        } else {
            self.dropped += 1;
        }
    }
}

impl Shard {
    /// From now on there is a span for each publish and each delivery of a message whose header `traceparent`
    /// says that its trace is recorded. To be drained with [`Self::poll_span`] after each input.
    pub fn record_spans(&mut self) {
        self.spans.is_wanted = true;
        self.queues.values_mut().for_each(|queue| queue.record_spans());
    }

    /// A span that has ended.
    pub fn poll_span(&mut self) -> Option<MessageSpan> {
        self.spans.finished.pop_front()
    }

    /// How many spans there was no room for since last asked.
    pub fn take_dropped_spans(&mut self) -> u64 {
        std::mem::take(&mut self.spans.dropped)
    }

    /// Takes what a queue has done.
    pub(super) fn collect_spans(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let Some(spans) = queue.spans_mut() else { return };
        let (finished, dropped) = (spans.take_finished(), spans.take_dropped());
        self.spans.dropped += dropped;
        for span in self.named(id, finished) {
            self.spans.push(span);
        }
    }

    /// Takes the publishes of a queue that the commit makes safe that is being made.
    pub(super) fn take_unwritten_spans(&mut self, id: QueueId) -> Vec<MessageSpan> {
        let spans = self.queues.get_mut(&id).and_then(|queue| queue.spans_mut());
        let unwritten = spans.map(|spans| spans.take_unwritten()).unwrap_or_default();
        self.named(id, unwritten)
    }

    /// These publishes are safe; `at`: since then, or since the last input.
    pub(super) fn finish_publish_spans(&mut self, spans: Vec<MessageSpan>, at: Option<WallClock>) {
        let at = at.unwrap_or(self.spans.now);
        for mut span in spans {
            span.end = at.max(span.start);
            self.spans.push(span);
        }
    }

    /// So many spans of a queue that is gone never end.
    pub(super) fn count_abandoned_spans(&mut self, spans: u64) {
        self.spans.dropped += spans;
    }

    fn named(&self, id: QueueId, mut spans: Vec<MessageSpan>) -> Vec<MessageSpan> {
        if !spans.is_empty()
            && let Some(record) = self.topology.queue_by_id(id)
        {
            for span in &mut spans {
                span.vhost = record.vhost.clone();
                span.queue = record.name.clone();
            }
        }
        spans
    }
}
