//! From what a program says of a broker to an open AMQP connection.

pub(crate) mod handshake;
pub(crate) mod options;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod uri;
