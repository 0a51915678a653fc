//! What is fixed for the life of an open connection.

use super::client::ClientProfile;
use forebay_wire::ShortStr;

/// What is fixed for the life of an open connection.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) vhost: ShortStr,
    pub(crate) user: ShortStr,
    pub(crate) client: ClientProfile,
    pub(crate) tuned: Tuned,
}

/// What was agreed in `connection.tune-ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    pub(crate) frame_size_max: u32,
    pub(crate) channels_max: u16,
    /// Not agreed, decided by the server: bytes of a body.
    pub(crate) message_size_max: u64,
    pub(crate) unfinished_size_max: usize,
}
