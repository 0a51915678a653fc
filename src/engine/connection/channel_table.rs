//! The channels of one connection by number.

use crate::channel::Channel;
use crate::ids::ChannelId;

/// A channel number that is in use.
#[derive(Debug)]
pub(crate) enum ChannelSlot {
    Open(Box<Channel>),
    /// We closed it: what the client sent before it knew is dropped, until its close-ok.
    Closing,
}

/// At most `channels_max` slots; grows to the highest number used.
#[derive(Debug, Default)]
pub(crate) struct ChannelTable {
    slots: Vec<Option<ChannelSlot>>,
}

impl ChannelTable {
    pub(crate) fn slot(&mut self, id: ChannelId) -> Option<&mut ChannelSlot> {
        self.slots.get_mut(usize::from(id.0))?.as_mut()
    }

    /// The channel, unless it is closed or closing.
    pub(crate) fn open(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match self.slot(id)? {
            ChannelSlot::Open(channel) => Some(channel),
            ChannelSlot::Closing => None,
        }
    }

    pub(crate) fn put(&mut self, id: ChannelId, slot: ChannelSlot) {
        let index = usize::from(id.0);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = Some(slot);
        }
    }

    pub(crate) fn remove(&mut self, id: ChannelId) {
        if let Some(place) = self.slots.get_mut(usize::from(id.0)) {
            *place = None;
        }
    }

    /// Open channels.
    pub(crate) fn count_open(&self) -> usize {
        let open = |slot: &&Option<ChannelSlot>| matches!(slot, Some(ChannelSlot::Open(_)));
        self.slots.iter().filter(open).count()
    }
}
