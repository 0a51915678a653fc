//! One channel: content assembly, publishes and their confirms, consumers, unacked deliveries,
//! transactions (AMQP 0-9-1, 1.5 to 1.9).
//!
//! Owned by its connection, which hands it frames and events. It writes frames and commands through
//! the [`ChannelContext`] it is given, and returns a fault for whatever closes the channel or the
//! connection.

mod confirms;
mod consumers;
mod content;
mod deliveries;
mod direct_reply;
mod envelope;
mod instructions;
mod methods;
mod mode_methods;
mod publish_commands;
mod publishes;
mod returns;
mod settle_commands;
mod settle_methods;
mod topology_methods;
mod transaction;
mod unacked;
mod write_permission;

use crate::model::{ChannelId, ConsumerNumber, Fault, ObjectName, PublishSeq};
use crate::session::ChannelContext;
use crate::session::{ChannelMode, MethodId, OpenChannel};
use bytes::Bytes;
use confirms::{Answer, ConfirmTracker, Verdict};
use consumers::PlainQos;
use content::ContentAssembler;
use direct_reply::ReplyConsumer;
use forebay_wire::method::{BasicAck, BasicNack};
use forebay_wire::{ContentHeader, Method, SendBuffer, ShortStr};
use std::collections::BTreeMap;
use transaction::Transaction;
use unacked::{Unacked, UnackedSet};
use write_permission::WritePermission;

/// An open channel.
#[derive(Debug)]
pub(crate) struct Channel {
    id: ChannelId,
    content: ContentAssembler,
    mode: Mode,
    has_published: bool,
    /// Its publishes are numbered from above this.
    published_to: PublishSeq,
    write_permission: WritePermission,
    unacked: UnackedSet,
    consumers: BTreeMap<ShortStr, ConsumerNumber>,
    last_consumer: ConsumerNumber,
    reply_consumer: Option<ReplyConsumer>,
    /// For consumers to come (`basic.qos` without `global`).
    prefetch: u16,
    plain_qos: PlainQos,
    /// Stands in for an empty queue name.
    last_queue: Option<ObjectName>,
    /// Reused by acknowledgements of many deliveries.
    settled: Vec<Unacked>,
    /// The shard waits to hear that the client uses the channel.
    pub(crate) is_overdue: bool,
}

/// What becomes of publishes and acknowledgements. A mode is never left.
#[derive(Debug)]
enum Mode {
    /// They take effect at once, unanswered.
    Plain,
    /// Publishes are answered (`confirm.select`).
    Confirm(ConfirmTracker),
    /// Both wait for `tx.commit`.
    Transaction(Transaction),
}

impl Channel {
    /// A channel that numbers its publishes from above `published_to`.
    pub(crate) fn new(id: ChannelId, published_to: PublishSeq) -> Self {
        Self {
            id,
            content: ContentAssembler::default(),
            mode: Mode::Plain,
            has_published: false,
            published_to,
            write_permission: WritePermission::default(),
            unacked: UnackedSet::default(),
            consumers: BTreeMap::new(),
            last_consumer: ConsumerNumber(0),
            reply_consumer: None,
            prefetch: 0,
            plain_qos: PlainQos::default(),
            last_queue: None,
            settled: Vec::new(),
            is_overdue: false,
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> OpenChannel {
        let mut described = OpenChannel {
            id: self.id,
            mode: ChannelMode::Plain,
            prefetch: self.prefetch,
            unacked: self.unacked.len() as u64,
            unconfirmed: 0,
            publishes_uncommitted: 0,
            acks_uncommitted: 0,
        };
        match &self.mode {
            Mode::Plain => {}
            Mode::Confirm(tracker) => {
                described.mode = ChannelMode::Confirm;
                described.unconfirmed = tracker.count_open();
            }
            Mode::Transaction(transaction) => {
                described.mode = ChannelMode::Transaction;
                described.publishes_uncommitted = transaction.publishes.len() as u64;
                described.acks_uncommitted = transaction.settled.len() as u64;
            }
        }
        described
    }

    /// Whether it is a publisher's.
    pub(crate) const fn has_published(&self) -> bool {
        self.has_published
    }

    /// Content of which more is to come stays longer than the receive buffer that it came in should.
    pub(crate) fn copy_out_content(&mut self) {
        self.content.copy_out();
    }

    /// Whether the header or some of the body of a publish is still to come.
    pub(crate) const fn has_open_content(&self) -> bool {
        self.content.is_open()
    }

    /// Bytes of content that is not all there and of publishes that are not committed.
    pub(crate) fn unfinished_size(&self) -> usize {
        let uncommitted = match &self.mode {
            Mode::Transaction(transaction) => transaction.publishes_size,
            Mode::Plain | Mode::Confirm(_) => 0,
        };
        self.content.size() + uncommitted
    }

    /// The method that a fault belongs to while content is open.
    pub(crate) fn blamed(&self) -> Option<MethodId> {
        self.content.is_open().then_some(MethodId::BASIC_PUBLISH)
    }

    /// A method of the client.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub(crate) fn handle_method(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: Method,
    ) -> Result<(), Fault> {
        self.content.expect_method()?;
        match method {
            Method::BasicPublish(publish) => self.begin_publish(publish),
            Method::BasicAck(ack) => self.handle_ack(context, ack),
            method => self.handle_other_method(context, method),
        }
    }

    /// A content header.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub(crate) fn handle_header(
        &mut self,
        context: &mut ChannelContext<'_>,
        header: ContentHeader,
    ) -> Result<(), Fault> {
        match self.content.header(header, context.info.tuned.message_size_max)? {
            Some(content) => self.publish(context, content),
            None => Ok(()),
        }
    }

    /// A body frame.
    ///
    /// # Errors
    /// What closes the channel or the connection.
    pub(crate) fn handle_body(
        &mut self,
        context: &mut ChannelContext<'_>,
        body: Bytes,
    ) -> Result<(), Fault> {
        match self.content.body(body)? {
            Some(content) => self.publish(context, content),
            None => Ok(()),
        }
    }

    /// The number of its last publish that is to be confirmed, and of no later one.
    pub(crate) const fn published_to(&self) -> PublishSeq {
        match &self.mode {
            Mode::Confirm(tracker) => tracker.last(),
            Mode::Plain | Mode::Transaction(_) => self.published_to,
        }
    }

    /// The queues have these publishes.
    pub(crate) fn confirm(&mut self, first: PublishSeq, last: PublishSeq) {
        self.resolve(first, last, Verdict::Stored);
    }

    /// A queue refused these publishes.
    pub(crate) fn refuse(&mut self, first: PublishSeq, last: PublishSeq) {
        self.resolve(first, last, Verdict::Refused);
    }

    fn resolve(&mut self, first: PublishSeq, last: PublishSeq, verdict: Verdict) {
        if let Mode::Confirm(tracker) = &mut self.mode {
            tracker.resolve(first, last, verdict);
        }
    }

    /// Whether [`Self::flush_confirms`] has something to write.
    pub(crate) const fn has_confirms(&self) -> bool {
        match &self.mode {
            Mode::Confirm(tracker) => tracker.has_news(),
            Mode::Plain | Mode::Transaction(_) => false,
        }
    }

    /// Whether confirms are to be written although other output waits.
    pub(crate) const fn has_overdue_confirms(&self) -> bool {
        match &self.mode {
            Mode::Confirm(tracker) => tracker.is_overdue(),
            Mode::Plain | Mode::Transaction(_) => false,
        }
    }

    /// Writes the confirms of all publishes that were decided since the last time.
    pub(crate) fn flush_confirms(&mut self, output: &mut SendBuffer) {
        let Mode::Confirm(tracker) = &mut self.mode else { return };
        let channel = self.id.0;
        let mut answers = Vec::new();
        tracker.flush(&mut answers);
        for Answer { verdict, seq, multiple } in answers {
            let delivery_tag = seq.0 - self.published_to.0;
            match verdict {
                Verdict::Stored => {
                    output.put_method(channel, &BasicAck { delivery_tag, multiple });
                }
                Verdict::Refused => {
                    let nack = BasicNack { delivery_tag, multiple, requeue: false };
                    output.put_method(channel, &nack);
                }
            }
        }
    }
}
