//! Requests that wait for their replies (direct reply-to).
//!
//! Owned by a requester's channel inside the session. Keyed by correlation id; a call that was
//! dropped or timed out takes its entry along, so a late reply finds no entry and is dropped.

use std::collections::{HashMap, HashSet};

use forebay_wire::ShortStr;
use tokio::sync::oneshot;

use crate::{Fault, Incoming, Loss};

/// The name under which brokers offer direct reply-to.
pub(crate) const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

pub(crate) type ReplySender = oneshot::Sender<Result<Incoming, Loss>>;

#[derive(Debug)]
struct Waiting {
    sender: ReplySender,
    /// The request is in the publisher's window, or was confirmed.
    is_sent: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: HashMap<ShortStr, Waiting>,
}

impl Replies {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn insert(&mut self, correlation_id: ShortStr, sender: ReplySender) {
        self.waiting.insert(correlation_id, Waiting { sender, is_sent: false });
    }

    pub(crate) fn handle_sent(&mut self, correlation_id: &ShortStr) {
        if let Some(waiting) = self.waiting.get_mut(correlation_id) {
            waiting.is_sent = true;
        }
    }

    pub(crate) fn remove(&mut self, correlation_id: &ShortStr) {
        self.waiting.remove(correlation_id);
    }

    pub(crate) fn handle_reply(&mut self, reply: Incoming) {
        let waiting = reply.correlation_id().and_then(|id| self.waiting.remove(&id));
        match waiting {
            // The call may have been dropped in this moment.
            Some(waiting) => drop(waiting.sender.send(Ok(reply))),
            None => tracing::debug!("a reply came that no call waits for"),
        }
    }

    /// The connection is gone, and with it the address that the requests named.
    pub(crate) fn handle_loss(&mut self, loss: &Loss) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.sender.send(Err(loss.clone()));
        }
    }

    /// The channel is gone. Requests that the window still holds are sent again on the next one, whose
    /// address they then name; the broker had the others, whose replies have no way any more.
    pub(crate) fn handle_fault(&mut self, fault: &Fault, held: &HashSet<ShortStr>) {
        let is_lost = |id: &ShortStr, waiting: &mut Waiting| waiting.is_sent && !held.contains(id);
        for (_, waiting) in self.waiting.extract_if(is_lost) {
            let _ = waiting.sender.send(Err(Loss::Server(fault.clone())));
        }
    }
}
