//! What reaches the shard task: batches of commands from connections, and questions. Bounded; a
//! connection that finds it full waits, and its client feels TCP.

use crate::connections::EventSender;
use crate::limits::MAILBOX_BATCHES_MAX;
use crate::publish_budget::PublishShare;
use forebay_engine::access::ConfiguredUser;
use forebay_engine::command::Command;
use forebay_engine::ids::{ConnectionId, QueueId};
use forebay_engine::shard::{Shard, ShardStatistics};
use tokio::sync::{mpsc, oneshot};

/// One piece of mail for the shard.
#[derive(Debug)]
pub enum Mail {
    /// What came of one read of a connection.
    Batch(Batch),
    /// The connection's task ended after its `CloseConnection` was answered: nothing more goes to
    /// it or comes from it.
    Left(ConnectionId),
    /// A question for the figures as they are now.
    Report(ReportQuestion),
    /// A question that only looks.
    Look(Look),
    /// The configuration was read again: these are its users now.
    Configure(Vec<ConfiguredUser>),
    /// Every connection is closed: make durable what is there and end.
    Stop,
}

/// A question for figures, answered when the shard has come to all queues that it asks about.
#[derive(Debug)]
pub struct ReportQuestion {
    /// The queue that it asks about; all when there is none.
    pub queue: Option<QueueId>,
    /// Who waits for them.
    pub answer: oneshot::Sender<ShardStatistics>,
}

/// A question to the shard: runs in its task, so it must be short; its answer goes where it likes.
pub struct Look(pub Box<dyn FnOnce(&Shard) + Send>);

impl std::fmt::Debug for Look {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Look(…)")
    }
}

/// Commands of one connection, in order.
#[derive(Debug)]
pub struct Batch {
    /// From whom.
    pub connection: ConnectionId,
    /// With the first batch of a connection: where its news go.
    pub opens: Option<EventSender>,
    /// Never empty.
    pub commands: Vec<Command>,
    /// The budget that the published messages take.
    pub share: PublishShare,
}

/// The sending end; clones go to every connection.
pub type MailSender = mpsc::Sender<Mail>;
/// The receiving end, in the shard task.
pub type MailReceiver = mpsc::Receiver<Mail>;

/// An empty mailbox.
#[must_use]
pub fn mailbox() -> (MailSender, MailReceiver) {
    mpsc::channel(MAILBOX_BATCHES_MAX)
}
