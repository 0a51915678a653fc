//! Sizes and bounds of the store, and their relations.

use std::time::Duration;

/// A body above this size has a value of its own, so that pages stay small.
pub const BODY_INLINE_SIZE_MAX: usize = 64 * 1024;

/// Bytes of messages that the engine puts into one page at most, out-of-line bodies not counted.
pub const PAGE_SIZE_MAX: usize = 1024 * 1024;

/// The on-disk format that this program writes for a single machine.
pub const FORMAT_VERSION: u32 = 3;

/// The on-disk format with a replicated log, which nodes of a cluster have; the newest that is read.
pub const FORMAT_VERSION_WITH_LOG: u32 = 4;

/// The first one with a keyspace for delayed messages.
pub const FORMAT_VERSION_WITH_DELAYED: u32 = 3;

/// The oldest one that it reads.
pub const FORMAT_VERSION_OLDEST: u32 = 1;

/// Bytes of blocks kept in memory.
pub const CACHE_SIZE: u64 = 8 * 1024 * 1024;

/// Bytes of all journals together, above which fjall flushes memtables so that it can unlink the oldest.
pub const JOURNALS_SIZE_MAX: u64 = 128 * 1024 * 1024;

/// Bytes of a memtable of pages, or of large bodies, above which it is flushed. With half as many,
/// consumers a little behind read pages from tables that they find in the memtable now.
pub const PAGES_MEMTABLE_SIZE_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of a memtable of settled state, or of records, above which it is flushed.
pub const MEMTABLE_SIZE_MAX: u64 = 1024 * 1024;

/// Sealed memtables of one keyspace that are not flushed yet, beyond which commits wait. fjall itself makes
/// writers wait for 100 ms at a time when there is one more.
pub const SEALED_MEMTABLES_MAX: usize = 3;

/// How long a commit that waits for room sleeps between two looks.
pub const ROOM_INTERVAL: Duration = Duration::from_millis(2);

/// Bytes of a table.
pub const TABLE_SIZE: u64 = 32 * 1024 * 1024;

/// Runs of tables of pages before they are compacted. Most of their pages are settled soon and whole
/// tables are unlinked, so that an early compaction copies pages that would have been dropped unread: with 4
/// here, a consumer some 40 MB behind its producer had each page written three times.
pub const PAGES_RUNS_UNMERGED_MAX: u8 = 12;

/// Runs of tables of the other keyspaces before they are compacted.
pub const RUNS_UNMERGED_MAX: u8 = 4;

/// Threads that flush memtables and compact tables. One: of several, fjall's first passes every
/// compaction on to the others through a queue that it reads itself, and so takes a whole core while
/// they are at work (a fourth to a half of the broker's processor time under load).
pub const WORKER_THREADS: usize = 1;

/// Bytes that one compaction of tables of deeper levels may write: a table or two, and what they overlap in
/// the next level, which is ten times as large.
pub const DEEP_MERGE_BYTES_MAX: u64 = 14 * TABLE_SIZE;

/// Bytes settled, in all queues, after which tables are looked through for ones to unlink. Less often,
/// and many tables go at once, which stalls commits.
pub const RECLAIM_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of tables and journals above which a store that has little to do is looked through, whatever
/// was settled: what a drained store may take.
pub const IDLE_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// Bytes of tables that are not needed for what is stored, from which on it is worth writing anew what
/// is needed of them.
pub const GARBAGE_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Bytes that are needed of tables up to which they are written anew, all at once.
pub const REWRITE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// [`GARBAGE_BYTES_MIN`] for a store that has much to do.
pub const BUSY_GARBAGE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Looks of the reclaimer after which a store is looked through although it has much to do.
pub const BUSY_LOOKS_MAX: u32 = 30;

/// Bytes of bodies that are written anew together, unless a single one is larger: commits wait so long.
pub const REWRITE_BATCH_BYTES: usize = 1024 * 1024;

/// Bytes that are written from one look of the reclaimer to the next by a store that has little to do.
pub const IDLE_WRITTEN_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// How long the reclaimer waits for compactions to end before it waits for them with commits held up.
pub const MERGE_WAIT: Duration = Duration::from_secs(2);

/// Bytes of tables below which commits don't ask for any to be unlinked. Where consumers keep up,
/// tables hold little but pairs that have cancelled out, and looking through them would flush all
/// memtables and sync the journal once more for each, and free nothing.
pub const RECLAIM_TABLES_SIZE_MIN: u64 = TABLE_SIZE;

/// Bytes written, after which every keyspace gets a heartbeat, so that none pins old journals.
pub const HEARTBEAT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes written between two looks at which journals there are.
pub const JOURNALS_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// How often is looked whether sealed journals have been unlinked.
pub const JOURNALS_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of an unlinked journal that are given back in one step, between which others get at the
/// disk.
pub const JOURNAL_CUT_BYTES: u64 = 4 * 1024 * 1024;

/// Keys that one step of removing a dropped queue takes away.
pub const REMOVE_KEYS_MAX: usize = 256;

/// Bytes of a dropped queue up to which its keys are simply removed; above, its tables go first.
pub const REMOVE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long the reclaimer waits for something to do before it looks around by itself: a store that has
/// been drained gives its space back within some of them.
pub const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// How long the reclaimer waits between two looks at whether memtables are flushed.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(10);

/// Bytes of keys and values from which on a chunk of a group's snapshot is full.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;

/// Bytes that a scrub reads at a time.
pub const SCRUB_WINDOW_SIZE: usize = 64 * 1024;

/// How long a scrub rests between two rounds through all files.
pub const SCRUB_PAUSE: Duration = Duration::from_secs(20);

/// Bytes that are read, when fjall can't go on and the system did not fail, to name the files that are
/// damaged.
pub const FAILURE_READ_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Notes of damage that a data directory holds for the next start.
pub const DAMAGE_NOTES_MAX: usize = 64;

/// How long commits wait at most while fjall, which may be merging, leaves a journal.
pub const JOURNAL_CHANGE_WAIT_MAX: Duration = Duration::from_millis(300);

/// Time between two looks whether fjall has left the journal.
pub const JOURNAL_CHANGE_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How often a scrub reads a manifest again that was replaced while it read it.
pub const SCRUB_MANIFEST_READS_MAX: usize = 3;
/// Days of lag histories that a data directory holds at most; a broker may be told to keep fewer.
pub const LAG_DAYS_MAX: usize = 38;

/// Damaged files of lag histories that a broker keeps as they were.
pub const LAG_DAMAGED_FILES_MAX: usize = 8;

/// Bytes of one encoded day of a lag history.
pub const LAG_DAY_BYTES_MAX: usize = 1024;

const _: () = assert!(FORMAT_VERSION_OLDEST <= FORMAT_VERSION);
const _: () = assert!(FORMAT_VERSION_WITH_DELAYED <= FORMAT_VERSION);
const _: () = assert!(FORMAT_VERSION < FORMAT_VERSION_WITH_LOG);
const _: () = assert!(BODY_INLINE_SIZE_MAX < PAGE_SIZE_MAX);
const _: () = assert!(PAGE_SIZE_MAX as u64 * 8 <= PAGES_MEMTABLE_SIZE_MAX);
const _: () = assert!(2 * PAGES_MEMTABLE_SIZE_MAX <= JOURNALS_SIZE_MAX);
const _: () = assert!(HEARTBEAT_BYTES <= JOURNALS_SIZE_MAX);
