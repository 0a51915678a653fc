//! RabbitMQ's direct reply-to: answers to a request go straight to the channel that asked, over
//! the pseudo queue `amq.rabbitmq.reply-to`, without a queue. The requester consumes from it, its
//! publishes name it in `reply_to`, which becomes a name with a token; whoever publishes to that
//! name through the default exchange reaches the channel.
//!
//! ```text
//! amq.rabbitmq.reply-to.<connection>.<channel>.<nonce>   (hexadecimal)
//! ```

use crate::fault::Fault;
use crate::ids::{ChannelId, ChannelKey, ConnectionId};
use forebay_wire::{ReplyCode, ShortStr};

/// The pseudo queue's name.
pub(crate) const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

const TOKEN_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// The consumer of answers on a channel; at most one.
#[derive(Clone, Debug)]
pub(crate) struct ReplyConsumer {
    pub(crate) tag: ShortStr,
    /// What publishes of the channel carry in `reply_to`. Its nonce can't be guessed: knowing it
    /// is the permission to answer.
    pub(crate) address: ShortStr,
}

impl ReplyConsumer {
    pub(crate) fn new(key: ChannelKey, nonce: u128, tag: ShortStr) -> Self {
        let text = format!("{TOKEN_PREFIX}{:x}.{:x}.{nonce:032x}", key.connection.0, key.channel.0);
        Self { tag, address: ShortStr::try_from(text.as_str()).unwrap_or_default() }
    }
}

/// Whether a routing key on the default exchange may name a requester.
pub(crate) fn is_reply_address(name: &ShortStr) -> bool {
    name.as_bytes().starts_with(TOKEN_PREFIX.as_bytes())
}

/// The channel that an address names; nothing when it is none of ours.
pub(crate) fn addressee(name: &ShortStr) -> Option<ChannelKey> {
    let mut parts = name.as_str()?.strip_prefix(TOKEN_PREFIX)?.split('.');
    let connection = u64::from_str_radix(parts.next()?, 16).ok()?;
    let channel = u16::from_str_radix(parts.next()?, 16).ok()?;
    let _nonce = u128::from_str_radix(parts.next()?, 16).ok()?;
    if parts.next().is_some() || channel == 0 {
        return None;
    }
    Some(ChannelKey { connection: ConnectionId(connection), channel: ChannelId(channel) })
}

/// Checks a `basic.consume` of the pseudo queue.
///
/// # Errors
/// 406 when it is to be acknowledged, or the channel consumes from it already.
pub(crate) fn check_consume(no_ack: bool, current: Option<&ReplyConsumer>) -> Result<(), Fault> {
    let text = match current {
        _ if !no_ack => "reply consumer cannot acknowledge",
        Some(_) => "reply consumer already set",
        None => return Ok(()),
    };
    Err(Fault::channel(ReplyCode::PreconditionFailed, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_back_to_its_channel() {
        let key = ChannelKey { connection: ConnectionId(u64::MAX), channel: ChannelId(2047) };
        let consumer = ReplyConsumer::new(key, u128::MAX, ShortStr::default());
        assert!(is_reply_address(&consumer.address));
        assert_eq!(addressee(&consumer.address), Some(key));
    }

    #[test]
    fn a_made_up_address_leads_nowhere() {
        for name in [
            "",
            "x",
            REPLY_QUEUE,
            "amq.rabbitmq.reply-to.",
            "amq.rabbitmq.reply-to.1.0.1",
            "amq.rabbitmq.reply-to.1.1",
            "amq.rabbitmq.reply-to.1.1.1.1",
            "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA",
        ] {
            assert_eq!(addressee(&ShortStr::try_from(name).unwrap()), None, "{name}");
        }
    }
}
