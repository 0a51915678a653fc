//! What a body says about its message.
//!
//! ```text
//! producer:u64 number:u64 time:u64 (ns since the begin of the run, when it was to be sent) filler
//! ```

use bytes::{BufMut, Bytes, BytesMut};

/// Octets in front of the filler.
pub(super) const STAMP_SIZE: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) producer: u32,
    pub(super) number: u64,
    pub(super) time: u64,
}

impl Stamp {
    /// A body of `filler.len() + STAMP_SIZE` octets.
    pub(super) fn body(self, filler: &[u8]) -> Bytes {
        let mut body = BytesMut::with_capacity(STAMP_SIZE + filler.len());
        body.put_u64(self.producer.into());
        body.put_u64(self.number);
        body.put_u64(self.time);
        body.put_slice(filler);
        body.freeze()
    }

    /// `None` when it is no body of ours.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (producer, rest) = body.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let time = rest.first_chunk()?;
        Some(Self {
            producer: u32::try_from(u64::from_be_bytes(*producer)).ok()?,
            number: u64::from_be_bytes(*number),
            time: u64::from_be_bytes(*time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let stamp = Stamp { producer: 3, number: 1 << 40, time: 77 };
        let body = stamp.body(&[0; 10]);
        assert_eq!(body.len(), STAMP_SIZE + 10);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(Stamp::read(b"short"), None);
    }
}
