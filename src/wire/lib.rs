//! AMQP 0-9-1 octets: frames, methods, properties and field tables.
#![deny(missing_docs)]
