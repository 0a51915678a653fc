//! The types of exchanges.

use std::fmt;

/// How an exchange matches (AMQP 0-9-1, 3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By equal routing key.
    Direct,
    /// Everything to everybody.
    Fanout,
    /// By pattern of words.
    Topic,
    /// By headers.
    Headers,
    /// To one place for each hash of the routing key or a header, by weight.
    ConsistentHash,
    /// As the type that the argument `x-delayed-type` names.
    Delayed,
}

impl ExchangeKind {
    /// Each.
    pub const ALL: [Self; 6] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::Delayed,
    ];

    /// The type by the name that clients declare.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// The name that clients declare.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::Delayed => "x-delayed-message",
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
