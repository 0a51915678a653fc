//! Mandatory messages that no queue takes: `basic.return` (AMQP 0-9-1, 1.8.3.8).

use super::content::Content;
use crate::ids::ChannelId;
use forebay_wire::method::BasicReturn;
use forebay_wire::{ReplyCode, SendBuffer, ShortStr};

/// A message on its way back to its publisher, as it came.
#[derive(Debug)]
pub(crate) struct Return(pub(crate) Content);

impl Return {
    pub(crate) fn write(self, output: &mut SendBuffer, channel: ChannelId, frame_size_max: u32) {
        let Content { publish, properties, body } = self.0;
        let method = BasicReturn {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ShortStr::from_static("NO_ROUTE"),
            exchange: publish.exchange,
            routing_key: publish.routing_key,
        };
        output.put_content(channel.0, &method, &properties, &body, frame_size_max);
    }
}
