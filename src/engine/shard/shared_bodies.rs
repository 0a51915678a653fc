//! Names for bodies that several queues get, so that the store writes each once. Owned by the
//! [`super::Shard`]; only it hands messages to more than one queue.

use crate::limits::BODY_OWN_SIZE_MAX;
use crate::model::{BodyId, Message};

/// The last name that was given.
#[derive(Debug, Default)]
pub(super) struct SharedBodies {
    last: BodyId,
}

impl SharedBodies {
    /// Goes on behind what a store holds.
    pub(super) fn recover(last: BodyId) -> Self {
        Self { last }
    }

    /// The messages as several queues are about to get them: those with a large body that has no name yet
    /// are given one. A dead letter keeps the name that its message had. A delayed message is given one
    /// even for one queue: when it is due, its page takes the body over as it is stored.
    pub(super) fn share(&mut self, messages: &mut [Message]) {
        for message in messages {
            let is_large = message.body().len() > BODY_OWN_SIZE_MAX;
            let is_written = message.is_persistent() || message.delay().is_some();
            // What is neither kept nor delayed is not written, but for lack of memory: then once for each queue.
            if is_large && is_written && message.shared_body().is_none() {
                self.last = BodyId(self.last.0 + 1);
                *message = message.clone().with_shared_body(self.last);
            }
        }
    }
}
