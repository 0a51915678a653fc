//! What a connection asks of the shard that owns its queues: the one narrow interface between
//! channels and queues. Values only, so that the two may live on different threads or machines.
//!
//! A connection sends its commands in order, in batches as they arise. Those that say "replied"
//! are answered by exactly one [`crate::event::Event::Reply`] for their channel; a connection has at
//! most one such command open at a time and takes no input meanwhile, so replies never overtake.

use crate::administration::Administration;
use crate::browse::Browse;
use crate::delayed_request::DelayedRequest;
use crate::model::{
    ChannelId, ClientIdentity, Closure, ConsumerNumber, Message, ObjectName, Position, PublishSeq,
    QueueId, ReplyAddress, Settle, Targets, TopologyRequest,
};
use crate::trace_request::TraceRequest;
use forebay_wire::{FieldTable, ShortStr};

/// One request to the shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// The first of every connection. Not replied.
    OpenConnection {
        /// The virtual host it works in.
        vhost: ShortStr,
        /// The authenticated user, and how people are shown the connection.
        identity: ClientIdentity,
    },
    /// The last of every connection: its consumers and exclusive queues go, its unacked messages
    /// return. Replied on channel 0, when all of that is done.
    CloseConnection {
        /// How it ended.
        closure: Closure,
    },
    /// The channel ended: its consumers go, its unacked messages return. Replied.
    CloseChannel {
        /// The channel.
        channel: ChannelId,
        /// How it ended.
        closure: Closure,
    },
    /// The client used a channel of which the connection was told that it is overdue
    /// ([`crate::event::Event::Overdue`]). Goes before what the client asked for. Not replied.
    Heard {
        /// The channel.
        channel: ChannelId,
    },
    /// Messages for the same queues, in order. Answered by confirms when asked for.
    Publish(Publish),
    /// Messages of one queue are settled. Not replied.
    Settle(Settle),
    /// A client asks for more time for a delivery that it holds. Not replied; confirmed when asked for, and
    /// refused when it does not hold it any more.
    Extend(Extend),
    /// `tx.commit`: all of it in one atomic commit. Replied when durable, or with 406 when a queue
    /// refuses some of it (`x-overflow`); then nothing of it is done.
    CommitTransaction {
        /// The channel.
        channel: ChannelId,
        /// In the order published; their `confirm` is `None`.
        publishes: Vec<Publish>,
        /// In the order sent.
        settles: Vec<Settle>,
        /// Answers, which need no commit.
        replies: Vec<DirectReply>,
    },
    /// `basic.consume`. Replied with `Done`.
    Subscribe(Subscribe),
    /// `basic.cancel`. Replied with `Done`; no delivery to the consumer follows the reply.
    Cancel {
        /// The channel.
        channel: ChannelId,
        /// The consumer on it.
        consumer_tag: ShortStr,
    },
    /// `basic.qos` for all consumers of the channel together. Not replied: it takes effect in order.
    SetPrefetch {
        /// The channel.
        channel: ChannelId,
        /// Unacked messages at most; 0: no limit.
        count: u16,
    },
    /// `basic.get`. Replied with `Got` or `Empty`.
    Get {
        /// The channel.
        channel: ChannelId,
        /// The queue's name.
        queue: ObjectName,
        /// Settled by being sent.
        no_ack: bool,
    },
    /// As [`Self::Get`] with an acknowledgement to come, for an operator who looks: whatever stands at
    /// the front, in quarantine or not.
    Inspect {
        /// The channel.
        channel: ChannelId,
        /// The queue's name.
        queue: ObjectName,
    },
    /// A publish to a [`ReplyAddress`]. Not replied; confirmed when asked for.
    DirectReply(DirectReply),
    /// The channel waits for answers under an address with this token, or no more. Not replied.
    AwaitReplies {
        /// The channel.
        channel: ChannelId,
        /// What the address can't be guessed without.
        token: Option<u128>,
    },
    /// `queue.declare` of an address. Replied with `QueueDeclared`, or with 404 when nobody waits
    /// there.
    FindReplyAddress {
        /// The channel.
        channel: ChannelId,
        /// As declared.
        name: ObjectName,
    },
    /// A change of, or a question to, the topology. Replied; a change is replied when it is
    /// durable, or as soon as it is applied when `nowait` is set.
    Topology {
        /// The channel.
        channel: ChannelId,
        /// What.
        request: TopologyRequest,
        /// Whether the client waits for an answer.
        nowait: bool,
    },
    /// A change by an operator. Replied with `Done` when it is durable.
    Administer {
        /// The channel.
        channel: ChannelId,
        /// What.
        request: Box<Administration>,
    },
    /// A step of an operator's walk over a queue. Replied with `BrowsePage`; when it moved something,
    /// once that is durable.
    Browse {
        /// The channel.
        channel: ChannelId,
        /// What.
        browse: Box<Browse>,
    },
    /// An operator asks what happened to the last messages of a queue. Replied with `Trace`; with 406 when the
    /// queue does not keep it.
    Trace {
        /// The channel.
        channel: ChannelId,
        /// What.
        request: Box<TraceRequest>,
    },
    /// An operator asks about the delayed messages of a queue. Replied with `Delayed`; when it ended the wait
    /// of some, once that is durable.
    Delayed {
        /// The channel.
        channel: ChannelId,
        /// What.
        request: Box<DelayedRequest>,
    },
    /// Bytes of deliveries that have left for the socket: gives budget back. Not replied.
    DeliveriesWritten {
        /// As counted by [`crate::event::Delivery::budget_size`].
        bytes: usize,
    },
    /// Direct replies were written to the socket, or dropped at the connection.
    RepliesWritten {
        /// Of the messages, as [`Message::size`] counts them.
        bytes: usize,
    },
}

impl Command {
    /// Whether a client could tell from its outcome that queues have not done yet what commands
    /// before it made possible. Messages and acknowledgements can wait for the end of a batch.
    pub(crate) const fn sees_queues(&self) -> bool {
        !matches!(
            self,
            Self::Publish(_)
                | Self::Settle(_)
                | Self::Extend(_)
                | Self::CommitTransaction { .. }
                | Self::DirectReply(_)
                | Self::AwaitReplies { .. }
                | Self::DeliveriesWritten { .. }
                | Self::RepliesWritten { .. }
                | Self::OpenConnection { .. }
                | Self::Heard { .. }
        )
    }
}

/// Messages of one channel for the same queues.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelId,
    /// The sequence number of the first message; the others follow it. Nothing: no confirms.
    pub confirm: Option<PublishSeq>,
    /// The queues; never empty. One that was deleted meanwhile is passed over.
    pub targets: Targets,
    /// In the order published; never empty.
    pub messages: Vec<Message>,
}

/// More time for one delivery.
#[derive(Clone, Copy, Debug)]
pub struct Extend {
    /// The channel that holds it.
    pub channel: ChannelId,
    /// The queue that it came from.
    pub queue: QueueId,
    /// Its message.
    pub position: Position,
    /// From now on, in ms.
    pub lease: u64,
    /// Its sequence number. Nothing: no confirms.
    pub confirm: Option<PublishSeq>,
}

/// An answer over `amq.rabbitmq.reply-to`.
#[derive(Clone, Debug)]
pub struct DirectReply {
    /// The channel that publishes it.
    pub channel: ChannelId,
    /// Whom it is for.
    pub to: ReplyAddress,
    /// The message.
    pub message: Message,
    /// Its sequence number. Nothing: no confirm.
    pub confirm: Option<PublishSeq>,
    /// It comes back ([`crate::event::Event::Returned`]) when it reaches nobody.
    pub mandatory: bool,
}

/// `basic.consume`, its tag already chosen and free on the channel.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The channel.
    pub channel: ChannelId,
    /// The queue's name.
    pub queue: ObjectName,
    /// The consumer's tag.
    pub consumer_tag: ShortStr,
    /// Tells it from others of the channel that had the same tag before.
    pub number: ConsumerNumber,
    /// Deliveries count as settled when sent.
    pub no_ack: bool,
    /// Refused with 403 when the queue has another consumer.
    pub exclusive: bool,
    /// Unacked messages at most for this consumer; 0: no limit.
    pub prefetch: u16,
    /// `x-priority` and what else the client sent.
    pub arguments: FieldTable,
}
