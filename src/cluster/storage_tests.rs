//! openraft's own tests of what it relies on in a log and a state machine, as far as they hold to what it
//! does itself: it never leaves a hole in a log.

use crate::log_storage::LogStorage;
use crate::log_writer::LogWriter;
use crate::raft_types::Types;
use crate::state_machine::StateMachine;
use forebay_store::{ReplicaStore, StoreMemory};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::io;
use std::sync::Arc;

struct Stores;

impl StoreBuilder<Types, LogStorage, StateMachine, tempfile::TempDir> for Stores {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStorage, StateMachine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let store = ReplicaStore::open(directory.path(), StoreMemory::default()).unwrap();
        let store = Arc::new(store);
        let writer = LogWriter::start(Arc::clone(&store)).unwrap();
        let machine = StateMachine::new(Arc::clone(&store), writer.clone()).unwrap();
        Ok((directory, LogStorage::new(store, writer), machine))
    }
}

type Tests = Suite<Types, LogStorage, StateMachine, Stores, tempfile::TempDir>;

async fn check<F: Future<Output = Result<(), io::Error>>>(
    name: &str,
    test: impl FnOnce(LogStorage, StateMachine) -> F,
) {
    let (_directory, log, machine) = Stores.build().await.unwrap();
    if let Err(error) = test(log, machine).await {
        panic!("{name}: {error}");
    }
}

macro_rules! check {
    ($($test:ident)*) => { $( check(stringify!($test), Tests::$test).await; )* };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_what_the_consensus_relies_on() {
    check!(
        last_membership_in_log_initial
        get_membership_initial
        get_initial_state_without_init
        save_vote
        get_log_entries
        limited_get_log_entries
        leader_bounded_stream
        entries_stream
        try_get_log_entry
        log_reader_reads_new_entries
        initial_logs
        get_log_state
        get_log_id
        last_id_in_log
        purge_logs_upto_0
        purge_logs_upto_5
        purge_logs_upto_20
        delete_logs_after_11
        delete_logs_after_5
        delete_logs_after_0
        append_to_log
        snapshot_meta
        apply_single
        apply_multiple
    );
}
