//! Messages on their way to the client.

use super::Channel;
use crate::event::Delivery;
use crate::ids::{DeliveryTag, QueueId};
use crate::message::Message;
use bytes::Bytes;
use forebay_wire::method::BasicGetOk;
use forebay_wire::{FieldValue, RawProperties, SendBuffer, ShortStr};

impl Channel {
    /// `basic.deliver`. `queue` is what the channel settles it with; nothing: settled by being
    /// sent.
    pub(crate) fn deliver(
        &mut self,
        output: &mut SendBuffer,
        consumer_tag: &ShortStr,
        queue: Option<QueueId>,
        delivery: &Delivery,
        frame_size_max: u32,
    ) {
        let tag = self.tag(queue, delivery);
        let Delivery { message, redelivered, .. } = delivery;
        let counted = with_counts(delivery);
        output.put_deliver(
            self.id.0,
            consumer_tag,
            tag.0,
            *redelivered,
            message.exchange(),
            message.routing_key(),
            counted.as_ref().map_or(message.properties(), RawProperties::as_bytes),
            message.body(),
            frame_size_max,
        );
    }

    /// `basic.get-ok`.
    pub(crate) fn deliver_got(
        &mut self,
        output: &mut SendBuffer,
        queue: Option<QueueId>,
        delivery: &Delivery,
        remaining: u32,
        frame_size_max: u32,
    ) {
        let Delivery { message, redelivered, .. } = delivery;
        let method = BasicGetOk {
            delivery_tag: self.tag(queue, delivery).0,
            redelivered: *redelivered,
            exchange: name(message.exchange()),
            routing_key: name(message.routing_key()),
            message_count: remaining,
        };
        let properties = with_counts(delivery).unwrap_or_else(|| raw_properties(message));
        output.put_content(self.id.0, &method, &properties, message.body(), frame_size_max);
    }

    /// An answer over the pseudo queue; dropped unless it carries the address that this channel
    /// gave out last.
    pub(crate) fn deliver_reply(
        &mut self,
        output: &mut SendBuffer,
        message: &Message,
        frame_size_max: u32,
    ) {
        let consumer = self.reply_consumer.as_ref();
        let Some(consumer) =
            consumer.filter(|consumer| consumer.address.as_bytes() == message.routing_key())
        else {
            return;
        };
        output.put_deliver(
            self.id.0,
            &consumer.tag,
            self.unacked.issue().0,
            false,
            message.exchange(),
            message.routing_key(),
            message.properties(),
            message.body(),
            frame_size_max,
        );
    }

    fn tag(&mut self, queue: Option<QueueId>, delivery: &Delivery) -> DeliveryTag {
        match queue {
            Some(queue) => self.unacked.hold(queue, delivery.position),
            None => self.unacked.issue(),
        }
    }
}

/// The properties with the counts of failures and returns in them; nothing when there were none.
fn with_counts(delivery: &Delivery) -> Option<RawProperties> {
    let counts = delivery.counts();
    if counts.is_empty() {
        return None;
    }
    let mut properties = raw_properties(&delivery.message).decode();
    let headers = properties.headers.get_or_insert_default();
    for (name, count) in counts {
        headers.insert(name, FieldValue::I64(count));
    }
    Some(properties.encode())
}

/// They were checked when the message came, and its page by a checksum.
fn raw_properties(message: &Message) -> RawProperties {
    RawProperties::parse(message.properties_bytes()).unwrap_or_else(|_| RawProperties::empty())
}

fn name(octets: &[u8]) -> ShortStr {
    ShortStr::try_from(Bytes::copy_from_slice(octets)).unwrap_or_default()
}
