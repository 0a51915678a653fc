//! What a queue counts for its operator.

use super::delivery_limits::HeldBack;
use crate::model::{DeathReason, WallClock};
use forebay_lag::HoldTimes;

/// Counters and sizes of one queue, or of several added up. Counters begin at 0 with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Messages to be delivered.
    pub ready: u64,
    /// Messages delivered and not settled.
    pub unacked: u64,
    /// Messages that came back and wait for their next delivery.
    pub parked: u64,
    /// Messages among those to be delivered that wait behind others of their groups.
    pub blocked: u64,
    /// Groups of which one message is delivered, or was and is not done.
    pub groups_held: u64,
    /// Consumers.
    pub consumers: u64,
    /// Bytes of the bodies of messages, ready or unacked.
    pub bytes: u64,
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
    /// Those among them that count as settled by being sent.
    pub got_no_ack: u64,
    /// `basic.get` that found no message.
    pub gets_empty: u64,
    /// Messages settled by a client.
    pub acked: u64,
    /// Deliveries that a client gave back with `basic.nack`.
    pub nacked: u64,
    /// Deliveries that a client gave back with `basic.reject`.
    pub rejected: u64,
    /// Deliveries that came back by `basic.recover`.
    pub recovered: u64,
    /// Deliveries that came back because their connection was lost, or the broker closed it or their
    /// channel.
    pub abandoned: u64,
    /// Deliveries that came back because their client closed its connection or channel in good order.
    pub returned: u64,
    /// Messages that became dead letters because a client rejected them.
    pub dead_rejected: u64,
    /// Messages that became dead letters because their time to live passed.
    pub dead_expired: u64,
    /// Messages that became dead letters because the queue was full.
    pub dead_overflowed: u64,
    /// Messages that became dead letters because too many deliveries failed.
    pub dead_failed: u64,
    /// Dead letters that no queue took, because nothing is bound where they go, or because they
    /// would have gone in circles.
    pub dead_dropped: u64,
    /// Messages whose time to live passed.
    pub expired: u64,
    /// Messages that left because the queue had no room for them any more, dead letters or not.
    pub overflowed: u64,
    /// Messages that never came in because the queue had no room for them.
    pub refused: u64,
    /// Messages that left because too many deliveries failed, dead letters or not.
    pub failed: u64,
    /// Messages that somebody purged.
    pub purged: u64,
    /// Deliveries that their consumer held for too long.
    pub timed_out: u64,
    /// Times that a client asked for more time for a delivery that it held.
    pub extended: u64,
    /// Messages that never came in because one with their key had within the deduplication window.
    pub deduplicated: u64,
    /// Keys that were forgotten before the deduplication window had passed, because there were too many.
    pub dedup_evicted: u64,
    /// Keys that are remembered, and for up to a second some that are not any more.
    pub dedup_keys: u64,
    /// Messages that the store should have had and did not.
    pub missing: u64,
    /// Messages that wait for a time of their own before they come in; neither ready nor unacked.
    pub delayed: u64,
    /// Bytes of the bodies of those.
    pub delayed_bytes: u64,
    /// When the first of them is due, or a little earlier while that is not known; `None`: there are none, or
    /// nobody has asked.
    pub next_delayed: Option<WallClock>,
    /// Whether a consumer could take a message now.
    pub has_credit: bool,
    /// What held messages back when the queue had its last turn; `None`: nothing did.
    pub held_back: Option<HeldBack>,
    /// How long ago the oldest message was published, in ms, at most so long and mostly within
    /// [`MARK_INTERVAL_MS`](crate::limits::MARK_INTERVAL_MS) of it; nothing when there is none, or
    /// nobody has read it since the start.
    pub oldest_age: Option<u64>,
    /// How long ago the message that is to be delivered next was published, in ms; `None` as for
    /// `oldest_age`.
    pub head_age: Option<u64>,
    /// In how many ms the first of the parked messages is ready; `None` when none is parked.
    pub next_due: Option<u64>,
    /// How long messages were held that their clients acknowledged or rejected.
    pub hold_times: HoldTimes,
}

impl QueueStatistics {
    /// A message became a dead letter.
    pub(crate) fn count_dead_letter(&mut self, reason: DeathReason) {
        match reason {
            DeathReason::Rejected => self.dead_rejected += 1,
            DeathReason::Expired => self.dead_expired += 1,
            DeathReason::MaxLength => self.dead_overflowed += 1,
            DeathReason::DeliveryLimit => self.dead_failed += 1,
        }
    }

    /// Adds another queue's counters, not its sizes: the queue is gone.
    pub fn absorb(&mut self, gone: &Self) {
        self.published += gone.published;
        self.delivered += gone.delivered;
        self.delivered_no_ack += gone.delivered_no_ack;
        self.redelivered += gone.redelivered;
        self.got += gone.got;
        self.got_no_ack += gone.got_no_ack;
        self.gets_empty += gone.gets_empty;
        self.acked += gone.acked;
        self.nacked += gone.nacked;
        self.rejected += gone.rejected;
        self.recovered += gone.recovered;
        self.abandoned += gone.abandoned;
        self.returned += gone.returned;
        self.dead_rejected += gone.dead_rejected;
        self.dead_expired += gone.dead_expired;
        self.dead_overflowed += gone.dead_overflowed;
        self.dead_failed += gone.dead_failed;
        self.dead_dropped += gone.dead_dropped;
        self.expired += gone.expired;
        self.overflowed += gone.overflowed;
        self.refused += gone.refused;
        self.failed += gone.failed;
        self.purged += gone.purged;
        self.timed_out += gone.timed_out;
        self.extended += gone.extended;
        self.deduplicated += gone.deduplicated;
        self.dedup_evicted += gone.dedup_evicted;
        self.missing += gone.missing;
    }
}
