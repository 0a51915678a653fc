//! Durable pages on fjall, behind one trait with an in-memory and a fault-injecting twin.
#![deny(missing_docs)]
