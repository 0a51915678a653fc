//! Walks of operators over queues: one step each, which waits for content where it has to. What a
//! step moves goes with one commit, both ends of it.

use super::Shard;
use super::last_death::{LastDeath, headers};
use crate::command::Run;
use crate::event::Reply;
use crate::fault::Fault;
use crate::ids::{ChannelKey, ConnectionId, Offset, Position, QueueId};
use crate::limits::{SWEEP_MESSAGES_MAX, SWEEP_OCTETS_MAX};
use crate::message::Message;
use crate::queue::{Moment, Next};
use crate::sweep::{Sweep, SweepAction, SweepGroup, SweepOutcome, Swept};
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, VecDeque};

/// Steps that are not done, by queue.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    by_queue: BTreeMap<QueueId, VecDeque<Step>>,
}

impl Sweeps {
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
    sweep: Sweep,
    rest: VecDeque<Run>,
    done: Swept,
    octets: usize,
    has_moved: bool,
}

impl Step {
    /// Whether it has done as much as one step may do, or all.
    fn is_over(&self) -> bool {
        self.rest.is_empty()
            || self.done.examined >= SWEEP_MESSAGES_MAX as u64
            || self.done.taken() >= self.sweep.taken_max as u64
            || self.octets >= SWEEP_OCTETS_MAX
    }

    fn pass(&mut self, offset: Offset, message: &Message) {
        self.done.examined += 1;
        let (oldest, stamp) = (self.done.oldest, message.published_at());
        self.done.oldest = Some(oldest.map_or(stamp, |oldest| oldest.min(stamp)));
        self.octets += message.size();
        match self.rest.front_mut() {
            Some(run) if offset < run.last => run.first = offset.next(),
            _ => drop(self.rest.pop_front()),
        }
    }
}

impl Shard {
    /// Begins a step.
    pub(super) fn sweep(&mut self, key: ChannelKey, mut sweep: Sweep) {
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let id = match self.topology.queue(&vhost, &sweep.queue, key.connection) {
            Ok(record) => record.id,
            Err(fault) => return self.reply(key, Err(fault)),
        };
        if let Err(fault) = self.check_not_damaged(id) {
            return self.reply(key, Err(fault));
        }
        let all = || self.queues.get(&id).map(|queue| queue.extent()).unwrap_or_default();
        let rest = sweep.runs.take().unwrap_or_else(all).into();
        let done = Swept::default();
        let step = Step { key, sweep, rest, done, octets: 0, has_moved: false };
        self.sweeps.by_queue.entry(id).or_default().push_back(step);
        self.schedule(id);
    }

    /// Does what can be done of the steps that a queue has.
    pub(super) fn go_on_sweeping(&mut self, id: QueueId, at: Moment) {
        while let Some(mut step) = self.sweeps.pop_front(id) {
            if !self.advance(&mut step, id, at) {
                return self.sweeps.push_front(id, step);
            }
            let swept = Swept { rest: step.rest.into(), ..step.done };
            let reply = Ok(Reply::Swept(Box::new(swept)));
            if step.has_moved {
                self.commits.must_sync();
                self.commits.promises.reply(step.key, reply);
            } else {
                self.reply(step.key, reply);
            }
        }
    }

    /// The queue is gone, or set aside; `why` is told the queue's name.
    pub(super) fn end_sweeps(&mut self, id: QueueId, why: impl Fn(&Self, &ShortStr) -> Fault) {
        for step in self.sweeps.by_queue.remove(&id).into_iter().flatten() {
            let fault = why(self, &step.sweep.queue);
            self.reply(step.key, Err(fault));
        }
    }

    /// Goes on with a step; whether it is over.
    fn advance(&mut self, step: &mut Step, id: QueueId, at: Moment) -> bool {
        while !step.is_over() {
            let Some(run) = step.rest.front().copied() else { return true };
            let Some(queue) = self.queues.get_mut(&id) else { return true };
            match queue.first_ready_in(run) {
                Next::Empty => drop(step.rest.pop_front()),
                Next::Absent { level, offset } => {
                    if queue.want(level, offset) {
                        self.fetches.push_back(id);
                    }
                    return false;
                }
                Next::Present { offset, message, .. } => {
                    step.pass(offset, &message);
                    self.examine(step, id, Position { lane: run.lane, offset }, message, at);
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
        at: Moment,
    ) {
        let filter = &step.sweep.filter;
        let headers = headers(&message);
        let death = LastDeath::of(&message, &headers, &step.sweep.queue);
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
        let trusts = step.sweep.trust_headers;
        let known = death.as_ref().ok_or(SweepOutcome::NoOrigin);
        let known = known.and_then(|death| {
            let is_believed = death.is_proven || trusts;
            is_believed.then_some(death).ok_or(SweepOutcome::Unproven)
        });
        let outcome = match known.and_then(|death| self.way_back(id, death, &message)) {
            Ok((target, death)) => {
                if step.sweep.action == SweepAction::Redrive {
                    self.enqueue(target, [death.undo(&message, at.wall)], true, at);
                    self.withdraw(id, position, &message, at);
                    step.has_moved = true;
                }
                SweepOutcome::Redriven
            }
            Err(outcome) => outcome,
        };
        let (queue, reason) = death.map(|death| (death.queue, death.reason)).unzip();
        *step.done.groups.entry(SweepGroup { queue, reason, outcome }).or_default() += 1;
        if step.sweep.action == SweepAction::Show {
            step.done.shown.push((position, message));
        }
    }

    /// The queue that a message goes back to, or why it stays.
    fn way_back<'a>(
        &self,
        from: QueueId,
        death: &'a LastDeath,
        message: &Message,
    ) -> Result<(QueueId, &'a LastDeath), SweepOutcome> {
        let here = self.topology.queue_by_id(from).ok_or(SweepOutcome::QueueGone)?;
        let vhost: &ShortStr = &here.vhost;
        let record = self.topology.find_queue(vhost, &death.queue);
        let target = record.ok_or(SweepOutcome::QueueGone)?.id;
        let queue = self.queues.get(&target).ok_or(SweepOutcome::QueueGone)?;
        // Whatever gives way there otherwise: here nothing is to be lost.
        if queue.has_no_room_for(message) {
            Err(SweepOutcome::QueueFull)
        } else {
            Ok((target, death))
        }
    }

    fn withdraw(&mut self, id: QueueId, position: Position, message: &Message, at: Moment) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let is_stored = queue.withdraw(position, message.body().len() as u32);
        queue.account(&mut self.memory);
        if is_stored {
            self.touch_stored(id, at.monotonic);
        }
    }
}
