//! The bytes of published messages that may be in memory before they are durable.
//!
//! A connection takes a share before it hands a batch to the shard; the share travels with the
//! batch and with the commit that makes it durable, and is given back when it is dropped. While
//! none is left no publisher is read, whatever its socket holds.
//!
//! Messages whose publishers do not wait for confirms take a share of a second, smaller budget as
//! well: nothing else would keep such publishers in step with consumers and with the disk.

use crate::limits::{PUBLISH_BUDGET_BYTES_MAX, UNAWAITED_BUDGET_BYTES_MAX};
use forebay_engine::command::{Command, DirectReply, Publish};
use forebay_engine::model::Message;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget of one broker. Clones share it.
#[derive(Clone, Debug)]
pub struct PublishBudget {
    all: Arc<Semaphore>,
    unawaited: Arc<Semaphore>,
    size: usize,
}

/// A part of the budget, held by whoever holds the messages. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct PublishShare {
    all: Part,
    unawaited: Part,
}

#[derive(Debug, Default)]
struct Part(Option<OwnedSemaphorePermit>);

impl PublishBudget {
    /// A budget of [`PUBLISH_BUDGET_BYTES_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self::of(PUBLISH_BUDGET_BYTES_MAX)
    }

    /// A budget of so many bytes; at least [`UNAWAITED_BUDGET_BYTES_MAX`].
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        let size = bytes.clamp(UNAWAITED_BUDGET_BYTES_MAX, u32::MAX as usize);
        Self {
            all: Arc::new(Semaphore::new(size)),
            unawaited: Arc::new(Semaphore::new(UNAWAITED_BUDGET_BYTES_MAX)),
            size,
        }
    }

    /// Bytes in all.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// A share for what is published, if there is room now. A batch larger than the whole budget
    /// takes the whole budget: it passes alone.
    #[must_use]
    pub fn try_take(&self, published: Published) -> Option<PublishShare> {
        let (all, unawaited) = self.sizes(published);
        Some(PublishShare {
            unawaited: Part::try_take(&self.unawaited, unawaited)?,
            all: Part::try_take(&self.all, all)?,
        })
    }

    /// Takes a share of the budget, and waits for it in turn.
    pub async fn take(&self, published: Published) -> PublishShare {
        let (all, unawaited) = self.sizes(published);
        // The small one first: whoever waits for it must not hold what others could use.
        let unawaited = Part::take(&self.unawaited, unawaited).await;
        PublishShare { unawaited, all: Part::take(&self.all, all).await }
    }

    /// Of the whole budget, and of the one for what nobody waits for.
    fn sizes(&self, published: Published) -> (u32, u32) {
        let size = |bytes: usize, most| u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        (
            size(published.bytes, self.size),
            size(published.unawaited_bytes, UNAWAITED_BUDGET_BYTES_MAX),
        )
    }

    /// Bytes that are free now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.all.available_permits()
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
        self.all.0.is_none()
    }

    /// Adds another share of the same budget to this one.
    pub fn absorb(&mut self, other: Self) {
        self.all.absorb(other.all);
        self.unawaited.absorb(other.unawaited);
    }

    /// Gives back what is above so many bytes.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.all.shrink(bytes);
        self.unawaited.shrink(bytes);
    }
}

impl Part {
    fn try_take(semaphore: &Arc<Semaphore>, bytes: u32) -> Option<Self> {
        if bytes == 0 {
            return Some(Self(None));
        }
        Some(Self(Some(Arc::clone(semaphore).try_acquire_many_owned(bytes).ok()?)))
    }

    async fn take(semaphore: &Arc<Semaphore>, bytes: u32) -> Self {
        if bytes == 0 {
            return Self(None);
        }
        // It is never closed.
        Self(Arc::clone(semaphore).acquire_many_owned(bytes).await.ok())
    }

    fn absorb(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(permit), Some(other)) => permit.merge(other),
            (permit @ None, other) => *permit = other,
            (Some(_), None) => {}
        }
    }

    fn shrink(&mut self, bytes: usize) {
        let Some(permit) = &mut self.0 else { return };
        drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        if bytes == 0 {
            self.0 = None;
        }
    }
}

/// What a batch of commands publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Messages.
    pub messages: usize,
    /// Their bytes, as [`forebay_engine::model::Message::size`] counts them, once for each
    /// queue: until it is durable, each queue has its own copy to write. At least half of what they
    /// came in.
    pub bytes: usize,
    /// Bytes of those that nobody waits for.
    pub unawaited_bytes: usize,
}

impl Published {
    /// Adds up the messages of these commands. Direct replies take bytes only: no queue has them.
    #[must_use]
    pub fn by(commands: &[Command]) -> Self {
        let mut published = Self::default();
        for command in commands {
            match command {
                Command::Publish(publish) => {
                    let bytes = published.add(publish);
                    if publish.confirm.is_none() {
                        published.unawaited_bytes = published.unawaited_bytes.saturating_add(bytes);
                    }
                }
                Command::DirectReply(reply) => published.add_reply(reply),
                Command::CommitTransaction { publishes, replies, .. } => {
                    for publish in publishes {
                        published.add(publish);
                    }
                    replies.iter().for_each(|reply| published.add_reply(reply));
                }
                _ => {}
            }
        }
        published
    }

    /// It came among so many bytes. What is on its way keeps alive the buffers it was received in,
    /// whatever else was in them; but frames of small messages are not held against them.
    #[must_use]
    pub fn among(self, received: usize) -> Self {
        let least = if self.bytes > 0 { received / 2 } else { 0 };
        Self { bytes: self.bytes.max(least), ..self }
    }

    fn add_reply(&mut self, reply: &DirectReply) {
        self.bytes = self.bytes.saturating_add(reply.message.size());
    }

    fn add(&mut self, publish: &Publish) -> usize {
        self.messages += publish.messages.len();
        let bytes = publish.messages.iter().map(Message::size).sum::<usize>();
        let bytes = bytes.saturating_mul(publish.targets.len());
        self.bytes = self.bytes.saturating_add(bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use forebay_engine::model::{ChannelId, Envelope, PublishSeq, QueueId, WallClock};
    use forebay_wire::ShortStr;
    use forebay_wire::properties::Properties;

    fn publish(queues: u64, confirm: Option<PublishSeq>) -> Command {
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
            confirm,
            targets: (1..=queues).map(QueueId).collect(),
            messages: vec![message],
        })
    }

    fn awaited(bytes: usize) -> Published {
        Published { messages: 1, bytes, unawaited_bytes: 0 }
    }

    fn unawaited(bytes: usize) -> Published {
        Published { messages: 1, bytes, unawaited_bytes: bytes }
    }

    #[test]
    fn a_message_is_counted_once_for_each_of_its_queues() {
        let one = Published::by(&[publish(1, None)]);
        let many = Published::by(&[publish(1500, None), publish(1500, Some(PublishSeq(1)))]);
        assert!(one.bytes > 0);
        assert_eq!((many.messages, many.bytes), (2, one.bytes * 3000));
        assert_eq!(many.unawaited_bytes, one.bytes * 1500);
    }

    #[test]
    fn a_message_counts_for_what_it_keeps_alive() {
        let one = Published::by(&[publish(1, None)]);
        assert_eq!(one.among(2 * one.bytes), one);
        assert_eq!(one.among(100_000), Published { bytes: 50_000, ..one });
        assert_eq!(Published::default().among(100_000), Published::default());
    }

    #[test]
    fn shares_are_counted_together_and_given_back_together() {
        let budget = PublishBudget::new();
        let mut share = budget.try_take(awaited(10)).unwrap();
        share.absorb(budget.try_take(awaited(20)).unwrap());
        share.absorb(budget.try_take(awaited(0)).unwrap());
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX - 30);
        drop(share);
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX);
    }

    #[test]
    fn what_was_taken_by_consumers_is_given_back_before_the_commit() {
        let budget = PublishBudget::new();
        let mut share = budget.try_take(unawaited(UNAWAITED_BUDGET_BYTES_MAX)).unwrap();
        share.absorb(budget.try_take(awaited(50)).unwrap());
        share.shrink(100);
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX - 100);
        assert_eq!(budget.unawaited.available_permits(), UNAWAITED_BUDGET_BYTES_MAX - 100);
        share.shrink(0);
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX);
        assert!(share.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_no_confirm_waits_sooner_and_does_not_hold_up_the_others() {
        let budget = PublishBudget::new();
        let share = budget.try_take(unawaited(UNAWAITED_BUDGET_BYTES_MAX)).unwrap();
        assert!(budget.try_take(unawaited(1)).is_none());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(unawaited(1)).await }
        });
        let rest = PUBLISH_BUDGET_BYTES_MAX - UNAWAITED_BUDGET_BYTES_MAX;
        drop(budget.try_take(awaited(rest)).unwrap());
        drop(share);
        drop(waiting.await.unwrap());
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_batch_above_the_whole_budget_passes_alone() {
        let budget = PublishBudget::new();
        let small = budget.try_take(awaited(1)).unwrap();
        assert!(budget.try_take(awaited(PUBLISH_BUDGET_BYTES_MAX * 4)).is_none());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(unawaited(PUBLISH_BUDGET_BYTES_MAX * 4)).await }
        });
        drop(small);
        let huge = waiting.await.unwrap();
        assert_eq!(budget.available(), 0);
        drop(huge);
        assert_eq!(budget.available(), PUBLISH_BUDGET_BYTES_MAX);
    }
}
