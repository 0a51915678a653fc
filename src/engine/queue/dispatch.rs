//! A queue's turn: messages that are ready go to those who wait for them, as long as both are
//! there. Nothing here is durable.

use super::in_flight::Held;
use super::{ConsumerId, Queue};
use crate::event::{Delivery, Event, Reply};
use crate::ids::{ChannelId, ConnectionId, Lane as LaneId, Offset, Position};
use crate::limits::TURN_DELIVERIES_MAX;
use crate::message::Message;
use crate::shard::clients::{ChannelSlot, Clients};
use crate::shard::outbox::Outbox;
use crate::time::Monotonic;

/// A `basic.get` that waits for a message's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingGet {
    pub(crate) connection: ConnectionId,
    pub(crate) channel: ChannelId,
    pub(crate) slot: ChannelSlot,
    pub(crate) no_ack: bool,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// Messages and takers are left: the queue wants another turn.
    pub(crate) is_unfinished: bool,
    /// The store is to be asked for content.
    pub(crate) wants_fetch: bool,
    /// The store has to learn of settled messages.
    pub(crate) is_stored: bool,
}

/// A message at the front of the order.
enum Next {
    /// There is none.
    Empty,
    /// Its content has to be fetched.
    Absent { level: usize, offset: Offset },
    /// Here it is.
    Present { level: usize, delivery: Delivery },
}

impl Queue {
    /// Answers a `basic.get`, now or when the content is there.
    pub(crate) fn get(&mut self, get: PendingGet) {
        self.pending_gets.push_back(get);
    }

    /// Delivers what can be delivered.
    pub(crate) fn turn(&mut self, now: Monotonic, clients: &mut Clients, out: &mut Outbox) -> Turn {
        let mut turn = Turn::default();
        self.answer_gets(now, clients, out, &mut turn);
        if self.pending_gets.is_empty() {
            self.deliver(now, clients, out, &mut turn);
        }
        let is_read = self.consumers.are_waiting();
        for lane in &mut self.lanes {
            lane.release_content();
            turn.wants_fetch |= is_read && lane.want_ahead();
        }
        turn
    }

    fn answer_gets(
        &mut self,
        now: Monotonic,
        clients: &mut Clients,
        out: &mut Outbox,
        turn: &mut Turn,
    ) {
        while let Some(get) = self.pending_gets.front().copied() {
            let reply = match self.next_message() {
                Next::Absent { level, offset } => {
                    turn.wants_fetch |= self.want(level, offset);
                    return;
                }
                Next::Empty => Reply::Empty,
                Next::Present { level, delivery } => {
                    let held = Held {
                        channel: get.slot,
                        consumer: None,
                        size: delivery.message.size() as u32,
                        delivered_at: now,
                    };
                    self.counters.got += 1;
                    clients.charge(get.slot, delivery.budget_size(), 0);
                    clients.remember_queue(get.slot, self.id);
                    self.counters.redelivered += u64::from(delivery.redelivered);
                    let offset = delivery.position.offset;
                    turn.is_stored |= self.hand_over(level, offset, held, get.no_ack);
                    let remaining = self.ready().min(u64::from(u32::MAX)) as u32;
                    Reply::Got { queue: self.id, delivery, remaining }
                }
            };
            self.pending_gets.pop_front();
            out.push(get.connection, Event::Reply { channel: get.channel, reply: Ok(reply) });
        }
    }

    fn deliver(
        &mut self,
        now: Monotonic,
        clients: &mut Clients,
        out: &mut Outbox,
        turn: &mut Turn,
    ) {
        let mut served: Vec<ConsumerId> = Vec::new();
        turn.is_unfinished = true;
        for _ in 0..TURN_DELIVERIES_MAX {
            let (level, delivery) = match self.next_message() {
                Next::Present { level, delivery } => (level, delivery),
                Next::Empty => {
                    turn.is_unfinished = false;
                    break;
                }
                Next::Absent { level, offset } => {
                    turn.is_unfinished = false;
                    if self.consumers.next(clients).is_some() {
                        turn.wants_fetch |= self.want(level, offset);
                    }
                    break;
                }
            };
            let Some(consumer) = self.consumers.next(clients) else {
                turn.is_unfinished = false;
                break;
            };
            let no_ack = consumer.no_ack;
            let held = Held {
                channel: consumer.channel,
                consumer: Some(consumer.id),
                size: delivery.message.size() as u32,
                delivered_at: now,
            };
            consumer.unacked += u64::from(!no_ack);
            clients.charge(consumer.channel, delivery.budget_size(), u64::from(!no_ack));
            if consumer.outgoing.is_empty() {
                served.push(consumer.id);
            }
            let (offset, redelivered) = (delivery.position.offset, delivery.redelivered);
            consumer.outgoing.push(delivery);
            self.counters.redelivered += u64::from(redelivered);
            turn.is_stored |= self.hand_over(level, offset, held, no_ack);
        }
        for id in served {
            self.hand_on(id, clients, out);
        }
    }

    /// What a consumer was given in this turn goes out as one event.
    fn hand_on(&mut self, id: ConsumerId, clients: &mut Clients, out: &mut Outbox) {
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

    fn next_message(&self) -> Next {
        for (level, lane) in self.lanes.iter().enumerate().rev() {
            let Some(offset) = lane.next_ready() else { continue };
            let Some(message) = lane.content(offset) else { return Next::Absent { level, offset } };
            let delivery = Delivery {
                position: Position { lane: LaneId(level as u8), offset },
                message: Message::clone(message),
                redelivered: lane.is_redelivered(offset),
                failures: lane.failures(offset),
            };
            return Next::Present { level, delivery };
        }
        Next::Empty
    }

    /// Takes a message out of the order for `held`. Returns whether the store has to learn of it.
    fn hand_over(&mut self, level: usize, offset: Offset, held: Held, no_ack: bool) -> bool {
        self.counters.delivered += 1;
        self.counters.delivered_no_ack += u64::from(no_ack);
        let Some(lane) = self.lanes.get_mut(level) else { return false };
        lane.take(offset);
        if no_ack {
            return lane.settle([(offset, held.size)]);
        }
        lane.hold(offset, held);
        false
    }

    fn want(&mut self, level: usize, offset: Offset) -> bool {
        self.lanes.get_mut(level).is_some_and(|lane| lane.want(offset))
    }
}
