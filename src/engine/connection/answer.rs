//! What the client is told when the shard has answered its request.

use super::link::Link;
use super::question::Expects;
use super::session::Session;
use crate::event::Reply;
use crate::ids::ChannelId;
use forebay_wire::method::{
    BasicGetEmpty, ChannelCloseOk, QueueDeclareOk, QueueDeleteOk, QueuePurgeOk, TxCommitOk,
};

impl Session {
    pub(super) fn answer(
        &mut self,
        link: &mut Link,
        id: ChannelId,
        expects: Expects,
        reply: Reply,
    ) {
        let output = &mut link.output;
        match (expects, reply) {
            (Expects::ChannelClosed { by_client: true }, _) => {
                output.put_method(id.0, &ChannelCloseOk {});
            }
            // The slot waits for the client's close-ok.
            (Expects::ChannelClosed { by_client: false }, _) | (Expects::Done(None), _) => {}
            (Expects::Done(Some(method)), _) => output.put_method(id.0, &method),
            (
                Expects::QueueDeclared { no_wait },
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
            (Expects::Purged { no_wait: false }, Reply::MessageCount(message_count)) => {
                output.put_method(id.0, &QueuePurgeOk { message_count });
            }
            (Expects::Deleted { no_wait: false }, Reply::MessageCount(message_count)) => {
                output.put_method(id.0, &QueueDeleteOk { message_count });
            }
            (Expects::Message { no_ack }, Reply::Got { queue, delivery, remaining }) => {
                self.delivered_size += delivery.budget_size();
                if let Some((about, channel)) = self.channel(id) {
                    let (queue, size) = ((!no_ack).then_some(queue), about.tuned.frame_size_max);
                    channel.deliver_got(output, queue, &delivery, remaining, size);
                }
            }
            (Expects::Message { .. }, _) => output.put_method(id.0, &BasicGetEmpty {}),
            (Expects::Committed, _) => {
                if let Some((about, channel)) = self.channel(id) {
                    channel.return_unroutable(output, about.tuned.frame_size_max);
                }
                output.put_method(id.0, &TxCommitOk {});
            }
            (
                Expects::Purged { .. } | Expects::Deleted { .. } | Expects::QueueDeclared { .. },
                _,
            ) => {}
        }
    }
}
