//! A channel as people are shown it.

use crate::model::ChannelId;

/// A channel that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenChannel {
    /// Its number.
    pub id: ChannelId,
    /// What becomes of its publishes.
    pub mode: ChannelMode,
    /// Unacknowledged messages at most of each consumer that it makes; 0: no limit.
    pub prefetch: u16,
    /// Messages that it was given, also by `basic.get`, and has not settled.
    pub unacked: u64,
    /// Publishes that it has no answer for.
    pub unconfirmed: u64,
    /// Publishes that wait for `tx.commit`.
    pub publishes_uncommitted: u64,
    /// Acknowledgements and refusals that wait for `tx.commit`.
    pub acks_uncommitted: u64,
}

/// What becomes of what a channel publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelMode {
    /// It is taken at once, and not answered.
    Plain,
    /// It is answered (`confirm.select`).
    Confirm,
    /// It waits for `tx.commit`.
    Transaction,
}
