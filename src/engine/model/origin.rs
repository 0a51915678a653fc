//! Where a dead letter died, as the broker itself wrote it down beside the message. The header
//! `x-death` can't tell: clients publish messages with any headers.
//!
//! ```text
//! origins: count:u8 origin*
//! origin:  queue_len:u8 reason_len:u8 exchange_len:u8 routing_key_len:u8
//!          queue reason exchange routing_key
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay_wire::ShortStr;

/// One death of a message: in which queue and why, and how it had been published there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The queue that it died in.
    pub queue: ShortStr,
    /// Why, as `x-death` names it.
    pub reason: ShortStr,
    /// The exchange that it had been published to.
    pub exchange: ShortStr,
    /// The routing key that it had been published with.
    pub routing_key: ShortStr,
}

impl Origin {
    /// The origins of a message that had `earlier` ones and dies again: the new one, and the latest of
    /// another queue, for a dead letter that comes back to the queue that it died in.
    pub(crate) fn after(self, earlier: Vec<Self>) -> Vec<Self> {
        let other = earlier.into_iter().find(|origin| origin.queue != self.queue);
        std::iter::once(self).chain(other).collect()
    }

    fn parts(&self) -> [&ShortStr; 4] {
        [&self.queue, &self.reason, &self.exchange, &self.routing_key]
    }
}

/// Writes them, the latest first.
pub(crate) fn encode(origins: &[Origin], buffer: &mut BytesMut) {
    buffer.put_u8(origins.len() as u8);
    for origin in origins {
        for part in origin.parts() {
            buffer.put_u8(part.as_bytes().len() as u8);
        }
        for part in origin.parts() {
            buffer.put_slice(part.as_bytes());
        }
    }
}

/// Reads what [`encode`] wrote; `None` when it is anything else.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Vec<Origin>> {
    let mut origins = Vec::new();
    for _ in 0..bytes.try_get_u8().ok()? {
        let mut lengths = [0; 4];
        bytes.try_copy_to_slice(&mut lengths).ok()?;
        let mut part = |length: u8| {
            let length = usize::from(length);
            let part = (bytes.len() >= length).then(|| bytes.split_to(length))?;
            ShortStr::try_from(part).ok()
        };
        let [queue, reason, exchange, routing_key] = lengths;
        origins.push(Origin {
            queue: part(queue)?,
            reason: part(reason)?,
            exchange: part(exchange)?,
            routing_key: part(routing_key)?,
        });
    }
    bytes.is_empty().then_some(origins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Envelope, Message, WallClock};
    use forebay_wire::RawProperties;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = ShortStr> {
        "[a-z]{0,255}".prop_map(|name| ShortStr::try_from(name.as_str()).unwrap())
    }

    fn origin() -> impl Strategy<Value = Origin> {
        (name(), name(), name(), name()).prop_map(|(queue, reason, exchange, routing_key)| Origin {
            queue,
            reason,
            exchange,
            routing_key,
        })
    }

    fn message() -> Message {
        let envelope = Envelope {
            exchange: &ShortStr::from_static("orders"),
            routing_key: &ShortStr::from_static("new"),
            properties: &RawProperties::empty(),
            published_at: WallClock(1),
            expiration: None,
        };
        Message::new(envelope, Bytes::from_static(b"body"), &mut BytesMut::new())
    }

    proptest! {
        #[test]
        fn a_stored_message_keeps_its_origins(origins in prop::collection::vec(origin(), 0..3)) {
            let plain = message();
            let dead = plain.clone().with_origins(&origins);
            prop_assert_eq!(dead.origins(), origins.clone());
            let stored = Message::from_stored(dead.head().clone(), dead.body().clone());
            prop_assert_eq!(stored, Ok(dead.clone()));
            let parts = |message: &Message| {
                (message.exchange().to_vec(), message.routing_key().to_vec(), message.properties_bytes())
            };
            prop_assert_eq!(parts(&dead), parts(&plain));
            prop_assert_eq!(dead.with_origins(&[]), plain);
        }

        #[test]
        fn a_head_that_is_cut_or_longer_is_damaged(origins in prop::collection::vec(origin(), 1..3), cut in 1..40_usize) {
            let head = message().with_origins(&origins).head().clone();
            let shorter = head.slice(..head.len() - cut.min(head.len()));
            prop_assert!(Message::from_stored(shorter, Bytes::new()).is_err());
            let longer = [&head[..], &vec![0; cut]].concat();
            prop_assert!(Message::from_stored(longer.into(), Bytes::new()).is_err());
        }
    }

    #[test]
    fn a_message_that_never_died_is_stored_as_before() {
        assert_eq!(message().head()[0], 1);
        assert_eq!(message().origins(), []);
    }
}
