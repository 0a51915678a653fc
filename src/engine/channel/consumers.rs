//! Consumers: consume, cancel, get, qos (AMQP 0-9-1, 1.8.3.1 to 1.8.3.5 and 1.8.3.10).

use super::Channel;
use super::direct_reply::{REPLY_QUEUE, ReplyConsumer, check_consume};
use crate::access::{Access, Object};
use crate::command::{Command, Subscribe};
use crate::model::{ChannelKey, ConsumerNumber, Fault, ObjectName, ReplyAddress};
use crate::session::ChannelContext;
use crate::session::{AwaitedReply, MethodId};
use forebay_wire::method::{
    BasicCancel, BasicCancelOk, BasicConsume, BasicConsumeOk, BasicGet, BasicQos, BasicQosOk,
};
use forebay_wire::{Method, ReplyCode, SendBuffer, ShortStr};

/// What `basic.qos` without `global` limits on a channel of py-amqp's.
///
/// Celery sends it once before its first consumer, and later to change the limit of all of them. An
/// application with several kombu `Consumer`s, as nameko is, sends it once for each of them before
/// the first consumes, and needs a limit of each: its workers wait for replies, which its last
/// consumer could not take once the others had used up a common limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PlainQos {
    #[default]
    Unused,
    /// All consumers of the channel together.
    Channel,
    /// Each consumer to come, as in RabbitMQ: the client sent it again before its first consumer.
    EachConsumer,
}

impl Channel {
    pub(super) fn handle_qos(
        &mut self,
        context: &mut ChannelContext<'_>,
        qos: BasicQos,
    ) -> Result<(), Fault> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Fault::connection(ReplyCode::NotImplemented, text));
        }
        let (channel, count) = (self.id, qos.prefetch_count);
        if qos.global
            || (context.info.client.qos_is_for_the_channel && self.limits_channel(context))
        {
            context.outputs.commands.push(Command::SetPrefetch { channel, count });
        } else {
            self.prefetch = count;
            context.outputs.channels_changed = true;
        }
        context.send(self.id, &BasicQosOk {});
        Ok(())
    }

    /// Whether `basic.qos` without `global` limits the channel, for a client that leaves `global`
    /// clear in the standard's meaning ([`PlainQos`]).
    fn limits_channel(&mut self, context: &mut ChannelContext<'_>) -> bool {
        let has_consumed = self.last_consumer != ConsumerNumber(0);
        if self.plain_qos == PlainQos::Channel && !has_consumed {
            self.plain_qos = PlainQos::EachConsumer;
            // The first request limited the channel: that limit goes.
            context.outputs.commands.push(Command::SetPrefetch { channel: self.id, count: 0 });
        } else if self.plain_qos == PlainQos::Unused {
            self.plain_qos = PlainQos::Channel;
        }
        self.plain_qos == PlainQos::Channel
    }

    pub(super) fn handle_consume(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        consume: BasicConsume,
    ) -> Result<(), Fault> {
        let queue = self.named_queue(&consume.queue)?;
        let is_reply_queue = queue == REPLY_QUEUE;
        if is_reply_queue {
            check_consume(consume.no_ack, self.reply_consumer.as_ref())?;
        }
        if !is_reply_queue {
            check_read(context, &queue)?;
        }
        let consumer_tag = self.choose_tag(context, &consume.consumer_tag)?;
        let ok = BasicConsumeOk { consumer_tag: consumer_tag.clone() };
        self.last_consumer = ConsumerNumber(self.last_consumer.0 + 1);
        self.consumers.insert(consumer_tag.clone(), self.last_consumer);
        if is_reply_queue {
            let key = ChannelKey { connection: context.outputs.id, channel: self.id };
            let address = ReplyAddress { key, token: context.outputs.random.token() };
            self.reply_consumer = Some(ReplyConsumer::new(address, consumer_tag));
            self.await_replies(context, Some(address.token));
            if !consume.no_wait {
                context.send(self.id, &ok);
            }
            return Ok(());
        }
        let answer = (!consume.no_wait).then(|| ok.into());
        let command = Command::Subscribe(Subscribe {
            channel: self.id,
            queue,
            consumer_tag,
            number: self.last_consumer,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: self.prefetch,
            arguments: consume.arguments.detached(),
        });
        context.request(self.id, method, AwaitedReply::Done(answer), command);
        Ok(())
    }

    fn choose_tag(
        &self,
        context: &mut ChannelContext<'_>,
        wanted: &ShortStr,
    ) -> Result<ShortStr, Fault> {
        if wanted.is_empty() {
            let name = format!("amq.ctag-{}", context.outputs.random.name_suffix());
            return Ok(ShortStr::try_from(name).unwrap_or_default());
        }
        if self.consumers.contains_key(wanted) {
            let text = format!("attempt to reuse consumer tag '{wanted}'");
            return Err(Fault::connection(ReplyCode::NotAllowed, text));
        }
        Ok(wanted.detached())
    }

    /// A tag that is not there is answered all the same: the consumer may have been cancelled by
    /// the broker while the request was on its way.
    pub(super) fn handle_cancel(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        cancel: BasicCancel,
    ) {
        let BasicCancel { consumer_tag, no_wait } = cancel;
        let known = self.consumers.remove(&consumer_tag).is_some();
        let is_reply = self.reply_consumer.as_ref().is_some_and(|reply| reply.tag == consumer_tag);
        if is_reply {
            self.reply_consumer = None;
            self.await_replies(context, None);
        }
        let ok = BasicCancelOk { consumer_tag: consumer_tag.clone() };
        if known && !is_reply {
            let answer: Option<Method> = (!no_wait).then(|| ok.into());
            let command = Command::Cancel { channel: self.id, consumer_tag };
            context.request(self.id, method, AwaitedReply::Done(answer), command);
        } else if !no_wait {
            context.send(self.id, &ok);
        }
    }

    fn await_replies(&self, context: &mut ChannelContext<'_>, token: Option<u128>) {
        context.outputs.commands.push(Command::AwaitReplies { channel: self.id, token });
    }

    pub(super) fn handle_get(
        &mut self,
        context: &mut ChannelContext<'_>,
        method: MethodId,
        get: BasicGet,
    ) -> Result<(), Fault> {
        let queue = self.named_queue(&get.queue)?;
        check_read(context, &queue)?;
        let command = Command::Get { channel: self.id, queue, no_ack: get.no_ack };
        context.request(self.id, method, AwaitedReply::Message { no_ack: get.no_ack }, command);
        Ok(())
    }

    /// The queue of a consumer is gone. A client that would not understand is not told, nor is one
    /// that has cancelled it meanwhile: another consumer may have the tag.
    pub(crate) fn lose_consumer(
        &mut self,
        output: &mut SendBuffer,
        number: ConsumerNumber,
        notify: bool,
    ) {
        let mut consumers = self.consumers.iter();
        let lost = consumers.find(|(_, other)| **other == number);
        let Some(consumer_tag) = lost.map(|(tag, _)| tag.clone()) else { return };
        self.consumers.remove(&consumer_tag);
        if notify {
            output.put_method(self.id.0, &BasicCancel { consumer_tag, no_wait: true });
        }
    }
}

fn check_read(context: &ChannelContext<'_>, queue: &ObjectName) -> Result<(), Fault> {
    let (permissions, info) = (context.access.permissions(), context.info);
    permissions.check(&info.user, &info.vhost, Access::Read, Object::Queue(queue))
}
