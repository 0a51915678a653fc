//! What a channel in transaction mode holds back until `tx.commit` (AMQP 0-9-1, 1.9).

use super::content::Content;
use super::returns::Return;
use super::settle_commands::settle;
use super::unacked::Unacked;
use crate::command::Command;
use crate::model::{ChannelId, Settle, Settlement};

/// Publishes and settlements since the last commit or rollback.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// Routed when they are committed.
    pub(crate) publishes: Vec<Content>,
    /// Bytes of them.
    pub(crate) publishes_size: usize,
    /// Unroutable ones that go back when the rest is committed.
    pub(crate) returns: Vec<Return>,
    pub(crate) settled: Vec<(Settlement, Unacked)>,
}

impl Transaction {
    /// What is to be committed, grouped as outside of a transaction.
    pub(crate) fn take_settles(&mut self, channel: ChannelId) -> Vec<Settle> {
        let mut commands = Vec::new();
        for (settlement, unacked) in self.settled.drain(..) {
            settle(&mut commands, channel, settlement, unacked);
        }
        let settle = |command| match command {
            Command::Settle(settle) => Some(settle),
            _ => None,
        };
        commands.into_iter().filter_map(settle).collect()
    }
}
