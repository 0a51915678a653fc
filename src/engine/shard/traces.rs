//! The lives of messages: how they come into a queue, as people are told it, and what operators ask.

use super::Shard;
use crate::credit::Clients;
use crate::event::Reply;
use crate::model::{ChannelKey, DeathReason, DelayedId, Fault, QueueId};
use crate::queue::{Coming, Instants};
use crate::topology::Topology;
use crate::topology::names::Resource;
use crate::trace::Happening;
use crate::trace_request::TraceRequest;
use forebay_wire::{ReplyCode, ShortStr};

/// Who published messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Publisher<'a> {
    /// A client, on this channel.
    Channel(ChannelKey),
    /// The schedule of this name.
    Schedule(&'a ShortStr),
}

/// How messages come into a queue together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival<'a> {
    /// They were published.
    Published(Publisher<'a>),
    /// They died in this queue.
    DeadLetter { from: QueueId, reason: DeathReason },
    /// An operator sends them back out of this queue.
    Redriven { from: QueueId },
    /// They were delayed under these names, in the same order.
    Due(&'a [DelayedId]),
}

/// Where names are found that people know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) clients: &'a Clients,
    pub(super) topology: &'a Topology,
}

impl Names<'_> {
    /// The name of a queue; empty when it is gone.
    fn queue(self, id: QueueId) -> ShortStr {
        self.topology.queue_by_id(id).map(|record| record.name.clone()).unwrap_or_default()
    }
}

impl Publisher<'_> {
    /// The channel, where it is a client.
    pub(super) const fn channel(self) -> Option<ChannelKey> {
        match self {
            Self::Channel(key) => Some(key),
            Self::Schedule(_) => None,
        }
    }

    /// What is to be recorded.
    pub(super) fn happening(self, names: Names<'_>) -> Happening {
        match self {
            Self::Channel(key) => Happening::Published { by: names.clients.party_of(key) },
            Self::Schedule(name) => Happening::Scheduled { by: name.clone() },
        }
    }
}

impl Arrival<'_> {
    /// What is to be recorded of the one at `place`.
    pub(super) fn coming(self, place: usize, names: Names<'_>) -> Option<Coming> {
        let first = match self {
            Self::Published(by) => by.happening(names),
            Self::DeadLetter { from, reason } => {
                Happening::CameAsDeadLetter { from: names.queue(from), reason }
            }
            Self::Redriven { from } => Happening::CameRedriven { from: names.queue(from) },
            Self::Due(ids) => return ids.get(place).copied().map(Coming::Due),
        };
        Some(Coming::New(first))
    }
}

impl Shard {
    /// The name of a queue; empty when it is gone.
    pub(super) fn queue_name(&self, id: QueueId) -> ShortStr {
        Names { clients: &self.clients, topology: &self.topology }.queue(id)
    }

    /// Answers what an operator asks.
    pub(super) fn trace(&mut self, at: Instants, key: ChannelKey, request: &TraceRequest) {
        let reply = self.read_trace(at, key, request);
        self.reply(key, reply);
    }

    fn read_trace(
        &self,
        at: Instants,
        key: ChannelKey,
        request: &TraceRequest,
    ) -> Result<Reply, Fault> {
        let TraceRequest { queue: name, message_id, below, count_max } = request;
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let id = self.topology.queue(&vhost, name, key.connection)?.id;
        let queue = self.queues.get(&id);
        let page = queue
            .and_then(|queue| queue.read_lives(message_id.as_ref(), *below, *count_max, at))
            .ok_or_else(|| {
                let text = format!(
                    "{} keeps no trace: declare it with 'x-trace', or set 'trace' in a policy, to the \
                     number of messages",
                    Resource::queue(name, &vhost)
                );
                Fault::channel(ReplyCode::PreconditionFailed, text)
            })?;
        Ok(Reply::Trace(Box::new(page)))
    }
}
