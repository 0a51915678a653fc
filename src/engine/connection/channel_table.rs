//! The channels of one connection by number.

use crate::channel::Channel;
use crate::model::{ChannelId, PublishSeq};
use crate::session::OpenChannel;
use std::collections::BTreeMap;

/// A channel number that is in use.
#[derive(Debug)]
pub(crate) enum ChannelState {
    Open(Box<Channel>),
    /// We closed it: what the client sent before it knew is dropped, until its close-ok.
    Closing,
}

/// At most `channels_max` channels, by any numbers.
#[derive(Debug, Default)]
pub(crate) struct ChannelTable {
    slots: BTreeMap<ChannelId, ChannelState>,
    /// No channel that is gone numbered a publish above this. What confirms them may still be on
    /// its way when another channel has their number.
    published_to: PublishSeq,
}

impl ChannelTable {
    pub(crate) fn slot(&mut self, id: ChannelId) -> Option<&mut ChannelState> {
        self.slots.get_mut(&id)
    }

    /// The channel, unless it is closed or closing.
    pub(crate) fn open(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match self.slot(id)? {
            ChannelState::Open(channel) => Some(channel),
            ChannelState::Closing => None,
        }
    }

    /// Opens a channel whose number is free.
    pub(crate) fn insert(&mut self, id: ChannelId) {
        let channel = Channel::new(id, self.published_to);
        self.slots.insert(id, ChannelState::Open(Box::new(channel)));
    }

    /// We close it.
    pub(crate) fn close(&mut self, id: ChannelId) {
        let closed = self.slots.insert(id, ChannelState::Closing);
        self.leave(closed);
    }

    pub(crate) fn remove(&mut self, id: ChannelId) {
        let removed = self.slots.remove(&id);
        self.leave(removed);
    }

    fn leave(&mut self, slot: Option<ChannelState>) {
        if let Some(ChannelState::Open(channel)) = slot {
            self.published_to = self.published_to.max(channel.published_to());
        }
    }

    /// Those that are open.
    pub(crate) fn list(&self) -> Vec<OpenChannel> {
        let open = |slot: &ChannelState| match slot {
            ChannelState::Open(channel) => Some(channel.describe()),
            ChannelState::Closing => None,
        };
        self.slots.values().filter_map(open).collect()
    }

    /// Numbers in use.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }
}
