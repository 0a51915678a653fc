//! The octets of published messages that may be in memory before they are durable.
//!
//! A connection takes a share before it hands a batch to the shard; the share travels with the
//! batch and with the commit that makes it durable, and is given back when it is dropped. While
//! none is left no publisher is read, whatever its socket holds.

use crate::limits::PUBLISH_BUDGET_OCTETS_MAX;
use forebay_engine::command::{Command, Publish};
use forebay_engine::message::Message;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget of one broker. Clones share it.
#[derive(Clone, Debug)]
pub struct PublishBudget {
    semaphore: Arc<Semaphore>,
}

/// A part of the budget, held by whoever holds the messages. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct PublishShare {
    permit: Option<OwnedSemaphorePermit>,
}

impl PublishBudget {
    /// A budget of [`PUBLISH_BUDGET_OCTETS_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self { semaphore: Arc::new(Semaphore::new(PUBLISH_BUDGET_OCTETS_MAX)) }
    }

    /// A share for `octets`, if there is room now. A batch larger than the whole budget takes the
    /// whole budget: it passes alone.
    #[must_use]
    pub fn try_take(&self, octets: usize) -> Option<PublishShare> {
        if octets == 0 {
            return Some(PublishShare::default());
        }
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(size(octets)).ok()?;
        Some(PublishShare { permit: Some(permit) })
    }

    /// The same, waiting its turn.
    pub async fn take(&self, octets: usize) -> PublishShare {
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(size(octets)).await;
        PublishShare { permit: permit.ok() }
    }

    /// Octets that are free now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.semaphore.available_permits()
    }
}

impl Default for PublishBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl PublishShare {
    /// Whether it holds nothing of the budget.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.permit.is_none()
    }

    /// Adds another share of the same budget to this one.
    pub fn absorb(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(other)) => permit.merge(other),
            (permit @ None, other) => *permit = other,
            (Some(_), None) => {}
        }
    }
}

/// What a batch of commands publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Messages.
    pub messages: usize,
    /// Their octets, as [`forebay_engine::message::Message::size`] counts them, once for each
    /// queue: until it is durable, each queue has its own copy to write.
    pub octets: usize,
}

impl Published {
    /// Adds up the messages of these commands.
    #[must_use]
    pub fn by(commands: &[Command]) -> Self {
        let mut published = Self::default();
        for command in commands {
            match command {
                Command::Publish(publish) => published.add(publish),
                Command::CommitTransaction { publishes, .. } => {
                    publishes.iter().for_each(|publish| published.add(publish));
                }
                _ => {}
            }
        }
        published
    }

    fn add(&mut self, publish: &Publish) {
        self.messages += publish.messages.len();
        let octets = publish.messages.iter().map(Message::size).sum::<usize>();
        self.octets = self.octets.saturating_add(octets.saturating_mul(publish.targets.len()));
    }
}

fn size(octets: usize) -> u32 {
    u32::try_from(octets.min(PUBLISH_BUDGET_OCTETS_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use forebay_engine::ids::{ChannelId, QueueId};
    use forebay_engine::message::Envelope;
    use forebay_engine::time::WallClock;
    use forebay_wire::ShortStr;
    use forebay_wire::properties::Properties;

    fn publish(queues: u64) -> Command {
        let envelope = Envelope {
            exchange: &ShortStr::EMPTY,
            routing_key: &ShortStr::EMPTY,
            properties: &Properties::default().encode(),
            published_at: WallClock(0),
            expiration: None,
        };
        let message = Message::new(envelope, Bytes::from_static(b"x"), &mut BytesMut::new());
        Command::Publish(Publish {
            channel: ChannelId(1),
            confirm: None,
            targets: (1..=queues).map(QueueId).collect(),
            messages: vec![message],
        })
    }

    #[test]
    fn a_message_is_counted_once_for_each_of_its_queues() {
        let one = Published::by(&[publish(1)]);
        let many = Published::by(&[publish(1500), publish(1500)]);
        assert!(one.octets > 0);
        assert_eq!((many.messages, many.octets), (2, one.octets * 3000));
    }

    #[test]
    fn shares_are_counted_together_and_given_back_together() {
        let budget = PublishBudget::new();
        let mut share = budget.try_take(10).unwrap();
        share.absorb(budget.try_take(20).unwrap());
        share.absorb(budget.try_take(0).unwrap());
        assert_eq!(budget.available(), PUBLISH_BUDGET_OCTETS_MAX - 30);
        drop(share);
        assert_eq!(budget.available(), PUBLISH_BUDGET_OCTETS_MAX);
    }

    #[tokio::test]
    async fn a_batch_above_the_whole_budget_passes_alone() {
        let budget = PublishBudget::new();
        let small = budget.try_take(1).unwrap();
        assert!(budget.try_take(PUBLISH_BUDGET_OCTETS_MAX * 4).is_none());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(PUBLISH_BUDGET_OCTETS_MAX * 4).await }
        });
        drop(small);
        let huge = waiting.await.unwrap();
        assert_eq!(budget.available(), 0);
        drop(huge);
        assert_eq!(budget.available(), PUBLISH_BUDGET_OCTETS_MAX);
    }
}
