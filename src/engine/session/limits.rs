//! What one client may cost, in one place.

/// A content header, method or body frame before tuning: RabbitMQ's start-ok with a long token
/// must fit.
pub(crate) const HANDSHAKE_FRAME_SIZE_MAX: u32 = 8192;

/// From the first byte to `connection.open`, in ms.
pub(crate) const HANDSHAKE_TIME_MS_MAX: u64 = 10_000;

/// From our `connection.close` to the client's close-ok, in ms; then the socket is dropped.
pub(crate) const CLOSE_TIME_MS_MAX: u64 = 10_000;

/// [`CLOSE_TIME_MS_MAX`] of a client that was refused before it was in a virtual host: it has nothing to
/// finish, and must not hold a place for long.
pub(crate) const CLOSE_TIME_REFUSED_MS_MAX: u64 = 1_000;

/// [`CLOSE_TIME_MS_MAX`] after bytes that are no frames, among which the close-ok can't be found.
pub(crate) const CLOSE_TIME_UNREADABLE_MS_MAX: u64 = 1_000;

/// Answers (also messages that were asked for by `basic.get`, not deliveries, which have a budget of
/// their own) that may wait for a client which does not read; above it the connection takes no input.
/// One answer may exceed it.
pub(crate) const ANSWERS_UNWRITTEN_SIZE_MAX: usize = 1 << 20;

/// Output that may wait in front of confirms that are written; behind more of it they are held back.
pub(crate) const CONFIRMS_AHEAD_SIZE_MAX: usize = 64 * 1024;

/// Runs of confirms of one channel, each of the same kind, that are held back at most.
pub(crate) const CONFIRM_RUNS_UNTOLD_MAX: usize = 1024;

/// Bytes of direct replies that have left for the socket and that the shard is told of together.
pub(crate) const REPLIES_UNREPORTED_SIZE_MAX: usize = crate::limits::REPLIES_BYTES_MAX / 8;

/// Bytes of content that is not all there and of publishes in transactions that one connection may
/// have: room for two messages of the largest size.
pub(crate) const UNFINISHED_SIZE_MAX: usize = 2 * forebay_wire::limits::MESSAGE_SIZE_MAX as usize;

/// [`UNFINISHED_SIZE_MAX`] while memory is short: a connection that has more is closed, otherwise the
/// memory would never be given back.
pub(crate) const UNFINISHED_SHORT_OF_MEMORY_SIZE_MAX: usize = 128 * 1024;

/// What an unfinished publish, or one in a transaction, takes beside its bytes, about.
pub(crate) const UNFINISHED_PUBLISH_OVERHEAD: usize = 256;

/// A body of fewer bytes is copied out of its receive buffer before it is kept for long: half of
/// what the server reads at once, so that no body keeps more than twice its size alive.
pub(crate) const BODY_COPIED_OUT_SIZE_MAX: usize = 64 * 1024;

/// Publishes of a connection after which it looks again whether its rate is limited.
pub(crate) const PUBLISHES_UNCHECKED_MAX: u32 = 1000;

/// A chunk that message heads are cut from. It lives until the last of them is gone, so it is
/// small; one allocation serves some dozens of messages.
pub(crate) const HEAD_ARENA_SIZE: usize = 4096;

/// Bytes of routes that a connection remembers, beside the one that it used last.
pub(crate) const ROUTE_CACHE_SIZE_MAX: usize = 128 * 1024;

/// Routes that a connection remembers.
pub(crate) const ROUTE_CACHE_ENTRIES_MAX: usize = 512;

/// Ten years, as RabbitMQ: the longest time to live in ms.
pub(crate) const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

/// The reply text of a close (a short string, AMQP 0-9-1, 4.2.5.3).
pub(crate) const REPLY_TEXT_LENGTH_MAX: usize = 255;

const _: () = assert!(HANDSHAKE_FRAME_SIZE_MAX >= forebay_wire::limits::FRAME_SIZE_MIN);
const _: () = assert!(HANDSHAKE_FRAME_SIZE_MAX <= forebay_wire::limits::FRAME_SIZE_DEFAULT_MAX);
const _: () = assert!(REPLY_TEXT_LENGTH_MAX <= forebay_wire::limits::SHORT_STR_LENGTH_MAX);
const _: () = assert!(ANSWERS_UNWRITTEN_SIZE_MAX > REPLY_TEXT_LENGTH_MAX);
