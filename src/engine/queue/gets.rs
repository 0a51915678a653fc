//! `basic.get`: each is answered in a turn of the queue, once the content of its message is in memory.

use super::clock_skew::Instants;
use super::delivery_pass::{DeliveryPass, Next, PendingGet};
use super::message_states::Held;
use super::recording::Taker;
use super::{GetKind, Queue, Timings};
use crate::credit::{Clients, HeldCount, Outbox};
use crate::event::{Event, Reply};
use crate::model::Monotonic;

impl Queue {
    /// Answers a `basic.get`, now or when the content is there.
    pub(crate) fn get(&mut self, get: PendingGet) {
        self.pending_gets.push_back(get);
    }

    /// Answers those that wait, as far as content is in memory.
    pub(super) fn answer_gets(
        &mut self,
        at: Instants,
        clients: &mut Clients,
        out: &mut Outbox,
        timings: &mut Timings,
        pass: &mut DeliveryPass,
    ) {
        while let Some(get) = self.pending_gets.front().copied() {
            let pick = self.pick_for_get(&get, at.monotonic, clients);
            let next = match pick {
                _ if self.is_get_held_back(get.kind, at.monotonic, pass) => Some(Next::Empty),
                Some((order, _)) => self.front_alive(order, at, pass),
                None => Some(Next::Empty),
            };
            let Some(next) = next else { return };
            let reply = match next {
                Next::Absent { priority, offset } => {
                    pass.wants_fetch |= self.want(priority, offset);
                    return;
                }
                // All that were quarantined have just expired: now the others go.
                Next::Empty if pick.is_some_and(|(_, is_trial)| is_trial) && self.ready() > 0 => {
                    continue;
                }
                Next::Empty | Next::Blocked => {
                    self.counters.gets_empty += 1;
                    Reply::Empty
                }
                Next::Present { priority, offset, message } => {
                    let is_trial = pick.is_some_and(|(_, is_trial)| is_trial)
                        && self.is_quarantined(priority, offset);
                    let no_ack = get.kind == GetKind::NoAck;
                    let held = Held {
                        channel: get.slot,
                        consumer: None,
                        size: message.body().len() as u32,
                        delivered_at: at.monotonic,
                        extended_to: Monotonic::AT_ONCE,
                    };
                    self.note_wait(at, priority, offset, message.published_at(), timings);
                    let group = self.group_of(&message);
                    let delivery = self.delivery(priority, offset, message);
                    let taker = Taker::Get { channel: get.slot, no_ack };
                    self.record_delivery(&delivery, taker, clients, at);
                    self.counters.got += 1;
                    self.counters.got_no_ack += u64::from(no_ack);
                    let unacked = HeldCount { consumed: 0, all: u64::from(!no_ack) };
                    clients.charge(get.slot, delivery.budget_size(), unacked);
                    clients.remember_queue(get.slot, self.id);
                    if is_trial {
                        let position = delivery.position;
                        clients.begin_trial(get.slot, self.id, position, at.monotonic);
                    }
                    if get.kind != GetKind::Inspect {
                        self.use_limits(no_ack, at.monotonic, pass);
                    }
                    pass.needs_commit |= self.track(priority, offset, held, no_ack, group);
                    let remaining = self.ready().min(u64::from(u32::MAX)) as u32;
                    Reply::Got { queue: self.id, delivery, remaining }
                }
            };
            self.pending_gets.pop_front();
            out.push(get.connection, Event::Reply { channel: get.channel, reply: Ok(reply) });
        }
    }
}
