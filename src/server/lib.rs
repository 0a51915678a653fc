//! Sockets, tasks, committer, configuration and metrics of the broker.
#![deny(missing_docs)]
