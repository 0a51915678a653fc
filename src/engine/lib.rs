//! The broker as pure state machines: connection, channel, exchange, topology, queue.
#![deny(missing_docs)]
