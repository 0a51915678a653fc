//! Events from the shard: answers, deliveries, confirms.

use super::Connection;
use super::failure::Failure;
use super::session::Session;
use super::state::State;
use crate::event::{Event, Reply};
use crate::model::{ChannelId, Fault, Now};
use crate::session::ConnectionOutputs;
use crate::session::PendingRequest;

impl Connection {
    /// Takes an event. Confirms are written by [`Self::output`], as few frames as can be for
    /// all that came until then.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        let was_paused = self.is_paused();
        // What the client asked for and does not read stops its input; deliveries have a budget of
        // their own.
        let is_answer = !matches!(event, Event::Deliver { .. } | Event::DirectReply { .. });
        let before = self.outputs.output.len();
        match &mut self.state {
            State::Open(session) => {
                if let Event::Close { fault } = event {
                    self.handle_shutdown(now, fault);
                } else if let Err(failure) = session.handle_event(&mut self.outputs, event) {
                    self.fail(now, failure);
                }
            }
            State::Closing { .. } => {
                if matches!(event, Event::Reply { .. }) {
                    self.handle_detached();
                }
            }
            _ => {}
        }
        if is_answer {
            self.answers_size += self.outputs.output.len() - before;
        }
        if was_paused && !self.is_paused() {
            // What came meanwhile was not read: the client was not silent.
            self.heartbeat.hear(now.monotonic);
        }
    }
}

impl Session {
    fn handle_event(
        &mut self,
        outputs: &mut ConnectionOutputs,
        event: Event,
    ) -> Result<(), Failure> {
        match event {
            Event::Reply { channel, reply } => return self.handle_reply(outputs, channel, reply),
            Event::Deliver { channel: id, consumer_tag, queue, no_ack, deliveries } => {
                // Also what is dropped here, because the channel is closing, has left the budget.
                self.delivered_size +=
                    deliveries.iter().map(crate::event::Delivery::budget_size).sum::<usize>();
                if let Some((info, channel)) = self.channel(id) {
                    let frame_size_max = info.tuned.frame_size_max;
                    for delivery in &deliveries {
                        channel.deliver(
                            &mut outputs.output,
                            &consumer_tag,
                            (!no_ack).then_some(queue),
                            delivery,
                            frame_size_max,
                        );
                    }
                }
            }
            Event::Confirm { channel: id, first, last } => {
                if let Some((_, channel)) = self.channel(id) {
                    channel.confirm(first, last);
                    self.note_confirms(outputs, id);
                }
            }
            Event::Refuse { channel: id, first, last } => {
                if let Some((_, channel)) = self.channel(id) {
                    channel.refuse(first, last);
                    self.note_confirms(outputs, id);
                }
            }
            Event::Overdue { channel: id } => {
                if let Some((_, channel)) = self.channel(id) {
                    channel.is_overdue = true;
                }
            }
            Event::ConsumerCancelled { channel: id, number } => {
                if let Some((info, channel)) = self.channel(id) {
                    let notify = info.client.consumer_cancel_notify;
                    channel.lose_consumer(&mut outputs.output, number, notify);
                }
            }
            Event::Returned { channel: id, message } => {
                if let Some((info, channel)) = self.channel(id) {
                    let frame_size_max = info.tuned.frame_size_max;
                    channel.return_reply(&mut outputs.output, &message, frame_size_max);
                    outputs.traffic.returned += 1;
                }
            }
            Event::DirectReply { channel: id, token, message } => {
                // Also what is dropped here, because the channel is closing, is on its way no more.
                self.replied_size += message.size();
                if let Some((info, channel)) = self.channel(id) {
                    let frame_size_max = info.tuned.frame_size_max;
                    channel.deliver_reply(&mut outputs.output, token, &message, frame_size_max);
                }
            }
            Event::Blocked { reason, is_memory_short } => {
                self.raise_alarm(reason, is_memory_short)?;
            }
            Event::Unblocked => self.clear_alarm(outputs),
            Event::Describe => outputs.channels_changed = true,
            // The connection's own matter.
            Event::Close { .. } => {}
        }
        Ok(())
    }

    fn handle_reply(
        &mut self,
        outputs: &mut ConnectionOutputs,
        id: ChannelId,
        reply: Result<Reply, Fault>,
    ) -> Result<(), Failure> {
        let Some(PendingRequest { channel, method, awaited }) = self.pending.take() else {
            debug_assert!(false, "reply without a pending");
            return Ok(());
        };
        debug_assert_eq!(channel, id);
        match reply {
            Err(fault) => self.fail(outputs, channel, Failure { fault, method }),
            Ok(reply) => {
                self.answer(outputs, channel, awaited, reply);
                Ok(())
            }
        }
    }
}
