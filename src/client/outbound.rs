//! A message as it is written: names checked, properties encoded.
//!
//! Made from a [`crate::Message`] outside the session's lock. A clone copies no octets.

use bytes::Bytes;
use forebay_wire::{
    RawProperties, SendBuffer, ShortStr,
    limits::{CONTENT_HEADER_FIXED_SIZE, FRAME_ENVELOPE_SIZE},
};

#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    pub(crate) exchange: ShortStr,
    pub(crate) routing_key: ShortStr,
    pub(crate) properties: RawProperties,
    pub(crate) body: Bytes,
    /// The message id by which a return is recognised; present if and only if it is mandatory.
    pub(crate) mandatory_id: Option<ShortStr>,
}

impl Outbound {
    /// Whether its content header, which can't be divided, fits into a frame.
    pub(crate) fn fits(&self, frame_size_max: u32) -> bool {
        let size =
            FRAME_ENVELOPE_SIZE + CONTENT_HEADER_FIXED_SIZE + self.properties.as_bytes().len();
        u32::try_from(size).is_ok_and(|size| size <= frame_size_max)
    }

    pub(crate) fn write(&self, output: &mut SendBuffer, channel: u16, frame_size_max: u32) {
        output.put_publish(
            channel,
            self.exchange.as_bytes(),
            self.routing_key.as_bytes(),
            self.mandatory_id.is_some(),
            self.properties.as_bytes(),
            &self.body,
            frame_size_max,
        );
    }
}
