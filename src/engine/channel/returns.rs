//! Mandatory messages that no queue takes: `basic.return` (AMQP 0-9-1, 1.8.3.8).

use super::Channel;
use super::content::{Address, Content};
use super::deliveries::name;
use crate::model::{ChannelId, Message};
use forebay_wire::method::BasicReturn;
use forebay_wire::{ReplyCode, SendBuffer, ShortStr};

/// A message on its way back to its publisher, as it came. Copied into the output: a client that
/// does not read would keep the buffers alive that its messages came in.
#[derive(Debug)]
pub(crate) struct Return(pub(crate) Content);

impl Return {
    pub(crate) fn write(self, output: &mut SendBuffer, channel: ChannelId, frame_size_max: u32) {
        let Content { address, properties, body } = self.0.copied_out();
        let method = BasicReturn {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ShortStr::from_static("NO_ROUTE"),
            exchange: address.exchange.into_short(),
            routing_key: address.routing_key,
        };
        output.put_content(channel.0, &method, &properties, &body, frame_size_max);
    }
}

impl Channel {
    /// A mandatory answer reached nobody.
    pub(crate) fn return_reply(
        &mut self,
        output: &mut SendBuffer,
        message: &Message,
        frame_size_max: u32,
    ) {
        self.flush_confirms(output);
        let address = Address {
            exchange: name(message.exchange()).into(),
            routing_key: name(message.routing_key()),
            is_mandatory: true,
        };
        let (properties, body) = (message.shown_properties(), message.body().clone());
        Return(Content { address, properties, body }).write(output, self.id, frame_size_max);
    }
}
