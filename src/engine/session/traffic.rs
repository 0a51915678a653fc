//! What a connection's clients did, counted where it happens and handed out once a turn: one
//! addition to shared counters for a whole batch.

/// Upper bounds of [`Traffic::sizes`] in bytes, RabbitMQ's; what is above has a bucket of its own.
pub const MESSAGE_SIZE_BOUNDS: [u64; 8] =
    [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// Counted since the last [`Connection::poll_traffic`](crate::connection::Connection::poll_traffic).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages that were published.
    pub received: u64,
    /// Those among them whose publisher wants a confirm.
    pub received_confirm: u64,
    /// Those among them that were confirmed because no queue owed anything.
    pub confirmed_at_once: u64,
    /// Messages that no queue took, given back because they were mandatory.
    pub returned: u64,
    /// Messages that no queue took and nobody asked back.
    pub dropped: u64,
    /// Channels that were opened.
    pub channels_opened: u64,
    /// Messages by the size of their body, in the buckets of [`MESSAGE_SIZE_BOUNDS`].
    pub sizes: [u64; Traffic::SIZE_BUCKETS],
    /// Bytes of all bodies.
    pub bytes: u64,
}

impl Traffic {
    /// Buckets of [`Traffic::sizes`].
    pub const SIZE_BUCKETS: usize = MESSAGE_SIZE_BOUNDS.len() + 1;

    /// A message came.
    pub(crate) fn receive(&mut self, body_size: usize, wants_confirm: bool) {
        let size = body_size as u64;
        self.received += 1;
        self.received_confirm += u64::from(wants_confirm);
        self.bytes += size;
        let bucket = MESSAGE_SIZE_BOUNDS.iter().take_while(|bound| size > **bound).count();
        if let Some(count) = self.sizes.get_mut(bucket) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut traffic = Traffic::default();
        for size in [0, 100, 101, 1_000, 100_000_000, 100_000_001] {
            traffic.receive(size, false);
        }
        assert_eq!(traffic.sizes, [2, 2, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(traffic.bytes, 200_001_202);
    }
}
