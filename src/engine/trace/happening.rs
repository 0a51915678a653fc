//! What may happen to a message in a queue.

use crate::model::RequeueMethod;
use crate::model::{DeathReason, Party, Settlement, WallClock};
use forebay_wire::ShortStr;

/// Something that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was published to the queue.
    Published {
        /// By whom; `None`: before the record of it began.
        by: Option<Party>,
    },
    /// A schedule published it to the queue.
    Scheduled {
        /// The name of the schedule.
        by: ShortStr,
    },
    /// It came as a dead letter of another queue.
    CameAsDeadLetter {
        /// The queue that it died in.
        from: ShortStr,
        /// Why it did.
        reason: DeathReason,
    },
    /// An operator sent it back from a queue of dead letters.
    CameRedriven {
        /// That queue.
        from: ShortStr,
    },
    /// It is not due yet, and waits outside of the order.
    Delayed {
        /// When it is due.
        until: WallClock,
    },
    /// It came into the order: it is due, or an operator did not want to wait.
    Due,
    /// An operator cancelled it before it was due.
    Cancelled,
    /// The queue had no room for it: it did not come in.
    Refused,
    /// Another message with its key came within the window, and was dropped.
    Repeated {
        /// By whom that one was published.
        by: Party,
    },
    /// It has to wait until another message of its group is done.
    HeldByGroup,
    /// It was delivered.
    Delivered {
        /// To whom.
        to: Option<Party>,
        /// To which consumer; `None`: after `basic.get`.
        consumer: Option<ShortStr>,
        /// Deliveries that failed or were returned before, and this one.
        attempt: u64,
        /// It may have been delivered before.
        is_redelivered: bool,
        /// It was settled by being sent.
        is_settled: bool,
    },
    /// Its consumer acknowledged it.
    Acknowledged {
        /// The time for it was over, and nobody else had been given the message.
        is_late: bool,
    },
    /// Its consumer does not want it, nor that anybody gets it.
    Rejected {
        /// The time for it was over, and nobody else had been given the message.
        is_late: bool,
    },
    /// Its delivery ended, and it came back.
    CameBack {
        /// How.
        cause: ReturnCause,
    },
    /// It waits for its next delivery.
    Parked {
        /// Until then.
        until: WallClock,
        /// For so many ms.
        delay: u64,
    },
    /// The wait is over.
    Ready,
    /// It may have killed its consumer, and is delivered alone from now on.
    Quarantined,
    /// It left the queue without having been acknowledged.
    Died {
        /// Why.
        reason: DeathReason,
        /// It becomes a dead letter; otherwise it is dropped.
        is_dead_letter: bool,
    },
    /// Its copy was published as a dead letter.
    DeadLettered {
        /// To this exchange.
        exchange: ShortStr,
        /// Which put it into these queues; none: nothing was bound, so that it was dropped.
        queues: Vec<ShortStr>,
    },
    /// An operator sent it back to the queue that it had died in.
    Redriven {
        /// That queue.
        to: ShortStr,
    },
    /// The queue was purged.
    Purged,
}

/// How a message came back from a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnCause {
    /// `basic.nack` with requeue.
    Nacked,
    /// `basic.reject` with requeue.
    Rejected,
    /// Its consumer said when it wants it again (`amq.forebay.retry`).
    Retried,
    /// `basic.recover`: no failure.
    Recovered,
    /// Its connection was lost, or closed for an error.
    ConnectionLost,
    /// Its channel was closed for an error.
    ChannelFailed,
    /// Its client closed the channel or the connection in good order.
    Returned,
    /// The broker closed the connection for reasons of its own: no failure.
    Interrupted,
    /// It was held for longer than its queue allows (`x-consumer-timeout`).
    TimedOut,
    /// It was held for longer than its consumer had asked for (`x-lease`, an extension).
    LeaseEnded,
    /// Its consumer let another message time out, and holds what others could have: no failure.
    ConsumerHangs,
}

impl ReturnCause {
    /// As people are shown it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nacked => "nacked",
            Self::Rejected => "rejected",
            Self::Retried => "retried",
            Self::Recovered => "recovered",
            Self::ConnectionLost => "connection-lost",
            Self::ChannelFailed => "channel-failed",
            Self::Returned => "returned",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed-out",
            Self::LeaseEnded => "lease-ended",
            Self::ConsumerHangs => "consumer-hangs",
        }
    }
}

impl Happening {
    /// As people are shown it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::Scheduled { .. } => "scheduled",
            Self::CameAsDeadLetter { .. } => "came-as-dead-letter",
            Self::CameRedriven { .. } => "came-redriven",
            Self::Delayed { .. } => "delayed",
            Self::Due => "due",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Repeated { .. } => "repeated",
            Self::HeldByGroup => "held-by-group",
            Self::Delivered { .. } => "delivered",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Rejected { .. } => "rejected",
            Self::CameBack { .. } => "came-back",
            Self::Parked { .. } => "parked",
            Self::Ready => "ready",
            Self::Quarantined => "quarantined",
            Self::Died { .. } => "died",
            Self::DeadLettered { .. } => "dead-lettered",
            Self::Redriven { .. } => "redriven",
            Self::Purged => "purged",
        }
    }

    /// What the settlement by its channel is to a message.
    pub(crate) const fn of_settlement(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Ack => Self::Acknowledged { is_late: false },
            Settlement::Reject => Self::Rejected { is_late: false },
            Settlement::Requeue(RequeueMethod::Nack) => {
                Self::CameBack { cause: ReturnCause::Nacked }
            }
            Settlement::Requeue(RequeueMethod::Reject) => {
                Self::CameBack { cause: ReturnCause::Rejected }
            }
            Settlement::Retry(_) => Self::CameBack { cause: ReturnCause::Retried },
            Settlement::Recover => Self::CameBack { cause: ReturnCause::Recovered },
        }
    }

    /// Bytes that it has elsewhere in memory, of its own.
    pub(super) fn outside_size(&self) -> usize {
        match self {
            Self::CameAsDeadLetter { from, .. } | Self::CameRedriven { from } => from.len(),
            Self::Scheduled { by: name } | Self::Redriven { to: name } => name.len(),
            Self::DeadLettered { exchange, queues } => {
                let names = queues.iter().map(|name| size_of::<ShortStr>() + name.len());
                exchange.len() + names.sum::<usize>()
            }
            _ => 0,
        }
    }
}
