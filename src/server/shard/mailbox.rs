//! What reaches the shard task: batches of commands from connections, and questions. Bounded; a
//! connection that finds it full waits, and its client feels TCP.

use crate::connection::connections::EventSender;
use crate::connection::publish_budget::PublishShare;
use crate::limits::MAILBOX_BATCHES_MAX;
use forebay_engine::access::ConfiguredUser;
use forebay_engine::command::Command;
use forebay_engine::model::{ConnectionId, QueueId};
use forebay_engine::shard::{
    ChannelReport, ConsumerReport, ScheduleReport, Shard, ShardStatistics,
};
use tokio::sync::{mpsc, oneshot};

/// One piece of mail for the shard.
#[derive(Debug)]
pub enum Mail {
    /// What came of one read of a connection.
    Batch(Batch),
    /// The connection's task ended after its `CloseConnection` was answered: nothing more goes to
    /// it or comes from it.
    Left(ConnectionId),
    /// A publisher waits for room in the publish budget.
    PublisherWaits,
    /// A question that is answered by steps, beside messages.
    Report(ReportQuestion),
    /// The configuration was read again: these are its users now.
    Configure(Vec<ConfiguredUser>),
    /// A question that only looks, while the broker starts.
    ShardQuery(ShardQuery),
    /// A question whether the shard takes its mail.
    Ping(oneshot::Sender<()>),
    /// Every connection is closed: make durable what is there and end.
    Stop,
}

/// A question for a list, and who waits for it: answered when the shard has come to all that it asks
/// about.
#[derive(Debug)]
pub enum ReportQuestion {
    /// The figures of all queues, or of one.
    Queues(Option<QueueId>, oneshot::Sender<ShardStatistics>),
    /// The consumers of all queues, or of one.
    Consumers(Option<QueueId>, oneshot::Sender<Vec<ConsumerReport>>),
    /// The channels that consume, or hold or held messages.
    Channels(oneshot::Sender<Vec<ChannelReport>>),
    /// All schedules, and how far they have come.
    Schedules(oneshot::Sender<Vec<ScheduleReport>>),
}

impl ReportQuestion {
    /// Whether nobody waits any more.
    pub(crate) fn is_given_up(&self) -> bool {
        match self {
            Self::Queues(_, answer) => answer.is_closed(),
            Self::Consumers(_, answer) => answer.is_closed(),
            Self::Channels(answer) => answer.is_closed(),
            Self::Schedules(answer) => answer.is_closed(),
        }
    }
}

/// A question to the shard: runs in its task, so it must be short; its answer goes where it likes.
pub struct ShardQuery(pub Box<dyn FnOnce(&Shard) + Send>);

impl std::fmt::Debug for ShardQuery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ShardQuery(…)")
    }
}

/// Commands of one connection, in order.
#[derive(Debug)]
pub struct Batch {
    /// From whom.
    pub connection: ConnectionId,
    /// With the first batch of a connection: where its events go.
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
