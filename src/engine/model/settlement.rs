//! How deliveries end, one by one or with their channel.

use super::{ChannelId, OffsetRange, QueueId};

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// `basic.ack`: done, delete it.
    Ack,
    /// `basic.nack` or `basic.reject` without requeue: dead-letter or drop it.
    Reject,
    /// `basic.nack` or `basic.reject` with requeue: a failed delivery.
    Requeue(RequeueMethod),
    /// A settlement instruction: a failed delivery of a message that is to come back after so many ms.
    Retry(u64),
    /// `basic.recover`: give it back, not a failure.
    Recover,
}

/// Which method gave a delivery back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequeueMethod {
    /// `basic.nack`.
    Nack,
    /// `basic.reject`.
    Reject,
}

/// Deliveries of one queue that the channel settles. Offsets that the channel does not hold
/// (any more) are passed over.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The channel that held them.
    pub channel: ChannelId,
    /// The queue.
    pub queue: QueueId,
    /// How.
    pub settlement: Settlement,
    /// Which: runs of neighbours, in the order in which they were delivered.
    pub runs: Vec<OffsetRange>,
}

/// How a channel or a connection ended: what that says of the messages it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    /// Its client closed it: the messages were returned.
    ByClient,
    /// It was lost, or closed for an error: the deliveries failed.
    Failed,
    /// The broker closed it for reasons of its own: that says nothing.
    ByBroker,
}
