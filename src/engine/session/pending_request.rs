//! The one request that a connection has open with the shard, and what the client is told when
//! the answer comes.

use super::MethodId;
use crate::model::ChannelId;
use forebay_wire::Method;

/// An open request.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) channel: ChannelId,
    /// What the client sent: named when the answer is a fault.
    pub(crate) method: MethodId,
    pub(crate) awaited: AwaitedReply,
}

/// What comes of the answer.
#[derive(Debug)]
pub(crate) enum AwaitedReply {
    /// `Done`: this is sent. Nothing when the client does not wait.
    Done(Option<Method>),
    /// `QueueDeclared`; the channel remembers the name.
    QueueDeclared {
        /// The client does not wait.
        no_wait: bool,
    },
    /// `MessageCount`, for `queue.purge-ok`.
    Purged {
        /// The client does not wait.
        no_wait: bool,
    },
    /// `MessageCount`, for `queue.delete-ok`.
    Deleted {
        /// The client does not wait.
        no_wait: bool,
    },
    /// `Got` or `Empty`.
    Message {
        /// The channel keeps no tag.
        no_ack: bool,
    },
    /// `Done`: the transaction is durable.
    Committed,
    /// `Done`: nothing of the channel is left. It was closed by the client, which waits for
    /// `channel.close-ok`, or by us.
    ChannelClosed {
        /// The client waits.
        by_client: bool,
    },
}
