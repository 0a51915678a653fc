//! Every bound of the client, with its unit in its name, and the relations between them.
//!
//! Read by the whole crate; what a user may change stands in [`crate::ConnectOptions`] and in the
//! options of publishers, consumers and workers, with these as defaults.

use std::time::Duration;

/// Messages that a publisher may have unconfirmed before `publish` waits.
pub const CONFIRM_WINDOW_DEFAULT: usize = 2_048;
/// The widest confirm window that may be asked for.
pub const CONFIRM_WINDOW_MAX: usize = 1 << 20;
/// The longest wait that a consumer may ask for: ten years.
pub const RETRY_DELAY_MS_MAX: u64 = 315_360_000_000;
/// Deliveries that a consumer holds unsettled before the broker waits.
pub const PREFETCH_DEFAULT: u16 = 64;
/// Bytes waiting for the socket above which publishers wait.
pub const OUTPUT_SIZE_MAX: usize = 1 << 20;
/// Bytes of bodies that a publisher may have unconfirmed before `publish` waits. They are kept until
/// they are confirmed.
pub const UNCONFIRMED_SIZE_MAX: usize = 32 << 20;
/// Bytes that are read ahead for consumers without a prefetch limit before the socket is read no more.
pub const READ_AHEAD_SIZE_MAX: usize = 8 << 20;
/// What a delivery counts beside its body, in bytes.
pub const DELIVERY_OVERHEAD: usize = 256;
/// Bytes asked from the socket in one read.
pub const READ_SIZE: usize = 64 * 1_024;
/// Bytes read in one turn before the other direction gets its chance.
pub const READ_TURN_SIZE_MAX: usize = 16 * READ_SIZE;
/// The largest frame that the client proposes, in bytes.
pub const FRAME_SIZE_MAX: u32 = 128 * 1_024;
/// The heartbeat interval that the client proposes.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);
/// For one address: name look-up, TCP, TLS and the AMQP handshake together.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long a closing connection waits for the broker's `connection.close-ok`.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for its reply.
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The first wait between two attempts to reconnect.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to reconnect.
pub const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// A connection that lived this long starts again with the shortest wait.
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);
/// How long a restored connection tries again to get what the lost one still holds, an exclusive queue
/// or the only place at one: two heartbeat intervals, after which a broker misses a client, and a
/// little. Everything else goes on meanwhile.
pub const EXCLUSIVE_WAIT_MAX: Duration = Duration::from_secs(70);
/// The longest wait before that is tried again.
pub const HELD_RETRY_MAX: Duration = Duration::from_secs(1);
/// The largest body that is assembled from frames, in bytes; a larger one closes the connection.
pub const BODY_SIZE_MAX: u64 = 512 * 1_024 * 1_024;
/// Bytes reserved at once for a body of several frames; the rest grows as it arrives.
pub const BODY_RESERVED_MAX: usize = 1 << 20;

const _: () = {
    assert!(CONFIRM_WINDOW_DEFAULT <= CONFIRM_WINDOW_MAX);
    assert!(READ_SIZE <= READ_TURN_SIZE_MAX);
    assert!(READ_TURN_SIZE_MAX <= READ_AHEAD_SIZE_MAX);
    assert!(DELIVERY_OVERHEAD < READ_AHEAD_SIZE_MAX);
    assert!(FRAME_SIZE_MAX as usize <= OUTPUT_SIZE_MAX);
    assert!(FRAME_SIZE_MAX >= forebay_wire::limits::FRAME_SIZE_MIN);
    assert!(BACKOFF_FIRST.as_millis() <= BACKOFF_MAX.as_millis());
    assert!(BODY_RESERVED_MAX as u64 <= BODY_SIZE_MAX);
};
