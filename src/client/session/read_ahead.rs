//! How much was read for consumers without a prefetch limit, and whether the socket is left alone until they
//! have taken it.
//!
//! Counted when deliveries come and when consumers take them, under the session's lock; the driver asks
//! before each read.

use std::collections::VecDeque;

use crate::{
    limits::READ_AHEAD_SIZE_MAX,
    session::{
        Link, Session,
        channel::Channel,
        inbox::{Delivered, Inbox},
    },
};

#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// Bytes that wait for consumers without a prefetch limit.
    size: usize,
    /// The driver does not read the socket because of them.
    is_paused: bool,
}

impl ReadAhead {
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.size += bytes;
    }

    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.size -= bytes;
    }

    fn is_full(&self) -> bool {
        self.size >= READ_AHEAD_SIZE_MAX
    }

    /// Whether the driver is to read again.
    pub(crate) fn is_over(&self) -> bool {
        self.is_paused && !self.is_full()
    }
}

impl Session {
    /// Deliveries went without being taken one by one.
    pub(crate) fn recount_read_ahead(&mut self) {
        let inboxes = self.channels.iter_mut().flatten().filter_map(Channel::inbox);
        self.read_ahead.size = inboxes.map(|inbox| inbox.read_ahead()).sum();
    }

    /// Whether the driver leaves the socket alone. Not while the program waits for an answer of the broker,
    /// which comes behind those deliveries: the wait may be what keeps a consumer from taking them.
    pub(crate) fn pause_reading(&mut self) -> bool {
        self.read_ahead.is_paused = self.read_ahead.is_full()
            && matches!(self.link, Link::Up)
            && self.pending_requests.is_empty()
            && !self.channels.iter().flatten().any(Channel::awaits_broker);
        self.read_ahead.is_paused
    }

    /// A consumer is dropped: what it did not take, with the present epoch of its channel.
    pub(crate) fn abandon(&mut self, number: u16) -> (u64, VecDeque<Delivered>) {
        let epoch = self.epoch(number);
        let inbox = self.channel(number).and_then(Channel::inbox);
        let waiting = inbox.map(Inbox::abandon).unwrap_or_default();
        self.recount_read_ahead();
        (epoch, waiting)
    }
}
