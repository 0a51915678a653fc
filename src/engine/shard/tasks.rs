//! What takes long, in slices: the removal of the queues of a connection or of a virtual host and of
//! the bindings of what is gone, policies over all queues, and files of definitions. Who asked for it is answered when all of
//! it is done, and a request for a name that is not free yet waits until it is. Owned by the
//! [`super::Shard`].

use super::Shard;
use super::import::Import;
use crate::administration::Administration;
use crate::definition::Definition;
use crate::event::Reply;
use crate::model::{
    ChannelKey, ConnectionId, Destination, ExchangeDeclaration, Fault, QueueDeclaration, QueueId,
    TopologyRequest,
};
use crate::queue::Instants;
use crate::topology::PolicyPass;
use forebay_wire::ShortStr;
use std::collections::VecDeque;

/// What the removal of a queue counts as, in bindings.
const QUEUE_WORK: usize = 4;

/// What is to be done, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    queue: VecDeque<Task>,
    /// Requests for names that are not free yet, in their order.
    held: VecDeque<Held>,
}

/// Done in the order in which they were asked for.
#[derive(Debug)]
enum Task {
    /// Each of these goes.
    Queues(VecDeque<QueueId>),
    /// The topology removes what it has begun to, up to this removal.
    Bindings(u64),
    /// The queues of a virtual host come to follow its policies.
    Policies(PolicyPass),
    /// A file of definitions is taken.
    Import(ChannelKey, Box<Import>),
    /// Everything before is done.
    Reply { key: ChannelKey, reply: Result<Reply, Fault>, is_awaited: bool },
}

/// A request that waits.
#[derive(Debug)]
enum Held {
    Topology { key: ChannelKey, request: TopologyRequest, nowait: bool },
    Administration { key: ChannelKey, request: Administration },
}

impl Held {
    fn key(&self) -> ChannelKey {
        match self {
            Self::Topology { key, .. } | Self::Administration { key, .. } => *key,
        }
    }
}

impl Tasks {
    /// Whether there is nothing to be done, and nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.held.is_empty()
    }

    /// A connection is gone: nobody waits for the answers to its requests.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.held.retain(|held| held.key().connection != connection);
    }
}

impl Shard {
    /// Queues are to go, one after the other.
    pub(super) fn remove_queues(&mut self, queues: impl IntoIterator<Item = QueueId>) {
        let queues: VecDeque<_> = queues.into_iter().collect();
        if !queues.is_empty() {
            self.tasks.queue.push_back(Task::Queues(queues));
        }
    }

    /// The topology may have begun to remove something.
    pub(super) fn note_removals(&mut self) {
        let begun = self.topology.removals_begun();
        let is_known = |task: &Task| matches!(task, Task::Bindings(number) if *number >= begun);
        if begun > self.topology.removals_done() && !self.tasks.queue.iter().any(is_known) {
            self.tasks.queue.push_back(Task::Bindings(begun));
        }
    }

    /// The policies of a virtual host have changed.
    pub(super) fn apply_policies(&mut self, vhost: &ShortStr) {
        let is_to_come =
            |task: &Task| matches!(task, Task::Policies(pass) if pass.is_to_begin_in(vhost));
        if !self.tasks.queue.iter().any(is_to_come) {
            self.tasks.queue.push_back(Task::Policies(PolicyPass::new(vhost)));
        }
    }

    /// A file of definitions is to be taken.
    pub(super) fn begin_import(&mut self, key: ChannelKey, definitions: Vec<Definition>) {
        let import = Box::new(Import::new(definitions));
        self.tasks.queue.push_back(Task::Import(key, import));
    }

    /// Replies when everything that is to be done now is done, at once when that is nothing.
    pub(super) fn reply_when_done(
        &mut self,
        key: ChannelKey,
        reply: Result<Reply, Fault>,
        is_awaited: bool,
    ) {
        if self.tasks.queue.is_empty() {
            self.reply_done(key, reply, is_awaited);
        } else {
            self.tasks.queue.push_back(Task::Reply { key, reply, is_awaited });
        }
    }

    /// Goes on as far as one input may.
    pub(super) fn advance_tasks(&mut self, at: Instants) {
        if self.tasks.is_idle() {
            return;
        }
        let mut left = self.work.removals_max();
        while left > 0
            && let Some(task) = self.tasks.queue.pop_front()
        {
            let (work, rest) = self.advance_task(at, task, left);
            left = left.saturating_sub(work);
            if let Some(rest) = rest {
                self.tasks.queue.push_front(rest);
            }
        }
        if self.tasks.queue.is_empty() {
            for held in std::mem::take(&mut self.tasks.held) {
                match held {
                    Held::Topology { key, request, nowait } => {
                        self.handle_topology(at, key, request, nowait);
                    }
                    Held::Administration { key, request } => self.administer(at, key, request),
                }
            }
        }
    }

    /// Goes on with one task; returns what was done and what is left of it.
    fn advance_task(&mut self, at: Instants, task: Task, left: usize) -> (usize, Option<Task>) {
        match task {
            Task::Reply { key, reply, is_awaited } => {
                self.reply_done(key, reply, is_awaited);
                (0, None)
            }
            Task::Queues(mut queues) => {
                let Some(queue) = queues.pop_front() else { return (0, None) };
                self.delete_queue(at, queue);
                self.add_topology_operations();
                (QUEUE_WORK, Some(Task::Queues(queues)))
            }
            Task::Bindings(number) if self.topology.removals_done() >= number => (0, None),
            Task::Bindings(number) => {
                let work = self.topology.take_away(left);
                self.add_topology_operations();
                (work.max(1), Some(Task::Bindings(number)))
            }
            Task::Policies(mut pass) => {
                let (work, is_over) = self.advance_policies(at, &mut pass, left);
                (work, (!is_over).then_some(Task::Policies(pass)))
            }
            Task::Import(key, mut import) => match self.advance_import(at, &mut import, left) {
                Ok(true) => (left, Some(Task::Import(key, import))),
                Ok(false) => {
                    import.changed_policies().iter().for_each(|vhost| self.apply_policies(vhost));
                    self.reply_when_done(key, Ok(Reply::Done), true);
                    (left, None)
                }
                Err(fault) => {
                    self.reply(key, Err(fault));
                    (left, None)
                }
            },
        }
    }

    /// Whether a request has to wait for a removal, in which case it is kept.
    pub(super) fn holds_topology(
        &mut self,
        key: ChannelKey,
        vhost: &ShortStr,
        request: TopologyRequest,
        nowait: bool,
    ) -> Option<TopologyRequest> {
        if self.tasks.is_idle() || !self.is_for_what_leaves(vhost, &request) {
            return Some(request);
        }
        self.tasks.held.push_back(Held::Topology { key, request, nowait });
        None
    }

    /// Holds an operator's request back while it has to wait for a task.
    pub(super) fn holds_administration(
        &mut self,
        key: ChannelKey,
        request: Administration,
    ) -> Option<Administration> {
        let is_free = matches!(
            request,
            Administration::DecideFirstUser(_)
                | Administration::PutUser { .. }
                | Administration::DeleteUser { .. }
                | Administration::Grant { .. }
                | Administration::Revoke { .. }
                | Administration::SetLimit { .. }
                | Administration::SetPolicy { .. }
                | Administration::ClearPolicy { .. }
                | Administration::SetSchedule { .. }
                | Administration::PauseSchedule { .. }
                | Administration::RunSchedule(_)
                | Administration::DeleteSchedule(_)
        );
        if is_free || self.tasks.is_idle() {
            return Some(request);
        }
        self.tasks.held.push_back(Held::Administration { key, request });
        None
    }

    fn is_for_what_leaves(&self, vhost: &ShortStr, request: &TopologyRequest) -> bool {
        let is_leaving = |end: Destination| self.topology.is_leaving(vhost, &end);
        match request {
            TopologyRequest::DeclareExchange(ExchangeDeclaration { name, .. })
            | TopologyRequest::DeleteExchange { name, .. } => {
                is_leaving(Destination::Exchange(name.clone()))
            }
            TopologyRequest::DeclareQueue(QueueDeclaration { name, .. })
            | TopologyRequest::DeleteQueue { name, .. }
            | TopologyRequest::PurgeQueue { name } => is_leaving(Destination::Queue(name.clone())),
            TopologyRequest::Bind(binding) | TopologyRequest::Unbind(binding) => {
                is_leaving(binding.destination.clone())
                    || is_leaving(Destination::Exchange(binding.source.clone()))
            }
        }
    }

    fn reply_done(&mut self, key: ChannelKey, reply: Result<Reply, Fault>, is_awaited: bool) {
        if is_awaited {
            self.reply_when_durable(key, reply);
        } else {
            self.reply(key, reply);
        }
    }
}
