//! What one client may cost, in one place.

/// A content header, method or body frame before tuning: RabbitMQ's start-ok with a long token
/// must fit.
pub(crate) const HANDSHAKE_FRAME_SIZE_MAX: u32 = 8192;

/// From the first octet to `connection.open`, in ms.
pub(crate) const HANDSHAKE_TIME_MS_MAX: u64 = 10_000;

/// From our `connection.close` to the client's close-ok, in ms; then the socket is dropped.
pub(crate) const CLOSE_TIME_MS_MAX: u64 = 10_000;

/// The same after octets that are no frames, among which the close-ok can't be found.
pub(crate) const CLOSE_TIME_UNREADABLE_MS_MAX: u64 = 1_000;

/// Answers (not deliveries, which have a budget of their own) that may wait for a client which
/// does not read; above it the connection takes no input.
pub(crate) const ANSWERS_UNWRITTEN_SIZE_MAX: usize = 1 << 20;

/// Octets of direct replies that have left for the socket and that the shard is told of together.
pub(crate) const REPLIES_UNREPORTED_SIZE_MAX: usize = crate::limits::REPLIES_OCTETS_MAX / 8;

/// Octets of bodies that are not all there and of publishes in transactions that one connection may
/// have: room for two messages of the largest size.
pub(crate) const UNFINISHED_SIZE_MAX: usize = 2 * forebay_wire::limits::MESSAGE_SIZE_MAX as usize;

/// The same while memory is short: whoever has more is closed, or it would never be given back.
pub(crate) const UNFINISHED_SHORT_OF_MEMORY_SIZE_MAX: usize = 128 * 1024;

/// What a publish in a transaction takes beside its octets, about.
pub(crate) const UNFINISHED_PUBLISH_OVERHEAD: usize = 256;

/// Publishes of a connection after which it looks again whether its rate is limited.
pub(crate) const PUBLISHES_UNCHECKED_MAX: u32 = 1000;

/// A chunk that message heads are cut from. It lives until the last of them is gone, so it is
/// small; one allocation serves some dozens of messages.
pub(crate) const HEAD_ARENA_SIZE: usize = 4096;

/// Routes that a channel remembers.
pub(crate) const ROUTE_CACHE_ENTRIES_MAX: usize = 512;

/// Ten years, as RabbitMQ: the longest time to live in ms.
pub(crate) const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

/// The reply text of a close (a short string, AMQP 0-9-1, 4.2.5.3).
pub(crate) const REPLY_TEXT_LENGTH_MAX: usize = 255;

const _: () = assert!(HANDSHAKE_FRAME_SIZE_MAX >= forebay_wire::limits::FRAME_SIZE_MIN);
const _: () = assert!(HANDSHAKE_FRAME_SIZE_MAX <= forebay_wire::limits::FRAME_SIZE_DEFAULT_MAX);
const _: () = assert!(REPLY_TEXT_LENGTH_MAX <= forebay_wire::limits::SHORT_STR_LENGTH_MAX);
const _: () = assert!(ANSWERS_UNWRITTEN_SIZE_MAX > REPLY_TEXT_LENGTH_MAX);
