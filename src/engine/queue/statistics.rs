//! What a queue counts for its operator.

/// Counters and sizes of one queue, or of several added up. Counters begin at 0 with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Messages to be delivered.
    pub ready: u64,
    /// Messages delivered and not settled.
    pub unacked: u64,
    /// Consumers.
    pub consumers: u64,
    /// Octets of the bodies of messages, ready or unacked.
    pub octets: u64,
    /// Messages that came in.
    pub published: u64,
    /// Deliveries to consumers and by `basic.get`, repeated ones included.
    pub delivered: u64,
    /// Those among them that count as settled by being sent.
    pub delivered_no_ack: u64,
    /// Those among them that were marked as redelivered.
    pub redelivered: u64,
    /// Those among them that answered a `basic.get`.
    pub got: u64,
    /// Messages settled by a client.
    pub acked: u64,
    /// Deliveries that came back: requeued, recovered, or their channel ended.
    pub returned: u64,
    /// Messages that became dead letters, for whatever reason.
    pub dead_lettered: u64,
    /// Messages whose time to live passed.
    pub expired: u64,
    /// Messages that the queue had no room for, old ones or new ones.
    pub overflowed: u64,
    /// Deliveries that their consumer held for too long.
    pub timed_out: u64,
    /// Messages that the store should have had and did not.
    pub missing: u64,
}

impl QueueStatistics {
    /// Adds another queue's counters, not its sizes: the queue is gone.
    pub(crate) fn absorb(&mut self, gone: &Self) {
        self.published += gone.published;
        self.delivered += gone.delivered;
        self.delivered_no_ack += gone.delivered_no_ack;
        self.redelivered += gone.redelivered;
        self.got += gone.got;
        self.acked += gone.acked;
        self.returned += gone.returned;
        self.dead_lettered += gone.dead_lettered;
        self.expired += gone.expired;
        self.overflowed += gone.overflowed;
        self.timed_out += gone.timed_out;
        self.missing += gone.missing;
    }
}
