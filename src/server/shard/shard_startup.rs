//! From the data directory to a shard at work. Called once, by [`crate::broker::Broker::start`].

use crate::auth::user::User;
use crate::config::settings::Settings;
use crate::failure::{Failure, FailureSender};
use crate::metrics::Metrics;
use crate::otlp::{self, ExporterEnd, OtlpSettings};
use crate::shard::committer::{Committer, CommitterThread};
use crate::shard::mailbox::MailReceiver;
use crate::shard::reader_pool::{ReaderPool, ReaderThreads};
use crate::shard::shard_task::{ShardTask, log_damaged_queue};
use crate::start_error::StartError;
use crate::system::clock::Clock;
use crate::system::data_dir_permissions::close_to_others;
use crate::system::memory_budgets::MemoryBudgets;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::ConfiguredUser;
use forebay_engine::shard::{Shard, ShardSettings};
use forebay_engine::topology::Topology;
use forebay_store::{FjallStore, Store, check_data_directory};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

/// What recovery gives.
pub(crate) struct Recovered {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shard: Shard,
    /// The data directory held nothing before.
    pub(crate) is_new: bool,
    /// Where spans of messages are to go.
    otlp: Option<OtlpSettings>,
}

/// The threads that hold the store: when they have ended, its directory is free. With them the one that sends
/// spans.
pub(crate) struct StoreThreads {
    committer: CommitterThread,
    readers: ReaderThreads,
    exporter: Option<ExporterEnd>,
}

impl StoreThreads {
    /// Waits until everything is written and synced, after the shard has ended. Blocks.
    pub(crate) fn join(self) {
        self.committer.join();
        self.readers.join();
        if let Some(exporter) = self.exporter {
            exporter.wait();
        }
    }
}

/// Opens the store and makes the shard of it, on a thread that may wait for the disk.
pub(crate) async fn recover(
    settings: &Settings,
    budgets: &MemoryBudgets,
) -> Result<Recovered, StartError> {
    let path = settings.data_dir.clone();
    let users = configured_users(settings);
    let shard_settings = ShardSettings {
        vhosts: vec![settings.default_vhost.clone()],
        queue_defaults: settings.queue_defaults,
    };
    let (budgets, scrub_rate) = (*budgets, settings.scrub_rate);
    let open = move || open(&path, &shard_settings, &users, scrub_rate, budgets);
    let opened = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?;
    Ok(Recovered { otlp: settings.otlp.clone(), ..opened? })
}

/// What they may do.
pub(crate) fn configured_users(settings: &Settings) -> Vec<ConfiguredUser> {
    let configured = |user: &User| ConfiguredUser {
        name: user.name.clone(),
        permissions: user.permissions.clone(),
    };
    settings.users.iter().map(configured).collect()
}

fn open(
    path: &Path,
    settings: &ShardSettings,
    users: &[ConfiguredUser],
    scrub_rate: u64,
    budgets: MemoryBudgets,
) -> Result<Recovered, StartError> {
    // It was judged before anything was listened on, and may have changed since.
    check_data_directory(path)?;
    close_to_others(path);
    let opened = FjallStore::open_with(path, budgets.store).and_then(|store| {
        let recovered = store.recover()?;
        Ok((store, recovered))
    });
    // A store that was opened has let go of its directory by now, so that it can be looked through.
    let (store, recovered) = opened.map_err(|error| StartError::of_store(path, error))?;
    if scrub_rate > 0 {
        store.scrub(scrub_rate)?;
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let is_new = recovered.records.is_empty();
    let mut shard = Shard::recover(settings, recovered)
        .map_err(|error| StartError::Recover { path: path.to_owned(), error })?;
    shard.damaged_queues().for_each(|(_, what)| log_damaged_queue(what));
    shard.limit_memory(budgets.queues);
    shard.configure_users(users);
    Ok(Recovered { store, shard, is_new, otlp: None })
}

/// Where the shard publishes what connections work by, and the catalogue.
pub(crate) type Published = (Arc<ArcSwap<BrokerSnapshot>>, Arc<ArcSwap<Topology>>);

/// Sets the shard to work, with its committer and readers.
pub(crate) fn start_shard(
    recovered: Recovered,
    clock: Clock,
    mailbox: MailReceiver,
    (snapshot, catalogue): &Published,
    metrics: &Metrics,
    failures: FailureSender,
) -> Result<(StoreThreads, JoinHandle<()>), StartError> {
    let Recovered { store, mut shard, is_new: _, otlp } = recovered;
    let exporting = otlp.map(|otlp| otlp::start(&otlp, &metrics.spans)).transpose()?;
    if exporting.is_some() {
        shard.record_spans();
    }
    let (spans, exporter) = exporting.map(|it| (it.sender, it.end)).unzip();
    let (completion_sender, completions) = unbounded_channel();
    let (readers, reader_threads) = ReaderPool::start(&store, &completion_sender, &failures)?;
    let (committer, thread) =
        Committer::start(store, completion_sender, failures.clone(), metrics.commit.clone())?;
    let task = ShardTask {
        shard,
        clock,
        mailbox,
        completions,
        log: committer,
        readers,
        snapshot: Arc::clone(snapshot),
        catalogue: Arc::clone(catalogue),
        spans,
    };
    let shard = tokio::spawn(async move {
        // A panic in the shard ends the broker: its state can't be trusted any more.
        match tokio::spawn(task.run()).await {
            Ok(Ok(())) => {}
            Ok(Err(_log_ended)) => failures.report(Failure::Ended("committer")),
            Err(_panic) => failures.report(Failure::Ended("shard")),
        }
    });
    Ok((StoreThreads { committer: thread, readers: reader_threads, exporter }, shard))
}
