//! What the client is told when the shard has answered its request.

use super::session::Session;
use crate::event::Reply;
use crate::model::ChannelId;
use crate::session::AwaitedReply;
use crate::session::ConnectionOutputs;
use forebay_wire::method::{
    BasicGetEmpty, ChannelCloseOk, QueueDeclareOk, QueueDeleteOk, QueuePurgeOk, TxCommitOk,
};

impl Session {
    pub(super) fn answer(
        &mut self,
        outputs: &mut ConnectionOutputs,
        id: ChannelId,
        awaited: AwaitedReply,
        reply: Reply,
    ) {
        let output = &mut outputs.output;
        match (awaited, reply) {
            (AwaitedReply::ChannelClosed { by_client: true }, _) => {
                output.put_method(id.0, &ChannelCloseOk {});
            }
            // The slot waits for the client's close-ok.
            (AwaitedReply::ChannelClosed { by_client: false }, _)
            | (AwaitedReply::Done(None), _) => {}
            (AwaitedReply::Done(Some(method)), _) => output.put_method(id.0, &method),
            (
                AwaitedReply::QueueDeclared { no_wait },
                Reply::QueueDeclared { name, messages, consumers },
            ) => {
                if let Some((_, channel)) = self.channel(id) {
                    channel.remember_queue(&name);
                }
                if !no_wait {
                    let ok = QueueDeclareOk {
                        queue: name,
                        message_count: messages,
                        consumer_count: consumers,
                    };
                    output.put_method(id.0, &ok);
                }
            }
            (AwaitedReply::Purged { no_wait: false }, Reply::MessageCount(message_count)) => {
                output.put_method(id.0, &QueuePurgeOk { message_count });
            }
            (AwaitedReply::Deleted { no_wait: false }, Reply::MessageCount(message_count)) => {
                output.put_method(id.0, &QueueDeleteOk { message_count });
            }
            (AwaitedReply::Message { no_ack }, Reply::Got { queue, delivery, remaining }) => {
                self.delivered_size += delivery.budget_size();
                if let Some((info, channel)) = self.channel(id) {
                    let (queue, size) = ((!no_ack).then_some(queue), info.tuned.frame_size_max);
                    channel.deliver_got(output, queue, &delivery, remaining, size);
                }
            }
            (AwaitedReply::Message { .. }, _) => output.put_method(id.0, &BasicGetEmpty {}),
            (AwaitedReply::Committed, _) => {
                if let Some((info, channel)) = self.channel(id) {
                    channel.return_unroutable(output, info.tuned.frame_size_max);
                }
                output.put_method(id.0, &TxCommitOk {});
            }
            (
                AwaitedReply::Purged { .. }
                | AwaitedReply::Deleted { .. }
                | AwaitedReply::QueueDeclared { .. },
                _,
            ) => {}
        }
    }
}
