//! The page in the browser: its files, the sessions of those who look at it, and the hosts that it may
//! be opened under. Sans I/O: the admin listener brings requests, the time and the users.
#![deny(missing_docs)]

pub mod files;
pub mod hosts;
pub mod limits;
pub mod sessions;
