//! What the shard tells a connection.

use crate::browse::BrowsePage;
use crate::delayed_request::DelayedPage;
use crate::model::{ChannelId, ConsumerNumber, Fault, Message, Position, PublishSeq, QueueId};
use crate::schedules::FiringOutcome;
use crate::trace::TracePage;
use forebay_wire::ShortStr;

/// Bytes that a delivery costs beyond its message: frame headers, tag, method.
const DELIVERY_OVERHEAD_SIZE: usize = 64;

/// What the shard tells a connection, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to the open request of a channel.
    Reply {
        /// The channel (0 for `CloseConnection`).
        channel: ChannelId,
        /// The answer, or what closes the channel or the connection.
        reply: Result<Reply, Fault>,
    },
    /// Messages for one consumer, in order.
    Deliver {
        /// The channel.
        channel: ChannelId,
        /// The consumer on it.
        consumer_tag: ShortStr,
        /// The queue they come from.
        queue: QueueId,
        /// Settled by being sent: the channel keeps no tags.
        no_ack: bool,
        /// Never empty.
        deliveries: Vec<Delivery>,
    },
    /// These publishes are on stable storage in every queue, or were consumed and acknowledged.
    Confirm {
        /// The channel.
        channel: ChannelId,
        /// The first of them.
        first: PublishSeq,
        /// The last of them, `>= first`.
        last: PublishSeq,
    },
    /// These publishes were refused by a queue (`x-overflow`): `basic.nack`.
    Refuse {
        /// The channel.
        channel: ChannelId,
        /// The first of them.
        first: PublishSeq,
        /// The last of them, `>= first`.
        last: PublishSeq,
    },
    /// The consumer is gone without its doing: its queue was deleted.
    ConsumerCancelled {
        /// The channel.
        channel: ChannelId,
        /// The consumer. Another one may have its tag by now.
        number: ConsumerNumber,
    },
    /// The channel let a delivery time out and is sent no more until the shard is told that the
    /// client used it ([`crate::command::Command::Heard`]).
    Overdue {
        /// The channel.
        channel: ChannelId,
    },
    /// A mandatory answer that reached nobody: `basic.return`.
    Returned {
        /// The channel that published it.
        channel: ChannelId,
        /// The answer.
        message: Message,
    },
    /// An answer over `amq.rabbitmq.reply-to`.
    DirectReply {
        /// The channel.
        channel: ChannelId,
        /// The token of the address that it was sent to.
        token: u128,
        /// The answer.
        message: Message,
    },
    /// Publishers must wait (`connection.blocked`).
    Blocked {
        /// Why, for people.
        reason: ShortStr,
        /// Memory is short, so that what connections keep of it counts.
        is_memory_short: bool,
    },
    /// Publishers may go on (`connection.unblocked`).
    Unblocked,
    /// An operator asks about the channels: [`crate::connection::Connection::poll_channels`] tells of
    /// them as they are now.
    Describe,
    /// Close the connection in order (an operator asked for it, or its virtual host or user was deleted).
    Close {
        /// Code and text.
        fault: Fault,
    },
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// `queue.declare-ok`.
    QueueDeclared {
        /// The name, also of a server-named queue.
        name: ShortStr,
        /// Messages ready.
        messages: u32,
        /// Consumers.
        consumers: u32,
    },
    /// `queue.purge-ok`, `queue.delete-ok`.
    MessageCount(u32),
    /// `basic.get-ok`.
    Got {
        /// The queue.
        queue: QueueId,
        /// The message.
        delivery: Delivery,
        /// Messages still ready.
        remaining: u32,
    },
    /// `basic.get-empty`.
    Empty,
    /// What a step of a walk over a queue did.
    BrowsePage(Box<BrowsePage>),
    /// What a request about delayed messages came to.
    Delayed(Box<DelayedPage>),
    /// What is known of messages.
    Trace(Box<TracePage>),
    /// What became of the message of a schedule.
    ScheduleRun(FiringOutcome),
}

/// A message on its way to a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the queue: what the channel settles it by.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Failed deliveries so far, shown in `x-delivery-count` when above 0.
    pub failures: u32,
    /// Deliveries so far that a client returned in good order, shown in `x-return-count` when above
    /// 0.
    pub returns: u32,
}

/// The header with the failed deliveries so far; RabbitMQ's name.
const DELIVERY_COUNT: ShortStr = ShortStr::from_static("x-delivery-count");
/// The header with the deliveries so far that a client returned in good order.
const RETURN_COUNT: ShortStr = ShortStr::from_static("x-return-count");

impl Delivery {
    /// The headers that tell how often the message came back; those that would say 0 are left out.
    #[must_use]
    pub fn counts(&self) -> Vec<(ShortStr, i64)> {
        let counts = [(DELIVERY_COUNT, self.failures), (RETURN_COUNT, self.returns)];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(name, count)| (name, i64::from(count))).collect()
    }

    /// Bytes that this delivery takes from its connection's output budget.
    #[must_use]
    pub fn budget_size(&self) -> usize {
        self.message.size() + DELIVERY_OVERHEAD_SIZE
    }
}
