//! What came for one consumer and was not yet taken by it.
//!
//! Owned by the consumer's channel inside the session; filled by the driver, emptied in one go by
//! the stream. Bounded by the prefetch limit that the broker keeps.

use std::{collections::VecDeque, task::Waker};

use forebay_wire::{FieldTable, ShortStr};

use crate::{ConsumeError, incoming::Incoming, unsettled::Unsettled, waiters::Waiters};

/// What was asked of the broker, to be asked again after a reconnection.
#[derive(Clone, Debug)]
pub(crate) struct ConsumeSpec {
    pub(crate) queue: ShortStr,
    pub(crate) tag: ShortStr,
    pub(crate) prefetch: u16,
    pub(crate) is_no_ack: bool,
    pub(crate) is_exclusive: bool,
    pub(crate) arguments: FieldTable,
}

/// A delivery before it is in the program's hands.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) tag: u64,
    pub(crate) incoming: Incoming,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) spec: ConsumeSpec,
    pub(crate) buffer: VecDeque<Delivered>,
    pub(crate) unsettled: Unsettled,
    /// No more will come, and this is why; `None` inside after a cancel by the program.
    pub(crate) end: Option<Option<ConsumeError>>,
    pub(crate) reader: Option<Waker>,
    /// Tasks that wait until every delivery is settled.
    pub(crate) drained: Waiters,
}

impl Inbox {
    pub(crate) fn new(spec: ConsumeSpec) -> Self {
        Self {
            spec,
            buffer: VecDeque::new(),
            unsettled: Unsettled::default(),
            end: None,
            reader: None,
            drained: Waiters::default(),
        }
    }

    pub(crate) fn push(&mut self, delivered: Delivered, wakes: &mut Vec<Waker>) {
        if !self.spec.is_no_ack {
            self.unsettled.push(delivered.tag);
        }
        self.buffer.push_back(delivered);
        wakes.extend(self.reader.take());
    }

    pub(crate) fn finish(&mut self, end: Option<ConsumeError>, wakes: &mut Vec<Waker>) {
        self.end.get_or_insert(end);
        wakes.extend(self.reader.take());
        self.drained.move_to(wakes);
    }

    /// The channel is gone: the broker delivers again whatever was unsettled.
    pub(crate) fn forget(&mut self, wakes: &mut Vec<Waker>) {
        self.unsettled.clear();
        if !self.spec.is_no_ack {
            self.buffer.clear();
        }
        self.drained.move_to(wakes);
    }

    pub(crate) fn wake_if_drained(&mut self, wakes: &mut Vec<Waker>) {
        if self.unsettled.open() == 0 {
            self.drained.move_to(wakes);
        }
    }
}
