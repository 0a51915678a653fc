//! Why a message leaves a queue other than by acknowledgement.

/// Why a message became a dead letter (`reason` in `x-death`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// A consumer rejected it without requeue.
    Rejected,
    /// Its time to live passed.
    Expired,
    /// The queue was full.
    MaxLength,
    /// Too many deliveries failed.
    DeliveryLimit,
}

impl DeathReason {
    /// As RabbitMQ writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    /// Whether the broker alone decided: a message that goes round a cycle of queues for such reasons
    /// only would never leave it.
    pub(crate) const fn is_automatic(self) -> bool {
        matches!(self, Self::Expired | Self::MaxLength)
    }
}
