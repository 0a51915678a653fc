//! Identifiers as types of their own, so that a delivery tag, a publish sequence number and a
//! queue offset can't be mixed up. Every floor above uses them; none has behaviour beyond order.

use std::fmt;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

identifier!(
    /// One accepted connection; never reused while the process lives.
    ConnectionId(u64)
);
identifier!(
    /// A channel number within its connection (AMQP 0-9-1, 4.2.3); 0 is the connection itself.
    ChannelId(u16)
);
identifier!(
    /// A queue for its whole life, across restarts; never reused, not even by a queue of the same
    /// name declared later.
    QueueId(u64)
);
identifier!(
    /// The place of a message in one level of a queue: contiguous from 0, never reused.
    Offset(u64)
);
identifier!(
    /// A priority level of a queue. Each level is a log of its own; a queue without
    /// `x-max-priority` has level 0 only. Higher levels are delivered first.
    Level(u8)
);
identifier!(
    /// The number by which a consumer settles a delivery, per channel from 1 (AMQP 0-9-1, 1.8.3.13).
    DeliveryTag(u64)
);
identifier!(
    /// The number of a publish on a channel in confirm mode, ascending by one. Unique for as long as
    /// its connection lives, also where a channel's number is used again: the delivery tag of its
    /// `basic.ack` counts from where the channel began.
    PublishSeq(u64)
);
identifier!(
    /// A consumer of a channel, ascending; unlike its tag never used again on that channel.
    ConsumerNumber(u64)
);
identifier!(
    /// One group of operations that become durable together, in order from 1.
    CommitId(u64)
);
identifier!(
    /// The time in which one machine leads of several that have the same queues, by its number, which grows.
    /// A shard makes all its commits under one epoch: a commit of an earlier one was made without knowledge
    /// of what came after it, and is refused. 0 where a single machine has the queues.
    Epoch(u64)
);
identifier!(
    /// A body that messages of several queues have in common, and that is stored once; from 1. May be
    /// used again when no message has it any more.
    BodyId(u64)
);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One message of a queue: where it stands, for the whole of its life there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The priority level.
    pub level: Level,
    /// The place within the level.
    pub offset: Offset,
}

/// A channel of a connection: what holds unacked messages and consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey {
    /// The connection.
    pub connection: ConnectionId,
    /// The channel on it.
    pub channel: ChannelId,
}
