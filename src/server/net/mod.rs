//! Sockets and listeners.

pub(crate) mod http_listener;
pub mod listener;
pub mod places;
pub(crate) mod port;
pub(crate) mod proxy_protocol;
pub mod read_buffer;
pub mod socket;
