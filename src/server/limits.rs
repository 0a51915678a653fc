//! The server's limits by name, units last. What the protocol limits stands in
//! `forebay_wire::limits`, what queues and connections limit in the engine.

use forebay_engine::limits::UNAWAITED_BYTES_MAX;
use std::time::Duration;

/// Bytes of published messages that may be on their way from the sockets to stable storage at
/// once, over all connections. Beyond it sockets are not read: the publishers feel TCP. Each is held
/// some five times on its way (message, page, journal, memtable): with 32 MiB here a flood of 64 KiB
/// messages was measured to take 320 MiB, with 8 MiB 150 MiB, equally fast.
pub const PUBLISH_BUDGET_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The part of it for messages whose publishers do not wait for confirms: so far they may run ahead
/// of consumers that keep step and of the disk. More, and what consumers are about to take is
/// written first; less, and publishers wait for commits.
pub const UNAWAITED_BUDGET_BYTES_MAX: usize = 512 * 1024;

/// How often a publisher that waits for that part says so: when nothing is consumed meanwhile, what takes
/// it is written.
pub const PUBLISHER_WAIT_INTERVAL: Duration = Duration::from_millis(1);

/// How much of a limited publish rate a connection gets at a time, before it is the turn of others.
pub const PUBLISH_TURN_DURATION: Duration = Duration::from_millis(10);
/// Messages of one such turn.
pub const PUBLISH_TURN_MESSAGES_MAX: u32 = 1_000;
/// How often whoever waits for a turn looks whether the limit is another.
pub const PUBLISH_TURN_RECHECK: Duration = Duration::from_secs(1);

/// Bytes that one read may take: the size of each worker thread's receive buffer.
pub const READ_BYTES_MAX: usize = 128 * 1024;

/// A read of at least so many bytes is handed on in the receive buffer itself, a smaller one in a
/// copy of its own size: a message that is kept never holds on to more than twice its read.
pub const READ_COPY_BYTES_MAX: usize = READ_BYTES_MAX / 2;

/// Segments handed to the operating system in one vectored write.
pub const WRITE_SEGMENTS_MAX: usize = 128;

/// Batches of commands that wait for the shard, over all connections.
pub const MAILBOX_BATCHES_MAX: usize = 1024;

/// Batches that the shard takes in one turn before it forwards what came of them.
pub const SHARD_TURN_BATCHES_MAX: usize = 128;

/// For so long a turn of the shard goes on with reports, after which messages come first again; the
/// step that it is at is finished.
pub const REPORT_TURN_DURATION: Duration = Duration::from_millis(1);

/// Connections at once, if the operating system allows as many open files.
pub const CONNECTIONS_MAX: usize = 65_536;

/// Open files that are kept for the store and the listeners when connections are counted.
pub const OPEN_FILES_RESERVED: usize = 512;

/// Connections that wait in the kernel to be accepted, per listener.
pub const ACCEPT_BACKLOG_MAX: u32 = 4096;

/// How long accepting rests after an error such as "too many open files".
pub const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// One in so many of the connections that there may be is for those that have not logged in.
pub const LOGIN_CONNECTIONS_SHARE: usize = 4;
/// Connections at once that have not logged in, if there may be so many.
pub const LOGIN_CONNECTIONS_MAX: usize = 8_192;
/// One in so many of those is for one address.
pub const LOGIN_CONNECTIONS_ADDRESS_SHARE: usize = 2;
/// None of them makes room for another one sooner.
pub const LOGIN_CONNECTIONS_GRACE: Duration = Duration::from_millis(500);

/// How long the header of the PROXY protocol may take to come.
pub const PROXY_HEADER_DURATION_MAX: Duration = Duration::from_secs(10);
/// Bytes of that header after the first 16: certificates of clients may stand in it.
pub const PROXY_HEADER_BYTES_MAX: u16 = 16 * 1024;

/// How long a TLS handshake may take; what AMQP's may take follows.
pub const TLS_HANDSHAKE_DURATION_MAX: Duration = Duration::from_secs(10);

/// The heartbeat interval that clients are offered when nothing is said, in s.
pub const HEARTBEAT_S_DEFAULT: u16 = 60;

/// How long a socket is silent before the system asks whether the other machine is there.
pub const KEEPALIVE_SILENCE: Duration = Duration::from_secs(60);
/// How long it waits for the answer, or before it asks again.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How often it asks in vain before the socket fails.
pub const KEEPALIVE_PROBES_MAX: u32 = 4;

/// Threads that read pages of backlogs.
pub const READER_THREADS: usize = 2;

/// Memory of the argon2id hashes that are made here, in KiB, and their passes over it: of the equally
/// strong pairs in OWASP's Password Storage Cheat Sheet the one with the least memory, since brokers
/// run in small containers.
pub const PASSWORD_MEMORY_KIB: u32 = 7 * 1024;
/// See [`PASSWORD_MEMORY_KIB`].
pub const PASSWORD_PASSES: u32 = 5;

/// Passwords that are verified at once, each for some 20 ms of a core: there is one buffer of
/// [`PASSWORD_MEMORY_KIB`] to do it in.
pub const PASSWORD_VERIFICATIONS_MAX: usize = 1;

/// Memory of one verification, in KiB: the largest `m` of an argon2id hash that is taken.
pub const PASSWORD_HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes over that memory: the largest `t` that is taken.
pub const PASSWORD_HASH_PASSES_MAX: u32 = 16;
/// Parallelism: the largest `p` that is taken.
pub const PASSWORD_HASH_PARALLELISM_MAX: u32 = 16;

/// Logins that were right, and those that were wrong, that are remembered at once.
pub const REMEMBERED_LOGINS_MAX: usize = 20_000;

/// No login is refused sooner: what it took to find out is not to be seen from outside.
pub const LOGIN_REFUSAL_DURATION_MIN: Duration = Duration::from_secs(1);

/// Addresses whose logins are counted at once.
pub const LOGIN_SOURCES_MAX: usize = 10_000;
/// Failed logins of an address that have no consequences.
pub const LOGIN_FAILURES_FREE: u32 = 5;
/// How long a failed login counts; of several one after the other is forgotten.
pub const LOGIN_FAILURE_FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// The pause before the next check once there were more, doubled with each.
pub const LOGIN_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause: well below the time that a handshake may take.
pub const LOGIN_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Connections of the admin listener, and as many of the metrics listener, at once; further ones wait
/// in the kernel.
pub const HTTP_CONNECTIONS_MAX: usize = 128;
/// Those among them that owe a request: idle ones, slow ones, and those that do not take their answer.
/// Who has owed one for longest makes room, so that a new one (is the broker ready?) is always heard.
pub const HTTP_OWING_CONNECTIONS_MAX: usize = 96;
/// Connections of one address that owe a request.
pub const HTTP_OWING_CONNECTIONS_PER_ADDRESS_MAX: usize = 48;
/// None of them makes room sooner: so long a request may be on its way.
pub const HTTP_OWING_GRACE: Duration = Duration::from_millis(50);
/// How long the head of a request may take to come, from the beginning of the connection or the end
/// of the last answer: an idle connection lives no longer.
pub const HTTP_HEAD_DURATION_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a connection is served; then it gets the answer that it waits for, and is closed.
pub const HTTP_CONNECTION_DURATION_MAX: Duration = Duration::from_secs(300);

/// Bytes of an admin request's body.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a file of definitions, which administrators alone may send: a large one has a few MiB.
pub const ADMIN_DEFINITIONS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Connections that are asked for their channels at once.
pub const DESCRIBED_AT_ONCE_MAX: usize = 64;
/// How long a list of channels waits for the connections that it asks.
pub const DESCRIBE_DURATION_MAX: Duration = Duration::from_secs(1);

/// How long an admin request may take.
pub const ADMIN_REQUEST_DURATION_MAX: Duration = Duration::from_secs(30);

/// Items on one page of an admin list.
pub const ADMIN_PAGE_ITEMS_MAX: usize = 500;
/// Items on one page when nothing is said.
pub const ADMIN_PAGE_ITEMS_DEFAULT: usize = 100;

/// Lists of more items than a page has that are written at once.
pub const ADMIN_LISTS_AT_ONCE_MAX: usize = 2;
/// KiB of lists that were written and that their clients have not read: further ones wait.
pub const ADMIN_ANSWERS_KIB_MAX: u32 = 32 * 1024;

/// Pages that are shown live at once. Each has an HTTP connection, and none takes all of them.
pub const CONSOLE_STREAMS_MAX: usize = 64;
/// Paths that one of them watches.
pub const CONSOLE_WATCHED_MAX: usize = 8;
/// How often they are looked at.
pub const CONSOLE_ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// A look that takes longer than usual is followed by a pause of so many times its length.
pub const CONSOLE_ROUND_SHARE: u32 = 4;
/// Looks at queues that the page can look back to: ten minutes.
pub const CONSOLE_TRAIL_POINTS_MAX: usize = 120;
/// Queues whose past one request asks for.
pub const CONSOLE_TRAILS_MAX: usize = 100;
/// How long a stream says nothing when nothing changes.
pub const CONSOLE_STREAM_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Messages that one admin request gets.
pub const ADMIN_GET_MESSAGES_MAX: usize = 1_000;

/// Delayed messages that one page of a list shows at most.
pub const ADMIN_DELAYED_MESSAGES_MAX: usize = 1_000;

/// Delayed messages that one page of a list shows unless asked for another number.
pub const ADMIN_DELAYED_MESSAGES_DEFAULT: usize = 100;

/// Spans that wait for the exporter: further ones are dropped, and counted.
pub const OTLP_SPANS_WAITING_MAX: usize = 16_384;

/// Spans that go to the collector in one request.
pub const OTLP_BATCH_SPANS_MAX: usize = 512;

/// How long a span waits for others that leave with it.
pub const OTLP_BATCH_DURATION: Duration = Duration::from_millis(500);

/// How long a collector may take for one request.
pub const OTLP_REQUEST_DURATION_MAX: Duration = Duration::from_secs(5);

/// How long a broker that stops waits for its last spans to leave.
pub const OTLP_STOP_DURATION_MAX: Duration = Duration::from_secs(2);

/// Lives of messages that one answer shows at most.
pub const ADMIN_TRACE_MESSAGES_MAX: usize = 1_000;

/// Lives of messages that one answer shows unless asked for another number.
pub const ADMIN_TRACE_MESSAGES_DEFAULT: usize = 100;

/// Messages a second that a redrive at a rate may send back.
pub const ADMIN_REDRIVE_RATE_MAX: u64 = 1_000_000;

/// Steps in a second of a redrive at a rate, when the rate is high enough.
pub const ADMIN_REDRIVE_STEPS_PER_SECOND: u64 = 10;

/// Time after which a redrive at a rate looks whether an alarm is over.
pub const ADMIN_REDRIVE_ALARM_PAUSE: Duration = Duration::from_secs(1);

/// Redrives at a rate that are under way at once.
pub const ADMIN_REDRIVES_AT_ONCE_MAX: usize = 16;

/// Redrives at a rate that are remembered, those that are over among them.
pub const ADMIN_REDRIVES_KEPT_MAX: usize = 64;

/// Messages that one look at dead letters shows when nothing is said.
pub const ADMIN_PEEK_MESSAGES_DEFAULT: usize = 10;

/// Bytes of a password or of all tags of a user together.
pub const ADMIN_TEXT_BYTES_MAX: usize = 1_024;

/// A commit that takes longer than this ends the process: the disk or the store hangs, and
/// publishers would wait for ever.
pub const COMMIT_DURATION_MAX: Duration = Duration::from_secs(60);

/// How often the watchdog looks at the committer.
pub const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last bytes of a connection that has ended may take to leave.
pub const LAST_WRITE_DURATION_MAX: Duration = Duration::from_secs(5);

/// How long after its last word the broker ends its side of a socket, unless the client was faster.
/// Clients wait half a second for it and more.
pub const END_OF_OUTPUT_AFTER: Duration = Duration::from_millis(200);
/// How long a client may take to close its socket after the last word of a connection; then the
/// broker does. What it still sends is read: unread input would make the kernel throw away that
/// last word on its way.
pub const LINGER_DURATION_MAX: Duration = Duration::from_secs(1);

/// How long connections may take to close in order when the broker stops.
pub const SHUTDOWN_CONNECTIONS_DURATION_MAX: Duration = Duration::from_secs(8);

/// How long a scrape waits for the shard's figures.
pub const STATISTICS_DURATION_MAX: Duration = Duration::from_secs(5);

/// Queues that have metrics of their own on the metrics endpoint when nothing else is said.
pub const METRICS_QUEUES_DEFAULT: usize = 2_000;

/// How often queues are looked at for their rates.
pub const QUEUE_RATES_INTERVAL: Duration = Duration::from_secs(5);

/// How often what queues have learnt of their lag is written: a kill loses no more.
pub const LAG_HISTORY_WRITE_INTERVAL: Duration = Duration::from_secs(300);

/// How often it is looked at what queues are for.
pub const LAG_ROLES_INTERVAL: Duration = Duration::from_secs(60);

/// How often histograms are folded when nobody scrapes.
pub const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How often free disk space and memory are looked at. Both looks cost some microseconds; a disk
/// that is written at 1 GB/s loses less than the default free-space limit in the meantime.
pub const ALARM_INTERVAL: Duration = Duration::from_millis(200);

/// Free space that raises the disk alarm when nothing is said: room for full journals, memtables and
/// a compaction, all of which acknowledgements and drains may still need.
pub const DISK_FREE_LIMIT_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;

/// How often the store is asked to give space back while the disk is short, at most.
pub const DISK_GIVE_BACK_INTERVAL: Duration = Duration::from_secs(2);

/// Free space that there should be beside what merges of tables need, unless `disk_free_limit` is less:
/// for what is written while they last.
pub const DISK_FREE_BESIDE_MERGES_BYTES: u64 = 64 * 1024 * 1024;

/// Share of the memory that may be used which raises the memory alarm when nothing is said.
pub const MEMORY_HIGH_WATERMARK_DEFAULT: f64 = 0.6;

/// An amount of memory without a unit, in bytes, that can be meant so: an idle broker takes some 20 MiB.
pub const MEMORY_HIGH_WATERMARK_UNITLESS_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Percent of the limit by which free space must exceed it before the disk alarm is over.
pub const DISK_ALARM_MARGIN_PERCENT: u64 = 10;

/// How long free space must exceed it by that margin before the disk alarm is over. Space comes back in
/// leaps, when tables are removed, and what merges need falls and rises with them: publishers that were
/// let go at the first leap would raise the alarm again at once.
pub const DISK_ALARM_CALM_DURATION: Duration = Duration::from_secs(5);

/// Percent of the limit by which memory must fall below it before the memory alarm is over.
pub const MEMORY_ALARM_MARGIN_PERCENT: u64 = 5;

/// How long memory must be below it by that margin before the memory alarm is over: longer than a check
/// of a password, which takes some MiB for a moment, and short, since memory is given back smoothly.
pub const MEMORY_ALARM_CALM_DURATION: Duration = Duration::from_secs(1);

/// Bytes that are read again a second to find damage, when nothing is said: 100 GiB in 15 hours.
pub const SCRUB_RATE_BYTES_DEFAULT: u64 = 2 * 1024 * 1024;

/// Bytes of a damaged data directory up to which a broker that does not start reads all of it, to
/// name everything that is missing; a supervisor may start it again and again.
pub const DAMAGED_DATA_READ_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Damaged places that such a broker names.
pub const DAMAGED_DATA_SHOWN_MAX: usize = 10;

/// How often a log says that places are short, at most.
pub const PLACES_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the buffer of a password check is kept for the next one: clients come together.
pub const PASSWORD_MEMORY_IDLE_DURATION: Duration = Duration::from_secs(5);

/// Flaws that are named; of more only the number is told.
pub const DEFINITION_FLAWS_SHOWN_MAX: usize = 100;

/// The least memory that a broker starts with, in bytes.
pub const MEMORY_LIMIT_MIN: u64 = 128 * 1024 * 1024;

/// With so much memory, in bytes, every part may take what stands here.
pub const FULL_BUDGETS_MEMORY: u64 = 512 * 1024 * 1024;

/// The largest message is at most this part of the memory: it is held some five times on its way to
/// the disk, and an unfinished one beside it.
pub const MESSAGE_MEMORY_SHARE: u64 = 16;

/// A password check takes at most this part of the memory.
pub const PASSWORD_CHECK_MEMORY_SHARE: u64 = 4;

const _: () = {
    assert!(READ_BYTES_MAX <= UNAWAITED_BUDGET_BYTES_MAX);
    assert!(UNAWAITED_BUDGET_BYTES_MAX <= PUBLISH_BUDGET_BYTES_MAX);
    // Publishers that have to wait have given enough for a commit, unless consumers are at it.
    assert!(UNAWAITED_BYTES_MAX as usize + READ_BYTES_MAX <= UNAWAITED_BUDGET_BYTES_MAX);
    assert!(ADMIN_PAGE_ITEMS_DEFAULT <= ADMIN_PAGE_ITEMS_MAX);
    assert!(ADMIN_REDRIVES_AT_ONCE_MAX < ADMIN_REDRIVES_KEPT_MAX);
    assert!(READ_COPY_BYTES_MAX * 2 <= READ_BYTES_MAX);
    assert!(SHARD_TURN_BATCHES_MAX <= MAILBOX_BATCHES_MAX);
    assert!(LOGIN_PAUSE_FIRST.as_millis() <= LOGIN_PAUSE_MAX.as_millis());
    assert!(OPEN_FILES_RESERVED < CONNECTIONS_MAX);
    assert!(2 * HTTP_CONNECTIONS_MAX <= OPEN_FILES_RESERVED / 2);
    // Those that are answered have places that nobody can take from them by being slow.
    assert!(CONSOLE_STREAMS_MAX < HTTP_OWING_CONNECTIONS_MAX);
    assert!(HTTP_OWING_CONNECTIONS_MAX < HTTP_CONNECTIONS_MAX);
    assert!(HTTP_OWING_CONNECTIONS_PER_ADDRESS_MAX <= HTTP_OWING_CONNECTIONS_MAX / 2);
    assert!(LOGIN_CONNECTIONS_MAX <= CONNECTIONS_MAX / LOGIN_CONNECTIONS_SHARE);
    assert!(PUBLISH_BUDGET_BYTES_MAX <= u32::MAX as usize);
    assert!(WATCHDOG_INTERVAL.as_millis() < COMMIT_DURATION_MAX.as_millis());
};
