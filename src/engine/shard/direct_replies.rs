//! Answers over `amq.rabbitmq.reply-to`: from whoever publishes them to the channel that waits.

use super::Shard;
use crate::command::DirectReply;
use crate::event::{Event, Reply};
use crate::model::{ConnectionId, Fault, ObjectName, ReplyAddress};
use crate::topology::names::Resource;

impl Shard {
    /// Hands an answer to its requester. One that reaches nobody, because the requester has gone,
    /// works in another virtual host or does not read, comes back when it is mandatory.
    pub(super) fn direct_reply(&mut self, from: ConnectionId, reply: DirectReply) {
        let DirectReply { channel, to, message, confirm, mandatory } = reply;
        let requester = to.key.connection;
        let sent = Some(&message).filter(|_| self.is_awaited_in_vhost(from, &to));
        let sent = sent.and_then(|message| self.clients.reply(requester, message.clone()));
        let is_sent = sent.is_some();
        if let Some(message) = sent {
            let event = Event::DirectReply { channel: to.key.channel, token: to.token, message };
            self.outbox.push(requester, event);
        }
        if mandatory && !is_sent {
            self.outbox.push(from, Event::Returned { channel, message });
        }
        if let Some(seq) = confirm {
            self.outbox.push(from, Event::Confirm { channel, first: seq, last: seq });
        }
    }

    /// Whether somebody waits there, in the virtual host of the connection that asks.
    pub(super) fn find_reply_address(
        &self,
        from: ConnectionId,
        name: ObjectName,
    ) -> Result<Reply, Fault> {
        let address = ReplyAddress::parse(&name);
        if address.is_some_and(|address| self.is_awaited_in_vhost(from, &address)) {
            return Ok(Reply::QueueDeclared { name: name.into_short(), messages: 0, consumers: 1 });
        }
        let vhost = self.clients.vhost(from).unwrap_or_default();
        Err(Resource::queue(&name, &vhost).not_found())
    }

    fn is_awaited_in_vhost(&self, from: ConnectionId, to: &ReplyAddress) -> bool {
        self.clients.awaits_replies(to)
            && self.clients.vhost(from) == self.clients.vhost(to.key.connection)
    }
}
