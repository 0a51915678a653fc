//! A `reply_to` that names the pseudo queue, in the properties of a message that a client publishes.

use super::direct_reply::{REPLY_QUEUE, ReplyConsumer};
use crate::model::Fault;
use crate::published_properties::refused;
use forebay_wire::RawProperties;

/// The properties with the requester's address in place of the pseudo queue's name; nothing when
/// they don't name it.
///
/// # Errors
/// 406 when the channel does not consume from the pseudo queue.
pub(crate) fn with_reply_address(
    properties: &RawProperties,
    consumer: Option<&ReplyConsumer>,
) -> Result<Option<RawProperties>, Fault> {
    if properties.reply_to().is_none_or(|name| name != REPLY_QUEUE) {
        return Ok(None);
    }
    let Some(consumer) = consumer else {
        return Err(refused("fast reply consumer does not exist".to_owned()));
    };
    let mut decoded = properties.decode();
    decoded.reply_to = Some(consumer.name.clone());
    Ok(Some(decoded.encode()))
}
