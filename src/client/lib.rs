//! A client for AMQP 0-9-1 brokers: publish with confirms, consume with acknowledgements, reconnect.
#![deny(missing_docs)]
