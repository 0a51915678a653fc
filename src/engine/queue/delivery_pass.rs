//! A queue's turn: what expired, is dead or exceeds the length leaves, and ready messages are delivered
//! to consumers and `basic.get`s that have credit.

use super::clock_skew::Instants;
use super::dead_letter::DeadLetter;
use super::groups::Turn;
use super::level::PriorityLevel;
use super::message_states::Held;
use super::quarantine_delivery::Pick;
use super::recording::Taker;
use super::{Queue, Timings};
use crate::credit::ConsumerId;
use crate::credit::Outbox;
use crate::credit::WorkLimits;
use crate::credit::{ChannelSlot, Clients, HeldCount};
use crate::event::{Delivery, Event};
use crate::model::{
    ChannelId, ConnectionId, DeathReason, Level, Message, Monotonic, Offset, Position, WallClock,
};
use crate::trace::Happening;

/// A `basic.get` that waits for a message's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingGet {
    pub(crate) connection: ConnectionId,
    pub(crate) channel: ChannelId,
    pub(crate) slot: ChannelSlot,
    pub(crate) kind: GetKind,
}

/// What a `basic.get` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GetKind {
    /// The client acknowledges it.
    Ack,
    /// Settled by being sent.
    NoAck,
    /// An operator looks, and settles it.
    Inspect,
}

/// What came of a turn.
#[derive(Debug, Default)]
pub(crate) struct DeliveryPass {
    /// Messages and takers are left: the queue wants another turn.
    pub(crate) is_unfinished: bool,
    /// The store is to be asked for content.
    pub(crate) wants_fetch: bool,
    /// The store has to learn of settled messages.
    pub(crate) needs_commit: bool,
    /// Messages that consumers without acknowledgements took.
    pub(crate) consumed: u64,
    /// What is to be put elsewhere before the next commit.
    pub(crate) dead: Vec<DeadLetter>,
    /// Channels that hang since this turn. Other queues in which they have consumers choose others.
    pub(crate) overdue: Vec<ChannelSlot>,
    /// The queue was not used for as long as it may be unused (`x-expires`).
    pub(crate) is_expired: bool,
    /// Messages that are delivered and not settled; counted where there is a limit.
    pub(super) in_flight: u64,
    /// How much the turn may do.
    limits: WorkLimits,
    /// Messages delivered.
    delivered: usize,
    /// Messages that left because they were too old, too many or dead.
    departed: usize,
    /// Messages that were looked at and wait behind others of their groups.
    blocked: usize,
}

impl DeliveryPass {
    fn new(limits: WorkLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether no further message may leave in this turn: the rest waits for the next one, so that
    /// other queues get theirs.
    pub(super) fn is_full(&self) -> bool {
        self.departed >= self.limits.departures_max
            || self.blocked >= self.limits.departures_max
            || self.dead.len() >= self.limits.dead_letters_max
    }

    /// A message left.
    pub(super) fn depart(&mut self) {
        self.departed += 1;
    }

    /// What the turn cost, counted in deliveries.
    pub(crate) fn work(&self) -> usize {
        1 + self.delivered + self.departed + self.blocked
    }
}

/// What the deliveries of a turn have come to.
#[derive(Debug, Default)]
pub(super) struct PassDeliveries {
    /// Consumers with something to be handed on.
    served: Vec<ConsumerId>,
    /// Quarantined messages can't be delivered for now: others go first.
    pub(super) quarantined_wait: bool,
    /// A consumer waits for content that has to be fetched.
    pub(super) awaits_content: bool,
}

/// A message at the front of the order.
pub(crate) enum Next {
    /// There is none.
    Empty,
    /// There are messages, and none of them may be delivered before another one of its group is done.
    Blocked,
    /// Its content has to be fetched.
    Absent { priority: usize, offset: Offset },
    /// Here it is.
    Present { priority: usize, offset: Offset, message: Message },
}

impl Queue {
    /// Delivers and removes what it may, within `limits`.
    pub(crate) fn take_turn(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        timings: &mut Timings,
        limits: WorkLimits,
    ) -> DeliveryPass {
        let mut pass = DeliveryPass::new(limits);
        if self.state.is_damaged() {
            // No message leaves, not even by its age: what can be read comes back with a repair.
            return pass;
        }
        self.used_at.get_or_insert(at.monotonic);
        self.start_lives(at);
        self.quarantine_at = None;
        pass.needs_commit |= self.forget_keys(at);
        self.release_due(at);
        self.expire_overdue(at, clients, out, &mut pass);
        self.remove_dead_letters(&mut pass);
        self.begin_limits(&mut pass);
        self.let_groups_go_on();
        self.answer_gets(at, clients, out, timings, &mut pass);
        let is_all_offered =
            self.pending_gets.is_empty() && self.deliver(at, clients, out, timings, &mut pass);
        if is_all_offered {
            self.keep_limits(at, &mut pass);
        }
        pass.is_unfinished |= pass.is_full() || self.has_groups_to_go_on();
        self.let_groups_go_on();
        pass.is_expired = self.is_unused_for_too_long(at.monotonic);
        let is_read = self.consumers.are_waiting() && !self.rules.paused;
        for level in &mut self.levels {
            level.drop_delivered_content();
            if is_all_offered {
                level.see_all();
            }
            pass.wants_fetch |= is_read && level.want_ahead();
        }
        pass
    }

    /// Messages that expired, and those above the length limits, leave. Expiry comes first: what it
    /// removes need not be dropped for length.
    fn keep_limits(&mut self, at: Instants, pass: &mut DeliveryPass) {
        let had_quarantined = self.levels.iter().any(PriorityLevel::has_quarantined);
        let before = self.ready();
        while self.expire_heads(at, pass) && self.drop_excess(at, pass) {}
        // A quarantined one that left may have held others up.
        pass.is_unfinished |= had_quarantined && self.ready() < before;
    }

    /// The message at the front.
    pub(super) fn front(&self) -> Next {
        self.front_by(PriorityLevel::first_ready)
    }

    fn front_by(&self, next: impl Fn(&PriorityLevel) -> Option<Offset>) -> Next {
        for (priority, level) in self.levels.iter().enumerate().rev() {
            let Some(offset) = next(level) else { continue };
            return match level.content(offset) {
                Some(message) => Next::Present { priority, offset, message: message.clone() },
                None => Next::Absent { priority, offset },
            };
        }
        Next::Empty
    }

    /// The message at the front that is not expired and whose turn it is in its group; expired ones before
    /// it leave, and others wait. `None`: so many have done so that the rest waits for the next turn.
    pub(super) fn front_alive(
        &mut self,
        next: impl Fn(&PriorityLevel) -> Option<Offset>,
        at: Instants,
        pass: &mut DeliveryPass,
    ) -> Option<Next> {
        loop {
            self.let_groups_go_on();
            let front = self.front_by(&next);
            if let Next::Present { priority, offset, message } = &front
                && let Turn::Later(group) = self.turn_of(*priority, *offset, message)
            {
                if pass.is_full() {
                    return None;
                }
                if !self.block(*priority, *offset, group, at) {
                    return Some(Next::Blocked);
                }
                pass.blocked += 1;
                continue;
            }
            match front {
                Next::Present { priority, offset, message }
                    if self.is_seen_and_expired(at, priority, offset, &message) =>
                {
                    if pass.is_full() {
                        return None;
                    }
                    self.remove_ready((priority, offset), message, DeathReason::Expired, at, pass);
                }
                next => return Some(next),
            }
        }
    }

    /// A ready message at the front leaves, as a dead letter if `reason` has a destination.
    pub(super) fn remove_ready(
        &mut self,
        (priority, offset): (usize, Offset),
        message: Message,
        reason: DeathReason,
        at: Instants,
        pass: &mut DeliveryPass,
    ) {
        let is_dead_letter = self.rules.has_destination(reason);
        let life = self.record_seen(
            Position { level: Level(priority as u8), offset },
            &message,
            || Happening::Died { reason, is_dead_letter },
            at,
        );
        let Some(level) = self.levels.get_mut(priority) else { return };
        pass.departed += 1;
        level.take(offset);
        pass.needs_commit |= level.settle([(offset, message.body().len() as u32)]);
        self.count_end(reason, 1);
        if is_dead_letter {
            self.counters.count_dead_letter(reason);
            pass.dead.push(DeadLetter { message, reason, life });
        }
    }

    /// Asks for content. Returns whether the store has to be asked because of it.
    pub(crate) fn want(&mut self, priority: usize, offset: Offset) -> bool {
        self.levels.get_mut(priority).is_some_and(|level| level.want(offset))
    }

    /// Messages left without an acknowledgement, as dead letters or not.
    pub(super) fn count_end(&mut self, reason: DeathReason, messages: u64) {
        match reason {
            DeathReason::Expired => self.counters.expired += messages,
            DeathReason::MaxLength => self.counters.overflowed += messages,
            DeathReason::DeliveryLimit => self.counters.failed += messages,
            // A consumer has decided: that is done.
            DeathReason::Rejected => {}
        }
    }

    /// Dead messages whose content is in memory become dead letters.
    fn remove_dead_letters(&mut self, pass: &mut DeliveryPass) {
        for (priority, level) in self.levels.iter_mut().enumerate() {
            while let Some((offset, reason)) = level.first_dead() {
                if pass.is_full() {
                    return;
                }
                let Some(message) = level.content(offset).cloned() else {
                    pass.wants_fetch |= level.want(offset);
                    break;
                };
                pass.departed += 1;
                pass.needs_commit |= level.remove_dead(offset);
                self.counters.failed += u64::from(reason == DeathReason::DeliveryLimit);
                self.counters.count_dead_letter(reason);
                let position = Position { level: Level(priority as u8), offset };
                let life = self.lives.as_ref().and_then(|lives| lives.at(position));
                pass.dead.push(DeadLetter { message, reason, life });
            }
        }
    }

    /// Gives messages to consumers. Returns whether every ready message was offered to them:
    /// otherwise the next turn goes on, and what has not been offered does not expire before that.
    fn deliver(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        timings: &mut Timings,
        pass: &mut DeliveryPass,
    ) -> bool {
        let mut round = PassDeliveries::default();
        let levels = &self.levels;
        self.consumers.choose_active(clients, |consumer| {
            levels.iter().any(|level| level.is_held_beside(consumer))
        });
        pass.is_unfinished = true;
        for _ in 0..pass.limits.deliveries_max {
            if !self.deliver_one(at, clients, timings, pass, &mut round) {
                pass.is_unfinished = false;
                break;
            }
        }
        pass.is_unfinished |= pass.is_full();
        for id in round.served {
            self.emit(id, clients, out);
        }
        !pass.is_unfinished && !round.awaits_content
    }

    /// Gives the front message to whose turn it is; whether there is more to do.
    fn deliver_one(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        timings: &mut Timings,
        pass: &mut DeliveryPass,
        round: &mut PassDeliveries,
    ) -> bool {
        if self.consumers.are_waiting() && self.is_held_back(at.monotonic, pass) {
            return false;
        }
        let Some(pick) = self.pick(at, clients, pass, round) else { return false };
        let Pick { priority, offset, message, consumer: id, is_trial } = pick;
        let published_at = message.published_at();
        let group = self.group_of(&message);
        let delivery = self.delivery(priority, offset, message);
        self.record_delivery(&delivery, Taker::Consumer(id), clients, at);
        let Some(consumer) = self.consumers.get_mut(id) else { return false };
        let no_ack = consumer.no_ack;
        let held = Held {
            channel: consumer.channel,
            consumer: Some(consumer.id),
            size: delivery.message.body().len() as u32,
            delivered_at: at.monotonic,
            extended_to: Monotonic::AT_ONCE,
        };
        consumer.deliver(at.monotonic);
        let unacked = u64::from(!no_ack);
        let unacked = HeldCount { consumed: unacked, all: unacked };
        clients.charge(held.channel, delivery.budget_size(), unacked);
        if is_trial && !no_ack {
            clients.begin_trial(held.channel, self.id, delivery.position, at.monotonic);
        }
        if consumer.outgoing.is_empty() {
            round.served.push(id);
        }
        consumer.outgoing.push(delivery);
        pass.delivered += 1;
        self.note_wait(at, priority, offset, published_at, timings);
        pass.consumed += u64::from(no_ack);
        self.use_limits(no_ack, at.monotonic, pass);
        pass.needs_commit |= self.track(priority, offset, held, no_ack, group);
        true
    }

    /// What a consumer was given in this turn goes out as one event.
    fn emit(&mut self, id: ConsumerId, clients: &mut Clients, out: &mut Outbox) {
        let queue = self.id;
        let Some((consumer, deliveries)) = self.consumers.take_outgoing(id) else { return };
        let Some(key) = clients.key(consumer.channel) else { return };
        if !consumer.no_ack {
            clients.remember_queue(consumer.channel, queue);
        }
        let event = Event::Deliver {
            channel: key.channel,
            consumer_tag: consumer.tag.clone(),
            queue,
            no_ack: consumer.no_ack,
            deliveries,
        };
        out.push(key.connection, event);
    }

    pub(super) fn delivery(&self, priority: usize, offset: Offset, message: Message) -> Delivery {
        let level = self.levels.get(priority);
        Delivery {
            position: Position { level: Level(priority as u8), offset },
            message,
            redelivered: level.is_some_and(|level| level.is_redelivered(offset)),
            failures: level.map_or(0, |level| level.failures(offset)),
            returns: level.map_or(0, |level| level.returns(offset)),
        }
    }

    /// A message is delivered: how long did it wait?
    pub(super) fn note_wait(
        &self,
        at: Instants,
        priority: usize,
        offset: Offset,
        published_at: WallClock,
        timings: &mut Timings,
    ) {
        let Some(level) = self.levels.get(priority) else { return };
        if !level.is_redelivered(offset) {
            let waited = at.steady - level.stamped(offset, published_at);
            timings.waited.observe(u64::try_from(waited).unwrap_or(0));
        }
    }

    /// Takes a message of a group out of the order for `held`. Returns whether the store has to learn of it.
    pub(super) fn track(
        &mut self,
        priority: usize,
        offset: Offset,
        held: Held,
        no_ack: bool,
        group: Option<u64>,
    ) -> bool {
        self.counters.delivered += 1;
        self.counters.delivered_no_ack += u64::from(no_ack);
        let Some(level) = self.levels.get_mut(priority) else { return false };
        self.counters.redelivered += u64::from(level.is_redelivered(offset));
        level.take(offset);
        if no_ack {
            return level.settle([(offset, held.size)]);
        }
        level.deliver(offset, held);
        if let Some(group) = group {
            self.hold_group(priority, offset, group);
        }
        self.watch(&held);
        false
    }
}
