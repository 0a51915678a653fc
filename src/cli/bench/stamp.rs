//! What a body says about its message.
//!
//! ```text
//! "fbbn"  run:u32  producer:u16  number:u48  time:u64 (ns of Unix time, when it was to be sent)  filler
//! ```
//!
//! The run tells messages of this run from those that another one left in the queue.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Bytes in front of the filler.
pub(super) const STAMP_SIZE: usize = 24;

const MAGIC: &[u8; 4] = b"fbbn";
const NUMBER_SIZE: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) run: u32,
    pub(super) producer: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) source: Source,
    pub(super) number: u64,
    pub(super) time: u64,
}

impl Stamp {
    /// A body of `filler.len() + STAMP_SIZE` bytes.
    pub(super) fn body(self, filler: &[u8]) -> Bytes {
        let mut body = BytesMut::with_capacity(STAMP_SIZE + filler.len());
        body.put_slice(MAGIC);
        body.put_u32(self.source.run);
        body.put_u16(self.source.producer);
        body.put_uint(self.number, NUMBER_SIZE);
        body.put_u64(self.time);
        body.put_slice(filler);
        body.freeze()
    }

    /// `None` when it is no body of a bench.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut body = body.strip_prefix(MAGIC)?;
        if body.len() + MAGIC.len() < STAMP_SIZE {
            return None;
        }
        let source = Source { run: body.get_u32(), producer: body.get_u16() };
        Some(Self { source, number: body.get_uint(NUMBER_SIZE), time: body.get_u64() })
    }
}

/// Unix time as the monotonic clock sees it: steps of the system's clock do not matter, and another
/// process on the same machine measures alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begin: Instant,
    begin_unix_ns: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begin_unix_ns = u64::try_from(since.as_nanos()).unwrap_or(0);
        Self { begin: Instant::now(), begin_unix_ns }
    }

    pub(super) fn begin(&self) -> Instant {
        self.begin
    }

    pub(super) fn unix_ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begin).as_nanos();
        self.begin_unix_ns.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let source = Source { run: u32::MAX, producer: 3 };
        let stamp = Stamp { source, number: 1 << 40, time: 77 };
        let body = stamp.body(&[0; 10]);
        assert_eq!(body.len(), STAMP_SIZE + 10);
        assert_eq!(Stamp::read(&body), Some(stamp));
        for length in 0..STAMP_SIZE {
            assert_eq!(Stamp::read(&body[..length]), None, "{length}");
        }
        assert_eq!(Stamp::read(&[b'x'; 64]), None, "a message of somebody else");
    }
}
