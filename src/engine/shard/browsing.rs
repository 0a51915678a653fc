//! Walks of operators over queues: one step each, which waits for content where it has to. What a
//! step moves goes with one commit, both ends of it.

use super::Shard;
use super::death_record::{DeathRecord, headers};
use super::traces::Arrival;
use crate::browse::{Browse, BrowseAction, BrowsePage, DeadLetterGroup, RedriveOutcome};
use crate::event::Reply;
use crate::limits::{BROWSE_BYTES_MAX, BROWSE_MESSAGES_MAX};
use crate::model::{
    ChannelKey, ConnectionId, Fault, Message, Offset, OffsetRange, Position, QueueId,
};
use crate::queue::{Instants, Next};
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, VecDeque};

/// Steps that are not done, by queue.
#[derive(Debug, Default)]
pub(super) struct Browses {
    by_queue: BTreeMap<QueueId, VecDeque<Step>>,
}

impl Browses {
    fn push_front(&mut self, queue: QueueId, step: Step) {
        self.by_queue.entry(queue).or_default().push_front(step);
    }

    fn pop_front(&mut self, queue: QueueId) -> Option<Step> {
        let steps = self.by_queue.get_mut(&queue)?;
        let step = steps.pop_front();
        if steps.is_empty() {
            self.by_queue.remove(&queue);
        }
        step
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.by_queue.retain(|_, steps| {
            steps.retain(|step| step.key.connection != connection);
            !steps.is_empty()
        });
    }
}

/// A step under way.
#[derive(Debug)]
struct Step {
    key: ChannelKey,
    browse: Browse,
    rest: VecDeque<OffsetRange>,
    done: BrowsePage,
    bytes: usize,
    has_moved: bool,
}

impl Step {
    /// Whether it has done as much as one step may do, or all.
    fn is_over(&self) -> bool {
        self.rest.is_empty()
            || self.done.examined >= BROWSE_MESSAGES_MAX as u64
            || self.done.taken() >= self.browse.taken_max as u64
            || self.bytes >= BROWSE_BYTES_MAX
    }

    fn pass(&mut self, offset: Offset, message: &Message) {
        self.done.examined += 1;
        let (oldest, stamp) = (self.done.oldest, message.published_at());
        self.done.oldest = Some(oldest.map_or(stamp, |oldest| oldest.min(stamp)));
        self.bytes += message.size();
        match self.rest.front_mut() {
            Some(run) if offset < run.last => run.first = offset.next(),
            _ => drop(self.rest.pop_front()),
        }
    }
}

impl Shard {
    /// Begins a step.
    pub(super) fn browse(&mut self, key: ChannelKey, mut browse: Browse) {
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let id = match self.topology.queue(&vhost, &browse.queue, key.connection) {
            Ok(record) => record.id,
            Err(fault) => return self.reply(key, Err(fault)),
        };
        if let Err(fault) = self.check_not_damaged(id) {
            return self.reply(key, Err(fault));
        }
        let all =
            || self.queues.get(&id).map(|queue| queue.extent(browse.action)).unwrap_or_default();
        let rest = browse.runs.take().unwrap_or_else(all).into();
        let done = BrowsePage::default();
        let step = Step { key, browse, rest, done, bytes: 0, has_moved: false };
        self.browses.by_queue.entry(id).or_default().push_back(step);
        self.schedule(id);
    }

    /// Does what can be done of the steps that a queue has.
    pub(super) fn go_on_sweeping(&mut self, id: QueueId, at: Instants) {
        while let Some(mut step) = self.browses.pop_front(id) {
            if !self.advance(&mut step, id, at) {
                return self.browses.push_front(id, step);
            }
            if step.browse.action == BrowseAction::ShowParked
                && let Some(queue) = self.queues.get_mut(&id)
            {
                queue.stop_browsing();
            }
            let page = BrowsePage { rest: step.rest.into(), ..step.done };
            let reply = Ok(Reply::BrowsePage(Box::new(page)));
            if step.has_moved {
                self.commits.must_sync();
                self.commits.waiters.reply(step.key, reply);
            } else {
                self.reply(step.key, reply);
            }
        }
    }

    /// The queue is gone, or set aside; `why` is told the queue's name.
    pub(super) fn end_sweeps(&mut self, id: QueueId, why: impl Fn(&Self, &ShortStr) -> Fault) {
        for step in self.browses.by_queue.remove(&id).into_iter().flatten() {
            let fault = why(self, &step.browse.queue);
            self.reply(step.key, Err(fault));
        }
    }

    /// Goes on with a step; whether it is over.
    fn advance(&mut self, step: &mut Step, id: QueueId, at: Instants) -> bool {
        while !step.is_over() {
            let Some(run) = step.rest.front().copied() else { return true };
            let Some(queue) = self.queues.get_mut(&id) else { return true };
            match queue.first_browsed_in(run, step.browse.action) {
                Next::Empty | Next::Blocked => drop(step.rest.pop_front()),
                Next::Absent { priority, offset } => {
                    if queue.want_browsed(priority, offset) {
                        self.fetches.push_back(id);
                    }
                    return false;
                }
                Next::Present { offset, message, .. } => {
                    step.pass(offset, &message);
                    self.examine(step, id, Position { level: run.level, offset }, message, at);
                }
            }
        }
        true
    }

    fn examine(
        &mut self,
        step: &mut Step,
        id: QueueId,
        position: Position,
        message: Message,
        at: Instants,
    ) {
        let filter = &step.browse.filter;
        let headers = headers(&message);
        let death = DeathRecord::of(&message, &headers, &step.browse.queue);
        let is_asked_for = match &death {
            Some(death) => death.fits(filter) && filter.fits_headers(&headers),
            None => {
                filter.queue.is_none()
                    && filter.reason.is_none()
                    && filter.routing_key.is_none()
                    && filter.fits_headers(&headers)
            }
        };
        if !is_asked_for {
            return;
        }
        let trusts = step.browse.trust_headers;
        let known = death.as_ref().ok_or(RedriveOutcome::NoOrigin);
        let known = known.and_then(|death| {
            let is_believed = death.is_proven || trusts;
            is_believed.then_some(death).ok_or(RedriveOutcome::Unproven)
        });
        let outcome = match known.and_then(|death| self.way_back(id, death, &message)) {
            Ok((target, death)) => {
                if step.browse.action == BrowseAction::Redrive {
                    let (copy, from) =
                        (death.undo(&message, at.wall), Arrival::Redriven { from: id });
                    self.enqueue(target, [copy], from, true, at);
                    if let Some(queue) = self.queues.get_mut(&id) {
                        queue.record_redriven(position, || death.queue.clone(), at);
                    }
                    self.remove_at(id, position, &message, at);
                    step.has_moved = true;
                }
                RedriveOutcome::Redriven
            }
            Err(outcome) => outcome,
        };
        let (queue, reason) = death.map(|death| (death.queue, death.reason)).unzip();
        *step.done.groups.entry(DeadLetterGroup { queue, reason, outcome }).or_default() += 1;
        if matches!(step.browse.action, BrowseAction::Show | BrowseAction::ShowParked)
            && let Some(queue) = self.queues.get(&id)
        {
            step.done.shown.push(queue.show(position, message, at.monotonic));
        }
    }

    /// The queue that a message goes back to, or why it stays.
    fn way_back<'a>(
        &self,
        from: QueueId,
        death: &'a DeathRecord,
        message: &Message,
    ) -> Result<(QueueId, &'a DeathRecord), RedriveOutcome> {
        let here = self.topology.queue_by_id(from).ok_or(RedriveOutcome::QueueGone)?;
        let vhost: &ShortStr = &here.vhost;
        let record = self.topology.find_queue(vhost, &death.queue);
        let target = record.ok_or(RedriveOutcome::QueueGone)?.id;
        let queue = self.queues.get(&target).ok_or(RedriveOutcome::QueueGone)?;
        // Whatever gives way there otherwise: here nothing is to be lost.
        if queue.has_no_room_for(message) {
            Err(RedriveOutcome::QueueFull)
        } else {
            Ok((target, death))
        }
    }

    fn remove_at(&mut self, id: QueueId, position: Position, message: &Message, at: Instants) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let needs_commit = queue.remove_at(position, message.body().len() as u32);
        queue.account(&mut self.memory);
        let has_groups_to_go_on = queue.has_groups_to_go_on();
        if needs_commit {
            self.mark_dirty_deferred(id, at.monotonic);
        }
        if has_groups_to_go_on {
            self.schedule(id);
        }
    }
}
