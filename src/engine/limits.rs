//! The engine's bounds on memory and work: every limit has its name and its relations here.

/// Bytes of messages in one page at most, unless a single message is larger.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// A body above this size that goes to several queues is stored once for all of them. Below, a reference
/// costs about as much as the body.
pub const BODY_OWN_SIZE_MAX: usize = 4 * 1024;

/// Bytes of deliveries that may wait in memory for one connection's socket; a delivery begins
/// while any of it is left, so one message may exceed it.
pub const OUTPUT_BUDGET_BYTES: usize = 1024 * 1024;

/// Queues of which a channel held messages that are remembered before those are forgotten of which
/// it holds none any more.
pub const CHANNEL_QUEUES_UNCHECKED_MAX: usize = 64;

/// Bytes of direct replies (`amq.rabbitmq.reply-to`) that may be on their way to one connection, from
/// the shard to its socket; further ones are dropped, as they are when the requester has gone. One
/// message may exceed it.
pub const REPLIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// From so many on, they are copied out of the buffers they were received in, which they would keep
/// alive.
pub const REPLIES_BORROWED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of stored messages that the shard keeps in memory for consumers to come.
pub const CACHED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of them that one level may keep ahead of its readers.
pub const CACHED_AHEAD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of bodies, per level, that stay in memory after delivery while they are in flight.
pub const CACHED_BEHIND_BYTES_MAX: u64 = 256 * 1024;

/// Below this many bytes ahead of its readers a level reads on from the store.
pub const READ_AHEAD_BYTES: u64 = 1024 * 1024;

/// Bytes asked of the store in one fetch.
pub const FETCH_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that messages without a place in the store take in memory, each with what it takes to keep
/// it, before the shard writes further ones to the store all the same.
pub const VOLATILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Such messages that may stay in the buffers they were received in, over all queues: each may keep
/// alive a buffer in which nothing else is wanted any more.
pub const BORROWED_MESSAGES_MAX: u64 = 256;

/// Bytes of them: what is copied at once when they are too many, unless a single message is larger.
pub const BORROWED_BYTES_MAX: u64 = 1024 * 1024;

/// Queues that have, or had, such messages; some may be empty again.
pub const BORROWED_QUEUES_MAX: usize = 4096;

/// Such messages of a level that are kept together.
pub const CHUNK_MESSAGES_MAX: usize = 512;

/// Bytes of messages that are kept together, unless a single message is larger.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of new messages nobody waits for that begin a commit without waiting for its interval,
/// unless consumers are about to take them.
pub const UNAWAITED_BYTES_MAX: u64 = PAGE_BYTES_MAX as u64 / 4;

/// How long settled messages, and new ones that nobody waits for, may wait for the next commit.
pub const COMMIT_INTERVAL_MS: u64 = 10;

/// Deliveries that a queue makes in one turn before others get theirs.
pub const TURN_DELIVERIES_MAX: usize = 4096;

/// Messages that leave a queue in one turn because they are too old, too many or dead.
pub const TURN_DEPARTURES_MAX: usize = 4096;

/// Those among them that become dead letters: each may go to many queues.
pub const TURN_DEAD_LETTERS_MAX: usize = 32;

/// Work that the turns after one input of the shard may do, in deliveries: some milliseconds.
pub const INPUT_WORK_MAX: usize = 8192;

/// [`INPUT_WORK_MAX`] while work of earlier inputs is left over.
pub const INPUT_WORK_BEHIND_MAX: usize = 256;

/// Bindings and records that are removed for one input with the object that they belong to, and in
/// each slice when it has more.
pub const REMOVALS_MAX: usize = 256;

/// [`REMOVALS_MAX`] in a slice that comes with an input of a client.
pub const REMOVALS_BEHIND_MAX: usize = 16;

/// Messages of deleted and purged queues that are freed for one input, unless a page or a chunk of them
/// has more.
pub const DISCARDED_MAX: usize = 4096;

/// [`DISCARDED_MAX`] while work of earlier inputs is left over.
pub const DISCARDED_BEHIND_MAX: usize = 512;

/// What one copy of a dead letter counts as such work: its headers are written anew.
pub const DEAD_LETTER_WORK: usize = 4;

/// Times in a row that a message may become a dead letter without a client having a hand in it. The
/// longest chains known have 28 (delays made of queues whose messages expire).
pub const DEAD_LETTER_HOPS_MAX: usize = 64;

/// Copies of a message that such deaths may make by leading to several queues again and again; a
/// first one may lead to any number.
pub const DEAD_LETTER_COPIES_MAX: u64 = 128;

/// Messages that one step of an operator's walk over a queue looks at: some milliseconds.
pub const BROWSE_MESSAGES_MAX: usize = 1_000;

/// Bytes of messages that one such step looks at, unless a single message is larger.
pub const BROWSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Runs that such a walk can begin with: one for each priority level.
pub const BROWSE_RANGES_MAX: usize = 256;

/// Failed deliveries after which a message of a durable queue becomes a dead letter, unless the
/// queue says otherwise.
pub const DELIVERY_LIMIT_DEFAULT: u32 = 3;

/// The delivery limit of quorum queues where RabbitMQ's defaults are asked for.
pub const RABBITMQ_QUORUM_DELIVERY_LIMIT: u32 = 20;

/// Deliveries that a client returned in good order after which a message becomes a dead letter, where
/// the queue's delivery limit is not higher. RabbitMQ's default for all deliveries.
pub const RETURN_LIMIT: u32 = 20;

/// How long anything waits for the sake of a quarantined message: for a connection to become empty,
/// and then for the message, which a client that lives has in its hands by itself.
pub const QUARANTINE_MS_MAX: u64 = 5_000;

/// How long a consumer may hold a message, unless the queue says otherwise.
pub const CONSUMER_TIMEOUT_DEFAULT_MS: u64 = 30 * 60 * 1000;

/// The first wait of a message that came back, where a queue delays retries and does not say how long.
pub const RETRY_DELAY_MIN_DEFAULT_MS: u64 = 1_000;

/// How long a message that came back may wait, before jitter: ten years.
pub const RETRY_DELAY_MS_MAX: u64 = crate::session::limits::EXPIRATION_MS_MAX;

/// By what each wait may be longer than the one before (`x-delayed-retry-multiplier`).
pub const RETRY_MULTIPLIER: std::ops::RangeInclusive<i128> = 1..=100;

/// Messages of a queue that wait after they came back, some 200 bytes of memory each; when there are
/// more, the one that is due first is ready at once.
pub const PARKED_MESSAGES_MAX: u64 = 1 << 20;

/// Keys that a queue with a deduplication window remembers, unless it says otherwise. Each takes 33 to 42
/// bytes of memory.
pub const DEDUP_SIZE_DEFAULT: u64 = 1_000_000;

/// Keys that a queue may be told to remember (`x-dedup-size`).
pub const DEDUP_SIZE_MAX: u64 = 10_000_000;

/// Keys in one record of the store: 64 KiB.
pub const DEDUP_RECORD_KEYS_MAX: usize = 4096;

/// Records of forgotten keys that one commit removes of one queue.
pub const DEDUP_RECORDS_REMOVED_MAX: usize = 8192;

/// Records of forgotten keys of a queue without a window, or that is gone, that are removed for one input.
pub const DEAD_KEY_RECORDS_MAX: usize = 512;

/// Keys that a queue forgets in one turn before others get theirs: some milliseconds.
pub const TURN_KEYS_FORGOTTEN_MAX: usize = 16_384;

/// How long a key stays in memory after its time, so that many are forgotten together.
pub const DEDUP_FORGET_INTERVAL_MS: u64 = 1000;

/// Deliveries in a second at most (`x-rate-limit`), and at once (`x-rate-burst`), that a queue may be told.
pub const RATE_LIMIT_MAX: u64 = 1_000_000;

/// The part of a second whose deliveries may come at once after a pause, unless the queue says otherwise.
pub const RATE_BURST_SHARE: u64 = 10;

/// Ready messages of a queue that wait in memory, some 100 bytes each, behind others of their groups; the
/// queue looks no further while there are so many.
pub const GROUP_BLOCKED_MAX: u64 = 1 << 17;

/// Where the alert line of a queue may be, in hundredths of its normal peak.
pub const LAG_LINE_PERCENT: std::ops::RangeInclusive<i128> = 100..=100_000;

/// Bytes of delayed messages of one queue and clock, those that are due next, that stay in memory though
/// the store has them.
pub const DELAYED_WINDOW_BYTES_MAX: u64 = 256 * 1024;

/// Below this many such bytes a queue reads on from the store.
pub const DELAYED_WINDOW_BYTES_MIN: u64 = DELAYED_WINDOW_BYTES_MAX / 2;

/// What a delayed message takes in memory beside its own bytes.
pub const DELAYED_ENTRY_SIZE: u64 = 160;

/// Bytes of delayed messages that are read for one step of an operator's request.
pub const DELAYED_REQUEST_BYTES_MAX: usize = 256 * 1024;

/// How long before they are due delayed messages are read from the store.
pub const DELAYED_READ_AHEAD_MS: u64 = 1000;

/// Delayed messages that come into a queue in one turn before others get theirs.
pub const TURN_RELEASES_MAX: usize = 1024;

/// How long after a jump of the wall clock messages that wait for a time of day are looked at again, when
/// nothing else happens.
pub const CALENDAR_CHECK_INTERVAL_MS: u64 = 500;

/// By how much the wall clock has to be off for such a look: less is found when two clocks are read one
/// after the other.
pub const CALENDAR_JUMP_MS: u64 = 5;

/// Clocks are read in whole ms: of the first one of a wait a part has passed already, and two clocks that go alike
/// may be one apart. A wait is longer by as much, so that it is not too short.
pub const CLOCK_STEP_MS: u64 = 1;

/// The latest time that a message may be delayed to, in ms since the epoch: the end of the year 9999.
pub const DUE_MS_MAX: u64 = 253_402_300_799_999;

/// Messages whose lives a queue may keep (`x-trace`).
pub const TRACE_MESSAGES: std::ops::RangeInclusive<i128> = 1..=10_000;

/// Bytes that the lives of messages take in memory, in all queues together, about. Beyond it one queue after the
/// other drops the older half of what it has.
pub const TRACE_BYTES_MAX: u64 = 32 << 20;

/// Events of one life that are kept: of more, those behind the first [`LIFE_EVENTS_FIRST`] give way.
pub const LIFE_EVENTS_MAX: usize = 64;

/// Events of a life that are kept from its beginning, however many follow.
pub const LIFE_EVENTS_FIRST: usize = 16;

/// Deliveries of a queue that have a span and have not ended: further ones have none.
pub const SPANS_OPEN_MAX: usize = 10_000;

/// Spans that wait at one place of the shard until they are handed on: further ones are dropped, and counted.
pub const SPANS_WAITING_MAX: usize = 10_000;

/// Lives that are looked at for one request.
pub const TRACE_EXAMINED_MAX: usize = 1_000;

/// Lives that one request may be answered with.
pub const TRACE_PAGE_MAX: usize = 100;

/// Schedules that a virtual host may have.
pub const SCHEDULES_PER_VHOST_MAX: usize = 1000;

/// Bytes of the name of a schedule: with the due time behind it, it is a message id.
pub const SCHEDULE_NAME_BYTES_MAX: usize = 200;

/// Bytes of the message of a schedule, properties and body: they stay in memory.
pub const SCHEDULE_MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// How long after a due time a schedule publishes for it as if it were on time, in ms: a restart that is
/// shorter misses none.
pub const SCHEDULE_ON_TIME_MS: u64 = 60_000;

/// Messages at most by which a schedule makes up for due times that it missed (`all`).
pub const SCHEDULE_CATCH_UP_MAX: usize = 100;

/// Due times that are looked at when a schedule comes to itself after a long time; those before them are
/// not counted as missed.
pub const SCHEDULE_MISSED_COUNTED_MAX: usize = 1000;

/// Schedules that publish for one input before others get their turns: some milliseconds.
pub const SCHEDULES_FIRED_MAX: usize = 64;

/// Schedules that are looked at in one step of a list.
pub const SCHEDULE_LISTING_STEP_MAX: usize = 256;

/// How far the wall clock may drift from the monotonic one before messages are taken to be stamped
/// by another clock.
pub const CLOCK_JUMP_MS: u64 = 1000;

/// Between two messages whose publishing times a level remembers, at least.
pub const MARK_INTERVAL_MS: u64 = 1000;

/// Publishing times that a level remembers; beyond it, every second one is forgotten.
pub const MARKS_MAX: usize = 256;

/// Queues whose oldest message is fetched for one report, because nobody knows how old it is.
pub const REPORT_FETCHES_MAX: usize = 32;

/// Queues that are looked at in one step of a report, while messages wait: the memory of each has
/// to come into the processor's caches, up to 20 µs when other processes fill these.
pub const REPORT_STEP_QUEUES_MAX: usize = 64;

/// Bytes of a pattern at most.
pub const PATTERN_LENGTH_MAX: usize = 4096;

/// Steps back at most while a pattern is held against a name of at most 255 bytes.
pub const PATTERN_BACKTRACKS_MAX: usize = 20_000;

/// Bytes of the automaton at most that a part of the pattern is compiled to.
pub const PATTERN_COMPILED_SIZE_MAX: usize = 1 << 20;

/// Intervals without a byte after which the peer counts as dead.
pub const SILENT_INTERVALS_MAX: u64 = 2;

const _: () = assert!(0 < LIFE_EVENTS_FIRST && LIFE_EVENTS_FIRST < LIFE_EVENTS_MAX);
const _: () = assert!(TRACE_PAGE_MAX <= TRACE_EXAMINED_MAX);
const _: () = assert!(REPLIES_BORROWED_BYTES_MAX < REPLIES_BYTES_MAX);
// The index of keys has the lower halves of their numbers.
const _: () = assert!(DEDUP_SIZE_DEFAULT <= DEDUP_SIZE_MAX && DEDUP_SIZE_MAX < u32::MAX as u64);
const _: () = assert!(FETCH_BYTES_MAX >= PAGE_BYTES_MAX);
const _: () = assert!(0 < INPUT_WORK_BEHIND_MAX && INPUT_WORK_BEHIND_MAX < INPUT_WORK_MAX);
const _: () = assert!(0 < DISCARDED_BEHIND_MAX && DISCARDED_BEHIND_MAX < DISCARDED_MAX);
const _: () = assert!(0 < TURN_DEAD_LETTERS_MAX && 0 < TURN_DEPARTURES_MAX);
const _: () = assert!(DELAYED_WINDOW_BYTES_MAX < FETCH_BYTES_MAX as u64);
// The name, `@`, a date and the number of a run.
const _: () = assert!(SCHEDULE_NAME_BYTES_MAX + 1 + 30 + 21 <= u8::MAX as usize);
const _: () = assert!(SCHEDULE_MESSAGE_BYTES_MAX <= u16::MAX as usize);
// Second by second, those that are on time and those that are made good are among them.
const _: () = assert!(
    SCHEDULE_CATCH_UP_MAX + SCHEDULE_ON_TIME_MS as usize / 1000 < SCHEDULE_MISSED_COUNTED_MAX
);
const _: () = assert!(READ_AHEAD_BYTES < CACHED_AHEAD_BYTES_MAX);
const _: () = assert!(CACHED_AHEAD_BYTES_MAX < CACHED_BYTES_MAX);
