//! Turns: each queue that something happened to does what it can do now.

use super::Shard;
use crate::credit::Survived;
use crate::limits::BORROWED_QUEUES_MAX;
use crate::model::{Monotonic, QueueId};
use crate::queue::Instants;

impl Shard {
    /// The queue is to be given a turn.
    pub(super) fn schedule(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id)
            && !queue.is_scheduled
        {
            queue.is_scheduled = true;
            self.scheduled.push_back(id);
        }
    }

    /// The queue has something for the next commit.
    pub(super) fn mark_dirty(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id)
            && !queue.is_dirty
        {
            queue.is_dirty = true;
            self.commits.add_dirty(id);
        }
    }

    /// The queue has something for the next commit, which may wait for others.
    pub(super) fn mark_dirty_deferred(&mut self, id: QueueId, now: Monotonic) {
        self.mark_dirty(id);
        self.commits.defer(now);
    }

    /// Gives turns until there is nothing more to do, or as much was done as one input may cause.
    pub(super) fn run_turns(&mut self, at: Instants) {
        self.give_turns(at);
        self.advance_tasks(at);
        // Queues may have other settings now.
        self.give_turns(at);
        self.free_discarded();
        self.remove_dead_key_records(at.monotonic);
        self.commits.note_unwritten(self.memory.unwritten_bytes());
        self.copy_out();
        self.evict();
        self.drop_lives();
    }

    /// Gives turns within a batch of commands, so that the next command sees messages where they
    /// belong.
    pub(super) fn give_turns(&mut self, at: Instants) {
        while self.work.is_left()
            && let Some(id) = self.scheduled.pop_front()
        {
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.is_scheduled = false;
                self.take_turn(id, at);
            }
        }
    }

    /// Connections that were sent nothing for the sake of a quarantined message, for as long as that
    /// may be, are sent everything again.
    pub(super) fn end_isolations(&mut self, now: Monotonic) {
        while let Some((channels, survived)) = self.clients.pop_isolation(now) {
            if let Some(Survived { channel, queue, position }) = survived
                && let Some(queue) = self.queues.get_mut(&queue)
            {
                queue.survived(channel, position);
            }
            for key in channels {
                self.unblock_channel(key);
            }
        }
    }

    /// Gives turns to the queues whose time has come.
    pub(super) fn wake_queues(&mut self, now: Monotonic) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(when, _)| *when <= now) {
            self.timers.pop_first();
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.timer = None;
            }
            self.schedule(id);
        }
    }

    /// One turn of one queue, and what follows from it.
    pub(super) fn take_turn(&mut self, id: QueueId, at: Instants) {
        self.release_due(id, at);
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let (clients, out, limits) = (&mut self.clients, &mut self.outbox, self.work.limits);
        let turn = queue.take_turn(at, clients, out, &mut self.timings, limits);
        self.work.spend(turn.work());
        queue.account(&mut self.memory);
        self.commits.note_consumed(turn.consumed);
        if queue.plan_releases(at) {
            self.delayed_reads.push_back(id);
        }
        let timer = queue.poll_timeout();
        if timer != queue.timer {
            if let Some(old) = std::mem::replace(&mut queue.timer, timer) {
                self.timers.remove(&(old, id));
            }
            self.timers.extend(timer.map(|when| (when, id)));
        }
        if turn.wants_fetch {
            self.fetches.push_back(id);
        }
        if turn.needs_commit {
            self.mark_dirty_deferred(id, at.monotonic);
        }
        if turn.is_unfinished {
            self.schedule(id);
        }
        for channel in turn.overdue {
            for place in self.clients.consumers_of(channel) {
                self.schedule(place.queue);
            }
        }
        if !turn.dead.is_empty() {
            self.dead_letter(at, id, &turn.dead);
        }
        if self.spans.is_wanted() {
            self.collect_spans(id);
        }
        self.go_on_sweeping(id, at);
        self.advance_delayed_requests(id, at);
        if turn.is_expired {
            self.delete_queue(at, id);
            self.add_topology_operations();
        }
    }

    /// Copies messages out of the buffers they were received in when there are too many of those.
    fn copy_out(&mut self) {
        if !self.memory.is_borrowed() && self.borrowed.len() <= BORROWED_QUEUES_MAX {
            return;
        }
        for id in std::mem::take(&mut self.borrowed) {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            queue.copy_out();
            queue.account(&mut self.memory);
        }
    }

    /// Frees what deleted and purged queues had in memory, as much as one input may.
    fn free_discarded(&mut self) {
        let mut left = self.work.discarded_max();
        while left > 0
            && let Some(discarded) = self.discarded.front_mut()
        {
            match discarded.free_part() {
                0 => drop(self.discarded.pop_front()),
                messages => left = left.saturating_sub(messages),
            }
        }
    }

    /// Drops the older half of what queues tell of their messages when that is too much, one queue after the
    /// other.
    fn drop_lives(&mut self) {
        let excess = self.memory.lives_excess();
        if excess == 0 {
            return;
        }
        let mut freed = 0;
        let (before, after) = (..self.lives_from, self.lives_from..);
        let queues = self.queues.range(after).chain(self.queues.range(before));
        let queues = queues.filter(|(_, queue)| queue.keeps_lives());
        for id in queues.map(|(id, _)| *id).collect::<Vec<QueueId>>() {
            if freed >= excess {
                self.lives_from = id;
                break;
            }
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            freed += queue.halve_lives();
            queue.account(&mut self.memory);
        }
    }

    /// Drops content that the store has too when there is too much of it, one queue after the
    /// other.
    fn evict(&mut self) {
        let excess = self.memory.cached_excess();
        if excess == 0 {
            return;
        }
        let mut freed = 0;
        let (before, after) = (..self.evict_from, self.evict_from..);
        let order: Vec<QueueId> =
            self.queues.range(after).chain(self.queues.range(before)).map(|(id, _)| *id).collect();
        for id in order {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            freed += queue.evict(excess - freed);
            queue.account(&mut self.memory);
            self.evict_from = id;
            if freed >= excess {
                break;
            }
        }
    }
}
