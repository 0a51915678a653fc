//! What came for one consumer and was not yet taken by it.
//!
//! Owned by the consumer's channel inside the session; filled by the driver, emptied in one go by
//! the stream. Bounded by the prefetch limit that the broker keeps; without one its size is counted, and
//! the driver stops reading the socket (`limits::READ_AHEAD_SIZE_MAX`).

use std::{collections::VecDeque, mem, task::Waker};

use forebay_wire::{FieldTable, ShortStr};

use crate::{
    ConsumeError,
    limits::{DELIVERY_OVERHEAD, PREFETCH_DEFAULT},
    message::incoming::Incoming,
    message::message_id,
    session::unsettled::Unsettled,
    session::waiters::Waiters,
};

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

impl ConsumeSpec {
    /// With everything else at its default.
    pub(crate) fn of(queue: ShortStr) -> Self {
        Self {
            queue,
            // A consumer has its channel to itself, so any tag is unique on it.
            tag: message_id::fresh(),
            prefetch: PREFETCH_DEFAULT,
            is_no_ack: false,
            is_exclusive: false,
            arguments: FieldTable::new(),
        }
    }

    pub(crate) fn without_acks(queue: ShortStr) -> Self {
        Self { is_no_ack: true, ..Self::of(queue) }
    }
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
    /// The consumer was dropped: what still comes returns to the queue untried.
    pub(crate) is_abandoned: bool,
    /// Bytes in `buffer`, and in what the consumer took from it last; counted only without a
    /// prefetch limit.
    buffered_size: usize,
    taken_size: usize,
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
            is_abandoned: false,
            buffered_size: 0,
            taken_size: 0,
            drained: Waiters::default(),
        }
    }

    /// Takes a delivery in, and returns by how many bytes the read-ahead has grown.
    pub(crate) fn push(&mut self, delivered: Delivered, wakes: &mut Vec<Waker>) -> usize {
        if !self.spec.is_no_ack {
            self.unsettled.push(delivered.tag);
        }
        if self.is_abandoned {
            self.unsettled.leave_untried(delivered.tag);
            return 0;
        }
        let is_counted = self.spec.is_no_ack || self.spec.prefetch == 0;
        let size = if is_counted { delivered.incoming.body.len() + DELIVERY_OVERHEAD } else { 0 };
        self.buffered_size += size;
        self.buffer.push_back(delivered);
        wakes.extend(self.reader.take());
        size
    }

    /// Everything in the buffer, into `taken`, which is empty: what was in it is handed out. Returns
    /// by how many bytes the read-ahead has shrunk.
    pub(crate) fn take(&mut self, taken: &mut VecDeque<Delivered>) -> usize {
        mem::swap(&mut self.buffer, taken);
        let handed_out = mem::replace(&mut self.taken_size, self.buffered_size);
        self.buffered_size = 0;
        handed_out
    }

    /// Bytes that were read and are not yet handed out.
    pub(crate) fn read_ahead(&self) -> usize {
        self.buffered_size + self.taken_size
    }

    /// The consumer is dropped: returns what it did not take.
    pub(crate) fn abandon(&mut self) -> VecDeque<Delivered> {
        self.is_abandoned = true;
        (self.buffered_size, self.taken_size) = (0, 0);
        mem::take(&mut self.buffer)
    }

    pub(crate) fn finish(&mut self, end: Option<ConsumeError>, wakes: &mut Vec<Waker>) {
        self.end.get_or_insert(end);
        wakes.extend(self.reader.take());
        self.drained.wake_all(wakes);
    }

    /// The channel is gone: the broker delivers again whatever was unsettled.
    pub(crate) fn forget(&mut self, wakes: &mut Vec<Waker>) {
        self.unsettled.clear();
        if !self.spec.is_no_ack {
            self.buffer.clear();
            (self.buffered_size, self.taken_size) = (0, 0);
        }
        self.drained.wake_all(wakes);
    }

    pub(crate) fn wake_if_drained(&mut self, wakes: &mut Vec<Waker>) {
        if self.unsettled.open() == 0 {
            self.drained.wake_all(wakes);
        }
    }
}
