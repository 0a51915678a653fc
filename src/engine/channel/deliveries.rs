//! Messages on their way to the client.

use super::Channel;
use crate::event::Delivery;
use crate::model::{DeliveryTag, Message, QueueId};
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
        let changed = changed_properties(delivery);
        output.put_deliver(
            self.id.0,
            consumer_tag,
            tag.0,
            *redelivered,
            message.exchange(),
            message.routing_key(),
            changed.as_ref().map_or(message.properties(), RawProperties::as_bytes),
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
        let properties = changed_properties(delivery).unwrap_or_else(|| message.shown_properties());
        output.put_content(self.id.0, &method, &properties, message.body(), frame_size_max);
    }

    /// An answer over the pseudo queue; dropped unless it carries the address that this channel
    /// gave out last.
    pub(crate) fn deliver_reply(
        &mut self,
        output: &mut SendBuffer,
        token: u128,
        message: &Message,
        frame_size_max: u32,
    ) {
        let consumer = self.reply_consumer.as_ref();
        let Some(consumer) = consumer.filter(|consumer| consumer.address.token == token) else {
            return;
        };
        let hidden = message.has_blind_copies().then(|| message.shown_properties());
        output.put_deliver(
            self.id.0,
            &consumer.tag,
            self.unacked.issue().0,
            false,
            message.exchange(),
            message.routing_key(),
            hidden.as_ref().map_or(message.properties(), RawProperties::as_bytes),
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

/// The properties without `BCC` and with the counts of failures and returns in them; nothing when
/// they are those of the message.
fn changed_properties(delivery: &Delivery) -> Option<RawProperties> {
    let (message, counts) = (&delivery.message, delivery.counts());
    if counts.is_empty() {
        return message.has_blind_copies().then(|| message.shown_properties());
    }
    let mut properties = message.shown_properties().decode();
    let headers = properties.headers.get_or_insert_default();
    for (name, count) in counts {
        headers.insert(name, FieldValue::I64(count));
    }
    Some(properties.encode())
}

pub(super) fn name(bytes: &[u8]) -> ShortStr {
    ShortStr::try_from(Bytes::copy_from_slice(bytes)).unwrap_or_default()
}
