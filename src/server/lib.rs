//! Sockets, tasks, committer, configuration and metrics of the broker.
#![deny(missing_docs)]

pub mod authenticator;
pub mod clock;
pub mod config_file;
pub mod limits;
pub mod open_files;
pub mod publish_budget;
pub mod settings;
pub mod user;
