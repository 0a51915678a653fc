//! What a queue shall be like, for [`crate::Connection::declare_queue`].

use std::time::Duration;

use forebay_wire::{FieldTable, FieldValue, ShortStr};

use crate::{Error, name::Name};

/// Durability, exclusiveness and arguments of a queue, for [`crate::Connection::declare_queue`].
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    pub(crate) is_durable: bool,
    pub(crate) is_exclusive: bool,
    pub(crate) is_auto_delete: bool,
    pub(crate) arguments: FieldTable,
}

impl QueueOptions {
    /// A queue that survives a restart of the broker.
    pub fn durable() -> Self {
        Self { is_durable: true, ..Self::default() }
    }

    /// A queue that is gone when the broker restarts.
    pub fn transient() -> Self {
        Self::default()
    }

    /// A queue for this connection only, which is gone with it.
    pub fn exclusive() -> Self {
        Self { is_exclusive: true, ..Self::default() }
    }

    /// The queue is gone when its last consumer goes. The connection then no longer declares it again.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.is_auto_delete = true;
        self
    }

    /// Messages that wait in the queue for longer are dropped or dead-lettered (`x-message-ttl`). Milliseconds count.
    #[must_use]
    pub fn message_ttl(self, time_to_live: Duration) -> Self {
        self.argument("x-message-ttl", milliseconds(time_to_live))
    }

    /// The queue is deleted when it was not used for this long (`x-expires`). Milliseconds count.
    #[must_use]
    pub fn expires_after(self, unused: Duration) -> Self {
        self.argument("x-expires", milliseconds(unused))
    }

    /// The most messages that it holds (`x-max-length`); the oldest go first, unless
    /// [`QueueOptions::reject_when_full`].
    #[must_use]
    pub fn max_length(self, messages: u32) -> Self {
        self.argument("x-max-length", i64::from(messages))
    }

    /// The most bytes of bodies that it holds (`x-max-length-bytes`).
    #[must_use]
    pub fn max_length_bytes(self, bytes: u64) -> Self {
        self.argument("x-max-length-bytes", i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// A full queue refuses new messages, whose confirms then fail with
    /// [`crate::PublishError::Nacked`], instead of dropping old ones.
    #[must_use]
    pub fn reject_when_full(self) -> Self {
        self.argument("x-overflow", "reject-publish")
    }

    /// Where messages go that expire, are rejected, or failed too often: an exchange, with a routing
    /// key of its own or the one that they were published with. The default exchange (`""`) with a
    /// queue's name as routing key is that queue.
    ///
    /// # Errors
    /// [`Error::NameTooLong`].
    pub fn dead_letter_to(
        mut self,
        exchange: impl Name,
        routing_key: Option<&str>,
    ) -> Result<Self, Error> {
        let long = |name: ShortStr| FieldValue::LongStr(name.into_bytes());
        let exchange = exchange.into_short_str("exchange name")?;
        self = self.argument("x-dead-letter-exchange", long(exchange));
        match routing_key {
            Some(key) => {
                let key = key.into_short_str("routing key")?;
                Ok(self.argument("x-dead-letter-routing-key", long(key)))
            }
            None => Ok(self),
        }
    }

    /// Failed deliveries after which a message is dead-lettered (`x-delivery-limit`).
    #[must_use]
    pub fn delivery_limit(self, failures: u32) -> Self {
        self.argument("x-delivery-limit", i64::from(failures))
    }

    /// How long a consumer may keep a message before it is delivered again (`x-consumer-timeout`).
    /// Milliseconds count.
    #[must_use]
    pub fn consumer_timeout(self, limit: Duration) -> Self {
        self.argument("x-consumer-timeout", milliseconds(limit))
    }

    /// A message whose key (header `x-deduplication-header`, or else the message id) another one had that the
    /// queue took within this time is confirmed and dropped (`x-dedup-window`). Milliseconds count.
    #[must_use]
    pub fn dedup_window(self, window: Duration) -> Self {
        self.argument("x-dedup-window", milliseconds(window))
    }

    /// How many keys a queue with a [`QueueOptions::dedup_window`] remembers, a million when nothing is said
    /// and ten million at most (`x-dedup-size`). One more, and the oldest is forgotten early.
    #[must_use]
    pub fn dedup_size(self, keys: u32) -> Self {
        self.argument("x-dedup-size", i64::from(keys))
    }

    /// Messages that may be delivered and not settled, over all consumers (`x-max-in-flight`); at least 1.
    #[must_use]
    pub fn max_in_flight(self, messages: u32) -> Self {
        self.argument("x-max-in-flight", i64::from(messages))
    }

    /// Deliveries in a second, over all consumers (`x-rate-limit`); from 1 to a million.
    #[must_use]
    pub fn rate_limit(self, deliveries: u32) -> Self {
        self.argument("x-rate-limit", i64::from(deliveries))
    }

    /// Deliveries that may come at once after a pause, on a queue with a [`QueueOptions::rate_limit`]
    /// (`x-rate-burst`); from 1 to a million. A tenth of the rate when nothing is said.
    #[must_use]
    pub fn rate_burst(self, deliveries: u32) -> Self {
        self.argument("x-rate-burst", i64::from(deliveries))
    }

    /// Keeps what happens to this many of its last messages, from 1 to 10,000, for operators who ask
    /// (`x-trace`).
    #[must_use]
    pub fn trace(self, messages: u32) -> Self {
        self.argument("x-trace", i64::from(messages))
    }

    /// Messages have priorities from 0 to this one (`x-max-priority`).
    #[must_use]
    pub fn max_priority(self, highest: u8) -> Self {
        self.argument("x-max-priority", i32::from(highest))
    }

    /// One consumer at a time gets messages, the others wait (`x-single-active-consumer`).
    #[must_use]
    pub fn single_active_consumer(self) -> Self {
        self.argument("x-single-active-consumer", true)
    }

    /// An argument of the declaration, for example `x-max-length`; one of the same name is replaced.
    ///
    /// # Panics
    /// When the name passes 255 bytes. Names that the program does not write itself go through
    /// [`QueueOptions::arguments`].
    #[must_use]
    pub fn argument(mut self, name: &'static str, value: impl Into<FieldValue>) -> Self {
        self.arguments.insert(ShortStr::from_static(name), value);
        self
    }

    /// Many arguments, as read from somewhere else; replaces those set before.
    #[must_use]
    pub fn arguments(mut self, arguments: FieldTable) -> Self {
        self.arguments = arguments;
        self
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
