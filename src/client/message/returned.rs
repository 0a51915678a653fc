//! A message that came back.

use std::fmt;

use crate::Incoming;

/// A mandatory message that no queue took, with the broker's reason.
#[derive(Clone, Debug)]
pub struct Returned {
    pub(crate) code: u16,
    pub(crate) text: String,
    pub(crate) message: Incoming,
}

impl Returned {
    /// AMQP reply code, usually 312 (NO_ROUTE).
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The broker's explanation.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The message as it came back.
    pub fn message(&self) -> &Incoming {
        &self.message
    }
}

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: no queue of exchange `{}` takes routing key `{}`; bind one, or check the names",
            self.code, self.text, self.message.exchange, self.message.routing_key
        )
    }
}
