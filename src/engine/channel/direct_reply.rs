//! RabbitMQ's direct reply-to: answers to a request go straight to the channel that asked, over
//! the pseudo queue `amq.rabbitmq.reply-to`, without a queue. The requester consumes from it, and its
//! publishes name it in `reply_to`, which becomes a [`ReplyAddress`].

use crate::model::{Fault, ReplyAddress};
use forebay_wire::{ReplyCode, ShortStr};

/// The pseudo queue's name.
pub(crate) const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

/// The consumer of answers on a channel; at most one.
#[derive(Clone, Debug)]
pub(crate) struct ReplyConsumer {
    pub(crate) tag: ShortStr,
    pub(crate) address: ReplyAddress,
    /// What publishes of the channel carry in `reply_to`.
    pub(crate) name: ShortStr,
}

impl ReplyConsumer {
    pub(crate) fn new(address: ReplyAddress, tag: ShortStr) -> Self {
        Self { tag, address, name: address.name() }
    }
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
