//! The address that a requester's publishes carry in `reply_to` in place of the pseudo queue
//! `amq.rabbitmq.reply-to`. Who publishes to it through the default exchange reaches the requester.
//!
//! ```text
//! amq.rabbitmq.reply-to.<connection>.<channel>.<token>   (hexadecimal)
//! ```

use super::{ChannelId, ChannelKey, ConnectionId};
use forebay_wire::ShortStr;

const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// A channel that waits for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyAddress {
    /// The channel.
    pub key: ChannelKey,
    /// What can't be guessed: to know it is the permission to answer.
    pub token: u128,
}

impl ReplyAddress {
    /// Whether a name is one of an address, good or not.
    pub(crate) fn is_named_by(name: &ShortStr) -> bool {
        name.as_bytes().starts_with(PREFIX.as_bytes())
    }

    /// The address that a name stands for; nothing when it is none that was ever given.
    #[must_use]
    pub fn parse(name: &ShortStr) -> Option<Self> {
        if !Self::is_named_by(name) {
            return None;
        }
        let mut parts = name.as_str()?.strip_prefix(PREFIX)?.split('.');
        let connection = ConnectionId(u64::from_str_radix(parts.next()?, 16).ok()?);
        let channel = ChannelId(u16::from_str_radix(parts.next()?, 16).ok()?);
        let token = u128::from_str_radix(parts.next()?, 16).ok()?;
        let address = Self { key: ChannelKey { connection, channel }, token };
        // Written in one way only, so that one requester has one name.
        (parts.next().is_none() && address.name() == *name).then_some(address)
    }

    /// The name that stands for it.
    #[must_use]
    pub fn name(&self) -> ShortStr {
        let Self { key: ChannelKey { connection, channel }, token } = self;
        let text = format!("{PREFIX}{:x}.{:x}.{token:032x}", connection.0, channel.0);
        ShortStr::try_from(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_back_to_its_channel() {
        let key = ChannelKey { connection: ConnectionId(u64::MAX), channel: ChannelId(2047) };
        let address = ReplyAddress { key, token: 7 };
        assert!(ReplyAddress::is_named_by(&address.name()));
        assert_eq!(ReplyAddress::parse(&address.name()), Some(address));
    }

    #[test]
    fn a_made_up_address_leads_nowhere() {
        for name in [
            "",
            "x",
            "amq.rabbitmq.reply-to",
            "amq.rabbitmq.reply-to.",
            "amq.rabbitmq.reply-to.1.1",
            "amq.rabbitmq.reply-to.1.1.1",
            "amq.rabbitmq.reply-to.1.1.1.1",
            "amq.rabbitmq.reply-to.1.1.+0000000000000000000000000000001",
            "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA",
        ] {
            assert_eq!(ReplyAddress::parse(&ShortStr::try_from(name).unwrap()), None, "{name}");
        }
    }
}
