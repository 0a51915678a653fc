//! The task that owns the shard: queues and topology.
//!
//! A turn takes what is in the mailbox, or what commit log and readers have finished, then sends
//! on what came of it: first the next commit, when none is under way, so that the disk works
//! while events are forwarded; then what connections work by, before any event that tells of a change
//! in it; then events and fetches; last, a step of a report that somebody waits for. What an input
//! leaves over of its work goes on in slices, between which other tasks of this thread and the mailbox
//! come first. The task never waits for anybody but its inputs, so no circle of waiting can close.

use crate::connection::connections::EventSender;
use crate::connection::publish_budget::PublishShare;
use crate::limits::SHARD_TURN_BATCHES_MAX;
use crate::otlp::SpanSender;
use crate::shard::commit_log::{CommitLog, CommitLogEnded};
use crate::shard::completion::Completion;
use crate::shard::mailbox::{Batch, Mail, MailReceiver, ShardQuery};
use crate::shard::reader_pool::ReaderPool;
use crate::shard::reports::Reports;
use crate::shard::timer::Timer;
use crate::system::clock::Clock;
use arc_swap::ArcSwap;
use forebay_engine::BrokerSnapshot;
use forebay_engine::model::{CommitId, ConnectionId, Monotonic};
use forebay_engine::shard::Shard;
use forebay_engine::topology::Topology;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::yield_now;

/// The shard and everything it speaks with.
pub struct ShardTask<L> {
    /// The state machine.
    pub shard: Shard,
    /// What time it is.
    pub clock: Clock,
    /// From connections.
    pub mailbox: MailReceiver,
    /// From commit log and readers.
    pub completions: UnboundedReceiver<Completion>,
    /// Makes commits durable.
    pub log: L,
    /// Reads.
    pub readers: ReaderPool,
    /// Where connections find routes and access.
    pub snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    /// Where the admin listener finds the topology.
    pub catalogue: Arc<ArcSwap<Topology>>,
    /// Takes spans of messages, where somebody wants them.
    pub spans: Option<SpanSender>,
}

struct Turns<L> {
    task: ShardTask<L>,
    connections: HashMap<ConnectionId, EventSender>,
    /// The commit that is not durable yet.
    writing: Option<CommitId>,
    /// The budget of what was published since the last commit was handed over, as far as it is
    /// neither settled nor in no need of a commit.
    share: PublishShare,
    /// Who wants to know how things stand.
    reports: Reports,
    stopping: bool,
}

/// Says that a queue is set aside, and what an operator can do.
pub(crate) fn log_damaged_queue(what: &str) {
    tracing::error!(
        "stored data is damaged: {what}. The queue is set aside and the others go on: its consumers are \
         cancelled, it delivers nothing, and publishes to it are refused. `forebay verify` names \
         everything that is damaged; `forebay repair --accept-loss` goes on without it; purging or \
         deleting the queue does without its messages"
    );
}

impl<L: CommitLog> ShardTask<L> {
    /// Runs until it is told to stop and everything is durable.
    ///
    /// # Errors
    /// When the commit log ended after a failure, which was reported.
    pub async fn run(self) -> Result<(), CommitLogEnded> {
        Turns {
            task: self,
            connections: HashMap::new(),
            writing: None,
            share: PublishShare::default(),
            reports: Reports::default(),
            stopping: false,
        }
        .run()
        .await
    }
}

impl<L: CommitLog> Turns<L> {
    async fn run(mut self) -> Result<(), CommitLogEnded> {
        let mut mails = Vec::with_capacity(SHARD_TURN_BATCHES_MAX);
        let mut timer = Timer::default();
        loop {
            let timeout = self.task.shard.poll_timeout();
            let has_work = timeout == Some(Monotonic::AT_ONCE);
            timer.arm(self.task.clock, timeout.filter(|_| !has_work));
            tokio::select! {
                biased;
                Some(completion) = self.task.completions.recv() => self.complete(completion),
                count = self.task.mailbox.recv_many(&mut mails, SHARD_TURN_BATCHES_MAX) => {
                    // No sender is left only when the broker was dropped without a stop.
                    self.stopping |= count == 0;
                    mails.drain(..).for_each(|mail| self.take(mail));
                }
                () = timer.fired() => self.task.shard.handle_timeout(self.task.clock.now()),
                // When there is nothing else to do, on this thread as a whole.
                () = yield_now(), if has_work || self.reports.are_wanted() => {
                    if has_work {
                        self.task.shard.handle_timeout(self.task.clock.now());
                    }
                }
            }
            while let Ok(completion) = self.task.completions.try_recv() {
                self.complete(completion);
            }
            self.send_on()?;
            if self.reports.are_wanted() {
                self.reports.advance(&mut self.task.shard, self.task.clock.now());
            }
            if self.stopping && self.writing.is_none() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Batch(Batch { connection, opens, commands, share }) => {
                if let Some(sender) = opens {
                    self.connections.insert(connection, sender);
                }
                self.share.absorb(share);
                self.task.shard.handle_commands(self.task.clock.now(), connection, commands);
            }
            Mail::ShardQuery(ShardQuery(question)) => question(&self.task.shard),
            // Who asked may have gone.
            Mail::Ping(answer) => drop(answer.send(())),
            Mail::Left(connection) => drop(self.connections.remove(&connection)),
            Mail::PublisherWaits => {
                self.task.shard.handle_waiting_publisher(self.task.clock.now());
            }
            Mail::Report(question) => self.reports.ask(question),
            Mail::Configure(users) => self.task.shard.configure_users(&users),
            Mail::Stop => {
                self.stopping = true;
                self.task.shard.handle_stop();
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let now = self.task.clock.now();
        match completion {
            Completion::Committed(commit) => {
                self.writing = None;
                self.task.shard.handle_committed(now, commit);
            }
            Completion::Fetched(fetched) => self.task.shard.handle_fetched(now, fetched),
            Completion::DelayedFetched(fetched) => {
                self.task.shard.handle_delayed_fetched(now, fetched);
            }
            Completion::DamagedDelayed(damaged) => {
                let what = Arc::clone(&damaged.what);
                if self.task.shard.handle_damaged_delayed(now, damaged) {
                    log_damaged_queue(&what);
                }
            }
            Completion::Damaged(damaged) => {
                let what = Arc::clone(&damaged.what);
                if self.task.shard.handle_damaged(now, damaged) {
                    log_damaged_queue(&what);
                }
            }
        }
    }

    fn send_on(&mut self) -> Result<(), CommitLogEnded> {
        self.commit_when_idle()?;
        self.share.shrink(self.task.shard.unwritten_bytes());
        if self.task.shard.has_changed_since(&self.task.snapshot.load()) {
            self.task.catalogue.store(Arc::new(self.task.shard.topology().snapshot()));
            self.task.snapshot.store(Arc::new(self.task.shard.snapshot()));
        }
        while let Some((connection, events)) = self.task.shard.poll_event() {
            if let Some(sender) = self.connections.get(&connection) {
                // A connection whose task has just ended says so by mail.
                let _ = sender.send(events);
            }
        }
        while let Some(fetch) = self.task.shard.poll_fetch() {
            self.task.readers.fetch(fetch);
        }
        while let Some(fetch) = self.task.shard.poll_delayed_fetch(self.task.clock.now()) {
            self.task.readers.fetch_delayed(fetch);
        }
        self.hand_spans_on();
        Ok(())
    }

    fn hand_spans_on(&mut self) {
        let Some(spans) = &self.task.spans else { return };
        while let Some(span) = self.task.shard.poll_span() {
            spans.send(span);
        }
        spans.count_dropped(self.task.shard.take_dropped_spans());
    }

    fn commit_when_idle(&mut self) -> Result<(), CommitLogEnded> {
        if self.writing.is_some() {
            return Ok(());
        }
        if let Some(commit) = self.task.shard.poll_commit() {
            self.writing = Some(commit.id);
            self.task.log.append(commit, std::mem::take(&mut self.share))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::connections::Connections;
    use crate::connection::publish_budget::PublishBudget;
    use crate::failure::failures;
    use crate::shard::mailbox::mailbox;
    use crate::shard::shard_link::{SessionError, ShardLink};
    use forebay_engine::command::Command;
    use forebay_engine::event::Reply;
    use forebay_engine::model::{ChannelId, Epoch, ObjectName, QueueDeclaration, TopologyRequest};
    use forebay_engine::operation::{Commit, Recovered};
    use forebay_engine::shard::{QueueDefaults, ShardSettings};
    use forebay_store::{MemoryStore, Store};
    use forebay_wire::ShortStr;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::task::JoinHandle;

    /// A commit log that does nothing by itself: the test says when a commit is durable.
    struct HeldLog(UnboundedSender<Commit>);

    impl CommitLog for HeldLog {
        fn append(&self, commit: Commit, _share: PublishShare) -> Result<(), CommitLogEnded> {
            self.0.send(commit).map_err(|_| CommitLogEnded)
        }
    }

    struct Rig {
        link: ShardLink,
        appended: UnboundedReceiver<Commit>,
        completions: UnboundedSender<Completion>,
        task: JoinHandle<Result<(), CommitLogEnded>>,
    }

    fn rig(epoch: Epoch) -> Rig {
        let settings = ShardSettings {
            vhosts: vec![ShortStr::from_static("/")],
            queue_defaults: QueueDefaults::default(),
        };
        let recovered = Recovered { epoch, ..Recovered::default() };
        let shard = Shard::recover(&settings, recovered).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (completions, completed) = unbounded_channel();
        let (failures, _) = failures();
        let (readers, _) = ReaderPool::start(&store, &completions, &failures).unwrap();
        let (log, appended) = unbounded_channel();
        let (mail_sender, mail) = mailbox();
        let snapshot = Arc::new(ArcSwap::from_pointee(shard.snapshot()));
        let catalogue = Arc::new(ArcSwap::from_pointee(shard.topology().snapshot()));
        let task = ShardTask {
            shard,
            clock: Clock::start(),
            mailbox: mail,
            completions: completed,
            log: HeldLog(log),
            readers,
            snapshot,
            catalogue,
            spans: None,
        };
        let budget = PublishBudget::new();
        let connections = Connections::default();
        let link = ShardLink { mailbox: mail_sender, connections, budget };
        Rig { link, appended, completions, task: tokio::spawn(task.run()) }
    }

    impl Rig {
        fn declare(&self, name: &'static str) -> JoinHandle<Result<Reply, SessionError>> {
            let name = ObjectName::from_static(name);
            let declaration = QueueDeclaration { name, durable: true, ..Default::default() };
            let command = Command::Topology {
                channel: ChannelId(1),
                request: TopologyRequest::DeclareQueue(declaration),
                nowait: false,
            };
            let link = self.link.clone();
            tokio::spawn(async move {
                link.ask(ShortStr::from_static("/"), ShortStr::from_static("guest"), command).await
            })
        }

        /// What a new shard begins with is durable.
        async fn begin(&mut self) -> Commit {
            // Any mail makes the task look for what is to be committed.
            self.link.ping().await.unwrap();
            let first = self.commit().await;
            self.committed(&first);
            first
        }

        /// The next commit, which stays under way.
        async fn commit(&mut self) -> Commit {
            self.appended.recv().await.unwrap()
        }

        fn committed(&self, commit: &Commit) {
            self.completions.send(Completion::Committed(commit.id)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_is_answered_when_the_log_says_so_and_commits_carry_their_epoch() {
        let mut rig = rig(Epoch(7));
        let first = rig.begin().await;
        let declared = rig.declare("orders");
        let second = rig.commit().await;
        assert_eq!((first.epoch, second.epoch), (Epoch(7), Epoch(7)));
        assert_eq!((first.id, second.id), (CommitId(1), CommitId(2)));
        // The shard takes mail while the log is busy, and answers nothing that is not durable.
        for _ in 0..10 {
            rig.link.ping().await.unwrap();
        }
        assert!(!declared.is_finished());
        rig.committed(&second);
        assert!(matches!(declared.await.unwrap(), Ok(Reply::QueueDeclared { .. })));
    }

    #[tokio::test]
    async fn a_log_that_takes_no_more_commits_ends_the_shard_and_nobody_is_answered() {
        let mut rig = rig(Epoch(0));
        rig.begin().await;
        rig.appended.close();
        let declared = rig.declare("orders");
        assert_eq!(rig.task.await.unwrap(), Err(CommitLogEnded));
        assert!(!declared.is_finished());
        declared.abort();
    }
}
