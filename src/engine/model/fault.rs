//! A peer's fault as a value: reply code, scope and text. Whoever finds it returns it; the
//! connection adds the class and method that failed and closes the channel or itself.

use forebay_wire::ReplyCode;
use std::fmt;

/// What a fault closes (AMQP 0-9-1, 2.2.4: "soft" and "hard" errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultScope {
    /// Only the channel it happened on.
    Channel,
    /// The whole connection.
    Connection,
}

/// Something that the peer did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it closes.
    pub scope: FaultScope,
    /// The AMQP reply code.
    pub code: ReplyCode,
    /// What was wrong, what was expected, which object. Without the code's name, which the
    /// connection puts in front as RabbitMQ does (`NOT_FOUND - no queue 'x' in vhost '/'`).
    pub text: String,
}

impl Fault {
    /// A fault that closes the channel.
    pub fn channel(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { scope: FaultScope::Channel, code, text: text.into() }
    }

    /// A fault that closes the connection.
    pub fn connection(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { scope: FaultScope::Connection, code, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} - {}", self.code.name(), self.text)
    }
}
