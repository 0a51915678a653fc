//! The channels of one connection by number.

use crate::channel::Channel;
use crate::ids::ChannelId;
use std::collections::BTreeMap;

/// A channel number that is in use.
#[derive(Debug)]
pub(crate) enum ChannelSlot {
    Open(Box<Channel>),
    /// We closed it: what the client sent before it knew is dropped, until its close-ok.
    Closing,
}

/// At most `channels_max` channels, by any numbers.
#[derive(Debug, Default)]
pub(crate) struct ChannelTable {
    slots: BTreeMap<ChannelId, ChannelSlot>,
}

impl ChannelTable {
    pub(crate) fn slot(&mut self, id: ChannelId) -> Option<&mut ChannelSlot> {
        self.slots.get_mut(&id)
    }

    /// The channel, unless it is closed or closing.
    pub(crate) fn open(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match self.slot(id)? {
            ChannelSlot::Open(channel) => Some(channel),
            ChannelSlot::Closing => None,
        }
    }

    pub(crate) fn put(&mut self, id: ChannelId, slot: ChannelSlot) {
        self.slots.insert(id, slot);
    }

    pub(crate) fn remove(&mut self, id: ChannelId) {
        self.slots.remove(&id);
    }

    /// Numbers in use.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }
}
