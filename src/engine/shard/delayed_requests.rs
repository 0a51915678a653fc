//! Requests of operators about delayed messages, one after the other for each queue. What is not in memory is
//! read from the store, a part at a time; what a request changes is durable before it is answered.

use super::Shard;
use super::delayed::DelayedFetch;
use super::traces::Arrival;
use crate::delayed_request::{
    DelayedAction, DelayedFate, DelayedPage, DelayedRequest, ListedDelayed,
};
use crate::event::Reply;
use crate::limits::{DELAYED_REQUEST_BYTES_MAX, TURN_RELEASES_MAX};
use crate::model::{ChannelKey, ConnectionId, DelayedId, DueClock, Fault, Message, QueueId};
use crate::queue::{Instants, due_on_the_wall, first_behind};
use forebay_wire::{ReplyCode, ShortStr};
use std::collections::{BTreeMap, VecDeque};

/// Requests that are not done, by queue, and what they want read.
#[derive(Debug, Default)]
pub(super) struct DelayedRequests {
    by_queue: BTreeMap<QueueId, VecDeque<Request>>,
    pub(super) reads: VecDeque<DelayedFetch>,
}

/// One request.
#[derive(Debug)]
struct Request {
    key: ChannelKey,
    queue: ShortStr,
    action: DelayedAction,
    /// A read for it is under way.
    is_reading: bool,
    /// What was read last.
    read: Option<Read>,
    /// The clocks that are not done, and where to go on in each.
    rest: VecDeque<DelayedId>,
    /// Of messages that were there at its begin the sequences are lower, by clock.
    below: [u64; 2],
    found: Vec<ListedDelayed>,
    /// Nothing behind this due time is known of some clock.
    known_to: Option<crate::model::WallClock>,
    ended: u64,
    has_begun: bool,
}

/// What the store showed.
#[derive(Debug)]
struct Read {
    messages: Vec<(DelayedId, Message)>,
    is_end: bool,
}

impl DelayedRequests {
    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        for requests in self.by_queue.values_mut() {
            // One that reads ends with its read.
            requests.retain(|request| request.key.connection != connection || request.is_reading);
        }
        self.by_queue.retain(|_, requests| !requests.is_empty());
    }
}

impl Shard {
    /// Begins a request.
    pub(super) fn request_delayed(
        &mut self,
        at: Instants,
        key: ChannelKey,
        request: DelayedRequest,
    ) {
        let vhost = self.clients.vhost(key.connection).unwrap_or_default();
        let id = match self.topology.queue(&vhost, &request.queue, key.connection) {
            Ok(record) => record.id,
            Err(fault) => return self.reply(key, Err(fault)),
        };
        if let Err(fault) = self.check_not_damaged(id) {
            return self.reply(key, Err(fault));
        }
        let Some(queue) = self.queues.get(&id) else { return };
        let from = |clock| match request.action {
            DelayedAction::List { after: Some(after), .. } => first_behind(after, clock, at),
            // What was removed before it may take long to pass over.
            _ => queue.first_delayed(clock),
        };
        let request = Request {
            key,
            queue: request.queue.into_short(),
            action: request.action,
            is_reading: false,
            read: None,
            rest: DueClock::ALL.map(from).into(),
            below: DueClock::ALL.map(|clock| queue.next_delayed_sequence(clock)),
            found: Vec::new(),
            known_to: None,
            ended: 0,
            has_begun: false,
        };
        self.delayed_requests.by_queue.entry(id).or_default().push_back(request);
        self.schedule(id);
    }

    /// Does what can be done of the requests that a queue has.
    pub(super) fn advance_delayed_requests(&mut self, id: QueueId, at: Instants) {
        while let Some(requests) = self.delayed_requests.by_queue.get_mut(&id)
            && requests.front().is_some_and(|request| !request.is_reading)
            && let Some(mut request) = requests.pop_front()
        {
            let outcome = self.advance_delayed_request(&mut request, id, at);
            let Some(reply) = outcome else {
                self.delayed_requests.by_queue.entry(id).or_default().push_front(request);
                return;
            };
            if request.ended > 0 {
                self.mark_dirty(id);
                self.commits.must_sync();
                self.commits.waiters.reply(request.key, reply);
            } else {
                self.reply(request.key, reply);
            }
        }
        if self.delayed_requests.by_queue.get(&id).is_some_and(VecDeque::is_empty) {
            self.delayed_requests.by_queue.remove(&id);
        }
    }

    /// The store has read for the first request of a queue.
    pub(super) fn delayed_request_read(
        &mut self,
        id: QueueId,
        from: DelayedId,
        messages: Vec<(DelayedId, Message)>,
        is_end: bool,
    ) {
        let requests = self.delayed_requests.by_queue.get_mut(&id);
        match requests.and_then(|requests| requests.front_mut()).filter(|front| front.is_reading) {
            Some(front) => {
                front.is_reading = false;
                front.read = Some(Read { messages, is_end });
            }
            None => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.end_delayed_request(from.clock);
                }
            }
        }
    }

    /// The queue is gone, or set aside; `why` is told the queue's name.
    pub(super) fn end_delayed_requests(
        &mut self,
        id: QueueId,
        why: impl Fn(&Self, &ShortStr) -> Fault,
    ) {
        for request in self.delayed_requests.by_queue.remove(&id).into_iter().flatten() {
            let fault = why(self, &request.queue);
            self.reply(request.key, Err(fault));
        }
    }

    /// Goes on with a request; the answer, when it is done.
    fn advance_delayed_request(
        &mut self,
        request: &mut Request,
        id: QueueId,
        at: Instants,
    ) -> Option<Result<Reply, Fault>> {
        match request.action {
            DelayedAction::One(message, fate) => self.end_one(request, id, message, fate, at),
            DelayedAction::All(fate) => self.end_all(request, id, fate, at),
            DelayedAction::List { count_max, .. } => self.list(request, id, count_max, at),
        }
    }

    fn end_one(
        &mut self,
        request: &mut Request,
        id: QueueId,
        wanted: DelayedId,
        fate: DelayedFate,
        at: Instants,
    ) -> Option<Result<Reply, Fault>> {
        let queue = self.queues.get_mut(&id)?;
        let known = queue.take_delayed(wanted);
        if let Some(message) = known {
            self.end_wait(request, id, [(wanted, message)], fate, at);
        } else if let Some(read) = request.read.take() {
            let first = read.messages.into_iter().next().filter(|(found, _)| *found == wanted);
            let there = first.filter(|(_, message)| queue.take_read_delayed(wanted, message));
            queue.end_delayed_request(wanted.clock);
            let Some((_, message)) = there else {
                let text = format!(
                    "no delayed message '{wanted}' in queue '{}': it became due, was cancelled, or never \
                     was there",
                    request.queue
                );
                return Some(Err(Fault::channel(ReplyCode::NotFound, text)));
            };
            self.end_wait(request, id, [(wanted, message)], fate, at);
        } else if queue.delayed_count() == 0 {
            request.read = Some(Read { messages: Vec::new(), is_end: true });
            return self.end_one(request, id, wanted, fate, at);
        } else {
            self.read_for(request, id, wanted, 1);
            return None;
        }
        Some(Ok(page(request)))
    }

    fn end_all(
        &mut self,
        request: &mut Request,
        id: QueueId,
        fate: DelayedFate,
        at: Instants,
    ) -> Option<Result<Reply, Fault>> {
        if !request.has_begun {
            request.has_begun = true;
            for from in request.rest.clone() {
                let queue = self.queues.get_mut(&id)?;
                let known = queue.known_delayed(from).into_iter().map(|(id, _)| id);
                let taken: Vec<_> =
                    known.filter_map(|id| Some((id, queue.take_delayed(id)?))).collect();
                self.end_wait(request, id, taken, fate, at);
            }
        }
        while let Some(from) = request.rest.front().copied() {
            let queue = self.queues.get_mut(&id)?;
            let Some(Read { messages, is_end }) = request.read.take() else {
                if queue.delayed_count() == 0 {
                    break;
                }
                self.read_for(request, id, from, DELAYED_REQUEST_BYTES_MAX);
                return None;
            };
            let below = request.below.get(usize::from(from.clock.number())).copied().unwrap_or(0);
            let next = messages.last().map(|(id, _)| id.next());
            let there = messages.into_iter().filter(|(message, _)| message.sequence < below);
            let there = there.filter(|(id, message)| queue.take_read_delayed(*id, message));
            let taken: Vec<_> = there.collect();
            queue.end_delayed_request(from.clock);
            self.end_wait(request, id, taken, fate, at);
            request.rest.pop_front();
            if let Some(next) = next.filter(|_| !is_end) {
                request.rest.push_front(next);
            }
        }
        Some(Ok(page(request)))
    }

    fn list(
        &mut self,
        request: &mut Request,
        id: QueueId,
        count_max: usize,
        at: Instants,
    ) -> Option<Result<Reply, Fault>> {
        while let Some(from) = request.rest.front().copied() {
            let queue = self.queues.get_mut(&id)?;
            let Some(Read { mut messages, is_end }) = request.read.take() else {
                if queue.delayed_count() == 0 {
                    break;
                }
                self.read_for(request, id, from, DELAYED_REQUEST_BYTES_MAX);
                return None;
            };
            let read_to = messages.last().map(|(id, _)| *id).filter(|_| !is_end);
            messages.retain(|(id, _)| !queue.is_delayed_removed(*id));
            let known = queue.known_delayed(from).into_iter();
            // Those that the store does not have yet, or did not when it was read.
            messages.extend(known.filter(|(id, _)| read_to.is_none_or(|to| *id <= to)));
            queue.end_delayed_request(from.clock);
            let listed =
                |(id, message)| ListedDelayed { id, due: due_on_the_wall(id, at), message };
            request.found.extend(messages.into_iter().map(listed));
            let known_to = read_to.map(|id| due_on_the_wall(id, at));
            request.known_to = request.known_to.into_iter().chain(known_to).min();
            request.rest.pop_front();
        }
        request.found.sort_by_key(|found| (found.due, found.id));
        request.found.dedup_by_key(|found| found.id);
        let before = request.found.len();
        let known_to = request.known_to;
        request.found.retain(|found| known_to.is_none_or(|to| found.due <= to));
        request.found.truncate(count_max);
        let is_end = known_to.is_none() && request.found.len() == before;
        let listed = std::mem::take(&mut request.found);
        Some(Ok(Reply::Delayed(Box::new(DelayedPage { listed, is_end, ended: 0 }))))
    }

    /// Has the store read for a request, or waits until it may.
    fn read_for(&mut self, request: &mut Request, id: QueueId, from: DelayedId, bytes_max: usize) {
        let queue = self.queues.get_mut(&id);
        if queue.is_some_and(|queue| queue.begin_delayed_request(from.clock)) {
            request.is_reading = true;
            let fetch = DelayedFetch { queue: id, from, bytes_max, is_for_request: true };
            self.delayed_requests.reads.push_back(fetch);
        }
    }

    /// The wait of these messages, which were taken out, is over.
    fn end_wait(
        &mut self,
        request: &mut Request,
        id: QueueId,
        messages: impl IntoIterator<Item = (DelayedId, Message)>,
        fate: DelayedFate,
        at: Instants,
    ) {
        let (ids, messages): (Vec<DelayedId>, Vec<Message>) = messages.into_iter().unzip();
        if messages.is_empty() {
            return;
        }
        request.ended += messages.len() as u64;
        self.work.spend(messages.len().min(TURN_RELEASES_MAX));
        self.mark_dirty_deferred(id, at.monotonic);
        if fate == DelayedFate::Delivered {
            let released = messages.into_iter().map(|message| message.released(at.wall));
            self.enqueue(id, released, Arrival::Due(&ids), true, at);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            if fate == DelayedFate::Cancelled {
                ids.iter().for_each(|message| queue.record_cancelled(*message, at));
            }
            queue.account(&mut self.memory);
        }
        self.schedule(id);
    }
}

fn page(request: &Request) -> Reply {
    let ended = request.ended;
    Reply::Delayed(Box::new(DelayedPage { listed: Vec::new(), is_end: true, ended }))
}
