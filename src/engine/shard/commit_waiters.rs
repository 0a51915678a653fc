//! What clients are told when a commit is durable: confirms and replies. Owned by the
//! [`super::commits::Commits`], a group for each commit.

use crate::credit::Outbox;
use crate::event::{Event, Reply};
use crate::model::{ChannelKey, ConnectionId, Fault, PublishSeq};

/// Publishes of one channel, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConfirmRun {
    key: ChannelKey,
    first: PublishSeq,
    last: PublishSeq,
}

/// What to tell once the commit is durable.
#[derive(Debug, Default)]
pub(crate) struct CommitWaiters {
    confirms: Vec<ConfirmRun>,
    events: Vec<(ConnectionId, Event)>,
}

impl CommitWaiters {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.confirms.is_empty() && self.events.is_empty()
    }

    /// `count` publishes from `first` on are to be confirmed.
    pub(crate) fn confirm(&mut self, key: ChannelKey, first: PublishSeq, count: u64) {
        let last = PublishSeq(first.0 + count - 1);
        if let Some(run) = self.confirms.last_mut()
            && run.key == key
            && run.last.0 + 1 == first.0
        {
            run.last = last;
        } else {
            self.confirms.push(ConfirmRun { key, first, last });
        }
    }

    /// A request is to be answered.
    pub(crate) fn reply(&mut self, key: ChannelKey, reply: Result<Reply, Fault>) {
        self.notify(key.connection, Event::Reply { channel: key.channel, reply });
    }

    /// Somebody is to hear something, after what was promised before.
    pub(crate) fn notify(&mut self, connection: ConnectionId, event: Event) {
        self.events.push((connection, event));
    }

    /// Tells all of it.
    pub(crate) fn release(mut self, out: &mut Outbox) {
        self.confirms.sort_by_key(|run| (run.key, run.first));
        for runs in self.confirms.chunk_by(|a, b| a.key == b.key && a.last.0 + 1 == b.first.0) {
            let (Some(begin), Some(end)) = (runs.first(), runs.last()) else { continue };
            let (channel, first, last) = (begin.key.channel, begin.first, end.last);
            out.push(begin.key.connection, Event::Confirm { channel, first, last });
        }
        for (connection, event) in self.events {
            out.push(connection, event);
        }
    }
}
