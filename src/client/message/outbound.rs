//! A message as it is written: names checked, properties encoded.
//!
//! Made from a [`crate::Message`] outside the session's lock; kept until it is confirmed. A clone
//! copies no bytes.

use bytes::Bytes;
use forebay_wire::{
    RawProperties, SendBuffer, ShortStr,
    limits::{CONTENT_HEADER_FIXED_SIZE, FRAME_ENVELOPE_SIZE},
};

use crate::message::message_id::MessageId;

#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    pub(crate) exchange: ShortStr,
    pub(crate) routing_key: ShortStr,
    pub(crate) properties: OutboundProperties,
    pub(crate) body: Bytes,
    /// The message id by which a return is recognised; present if and only if it is mandatory.
    pub(crate) mandatory_id: Option<ShortStr>,
}

#[derive(Clone, Debug)]
pub(crate) enum OutboundProperties {
    /// Persistent, with a message id of ours and no other property: what most messages carry. Encoded
    /// when it is written, which saves an allocation.
    Plain(MessageId),
    Encoded(RawProperties),
}

/// The flags of delivery mode and message id, delivery mode 2, and the length of the message id.
const PLAIN_HEAD: [u8; 4] = [0x10, 0x80, 2, MessageId::SIZE as u8];
const PLAIN_SIZE: usize = PLAIN_HEAD.len() + MessageId::SIZE;

fn plain(id: MessageId) -> [u8; PLAIN_SIZE] {
    let mut bytes = [0; PLAIN_SIZE];
    let (head, tail) = bytes.split_at_mut(PLAIN_HEAD.len());
    head.copy_from_slice(&PLAIN_HEAD);
    tail.copy_from_slice(&id.bytes());
    bytes
}

impl Outbound {
    /// Whether its content header, which can't be divided, fits into a frame.
    pub(crate) fn fits(&self, frame_size_max: u32) -> bool {
        let properties = match &self.properties {
            OutboundProperties::Plain(_) => PLAIN_SIZE,
            OutboundProperties::Encoded(raw) => raw.as_bytes().len(),
        };
        let size = FRAME_ENVELOPE_SIZE + CONTENT_HEADER_FIXED_SIZE + properties;
        u32::try_from(size).is_ok_and(|size| size <= frame_size_max)
    }

    pub(crate) fn correlation_id(&self) -> Option<ShortStr> {
        match &self.properties {
            OutboundProperties::Plain(_) => None,
            OutboundProperties::Encoded(raw) => raw.decode().correlation_id,
        }
    }

    pub(crate) fn write(&self, output: &mut SendBuffer, channel: u16, frame_size_max: u32) {
        let mut put = |properties: &[u8]| {
            output.put_publish(
                channel,
                self.exchange.as_bytes(),
                self.routing_key.as_bytes(),
                self.mandatory_id.is_some(),
                properties,
                &self.body,
                frame_size_max,
            );
        };
        match &self.properties {
            OutboundProperties::Plain(id) => put(&plain(*id)),
            OutboundProperties::Encoded(raw) => put(raw.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::Properties;

    use super::*;

    #[test]
    fn plain_properties_are_what_the_encoder_writes() {
        let id = MessageId::fresh();
        let properties = Properties {
            delivery_mode: Some(2),
            message_id: Some(id.into()),
            ..Properties::default()
        };
        assert_eq!(plain(id).as_slice(), properties.encode().as_bytes());
    }
}
