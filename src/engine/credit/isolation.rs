//! What a connection is not sent for the sake of quarantined messages, and for how long. Such a
//! message proves something only where it is delivered alone: to a connection that holds nothing on
//! any channel, and is sent nothing else. None of that lasts longer than
//! [`QUARANTINE_MS_MAX`]. Part of [`Clients`], which queues ask in their turns.

use super::clients::{ChannelSlot, Clients};
use crate::limits::QUARANTINE_MS_MAX;
use crate::model::{ChannelKey, ConnectionId, Monotonic, Position, QueueId};
use std::collections::BTreeSet;

/// When isolations end, and whose.
pub(crate) type IsolationEnds = BTreeSet<(Monotonic, u32)>;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Isolation {
    #[default]
    None,
    /// It is sent nothing, so that it becomes empty and can be given a quarantined message.
    Draining { until: Monotonic },
    /// It has a quarantined message and nothing else.
    Trial { until: Monotonic, channel: ChannelSlot, queue: QueueId, position: Position },
    /// It did not settle in time what it held. Until it holds nothing it is sent whatever there is.
    Keeps,
}

impl Isolation {
    /// Whether the connection is sent nothing.
    pub(crate) const fn is_pause(&self) -> bool {
        self.until().is_some()
    }

    const fn until(&self) -> Option<Monotonic> {
        match self {
            Self::Draining { until } | Self::Trial { until, .. } => Some(*until),
            Self::None | Self::Keeps => None,
        }
    }
}

/// A quarantined message that a client had in its hands for long enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survived {
    pub(crate) channel: ChannelSlot,
    pub(crate) queue: QueueId,
    pub(crate) position: Position,
}

impl Clients {
    /// How many messages the channel's connection holds, over all its channels, also those that were
    /// taken back from it and not settled.
    pub(crate) fn held_by_connection(&self, slot: ChannelSlot) -> u64 {
        let client = self.client_of(slot).and_then(|number| self.clients.get(number));
        client.map_or(0, |client| client.held)
    }

    /// Deliveries of all channels of a connection that are not settled.
    pub(crate) fn held_by(&self, connection: ConnectionId) -> u64 {
        let client = self.by_id.get(&connection).and_then(|number| self.clients.get(*number));
        client.map_or(0, |client| client.held)
    }

    /// Whether the channel's connection is empty: what it is sent next is the only one that it has.
    pub(crate) fn is_empty(&self, slot: ChannelSlot) -> bool {
        self.held_by_connection(slot) == 0
    }

    /// Whether the channel's connection did not settle in time what it held.
    pub(crate) fn keeps(&self, slot: ChannelSlot) -> bool {
        self.isolation(slot) == Isolation::Keeps
    }

    /// Whether the channel's connection is sent nothing for the sake of a quarantined message.
    pub(crate) fn is_paused(&self, slot: ChannelSlot) -> bool {
        self.isolation(slot).is_pause()
    }

    /// Whether the channel's connection has a quarantined message, alone.
    pub(crate) fn is_in_trial(&self, slot: ChannelSlot) -> bool {
        matches!(self.isolation(slot), Isolation::Trial { .. })
    }

    /// Whether the channel's connection is to become empty.
    pub(crate) fn is_draining(&self, slot: ChannelSlot) -> bool {
        matches!(self.isolation(slot), Isolation::Draining { .. })
    }

    /// The channel's connection is to become empty.
    pub(crate) fn drain(&mut self, slot: ChannelSlot, now: Monotonic) {
        if self.isolation(slot) == Isolation::None {
            self.isolate(slot, Isolation::Draining { until: now.plus(QUARANTINE_MS_MAX) });
        }
    }

    /// The channel, whose connection was empty, was given a quarantined message.
    pub(crate) fn begin_trial(
        &mut self,
        channel: ChannelSlot,
        queue: QueueId,
        position: Position,
        now: Monotonic,
    ) {
        let until = now.plus(QUARANTINE_MS_MAX);
        self.isolate(channel, Isolation::Trial { until, channel, queue, position });
    }

    /// When an isolation ends.
    pub(crate) fn poll_isolation_timeout(&self) -> Option<Monotonic> {
        self.isolation_ends.first().map(|(until, _)| *until)
    }

    /// Ends an isolation whose time has passed: the channels of the connection, to which deliveries
    /// may begin again, and what it has survived.
    pub(crate) fn pop_isolation(
        &mut self,
        now: Monotonic,
    ) -> Option<(Vec<ChannelKey>, Option<Survived>)> {
        let (_, number) =
            self.isolation_ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.isolation_ends.pop_first();
        let client = self.clients.get_mut(number)?;
        let survived = match std::mem::replace(&mut client.isolation, Isolation::Keeps) {
            Isolation::Trial { channel, queue, position, .. } => {
                Some(Survived { channel, queue, position })
            }
            _ => None,
        };
        let slots: Vec<ChannelSlot> = client.channels.values().copied().collect();
        Some((slots.into_iter().filter_map(|slot| self.key(slot)).collect(), survived))
    }

    /// The connection holds so many messages less. Whether deliveries to it may begin again.
    pub(crate) fn let_go(&mut self, number: u32, count: u64) -> bool {
        let Some(client) = self.clients.get_mut(number) else { return false };
        client.held = client.held.saturating_sub(count);
        client.held == 0 && self.end_isolation(number)
    }

    /// Whether there was one: then the connection may be sent something that it was not sent until
    /// now.
    pub(crate) fn end_isolation(&mut self, number: u32) -> bool {
        let Some(client) = self.clients.get_mut(number) else { return false };
        let ended = std::mem::take(&mut client.isolation);
        if let Some(until) = ended.until() {
            self.isolation_ends.remove(&(until, number));
        }
        ended != Isolation::None
    }

    fn isolation(&self, slot: ChannelSlot) -> Isolation {
        let client = self.client_of(slot).and_then(|number| self.clients.get(number));
        client.map_or(Isolation::None, |client| client.isolation)
    }

    fn isolate(&mut self, slot: ChannelSlot, isolation: Isolation) {
        let Some(number) = self.client_of(slot) else { return };
        self.end_isolation(number);
        let Some(client) = self.clients.get_mut(number) else { return };
        client.isolation = isolation;
        self.isolation_ends.extend(isolation.until().map(|until| (until, number)));
    }
}
