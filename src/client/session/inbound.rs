//! What the broker sends, put into the session.
//!
//! Called by the driver with all frames of one read at once. Whatever breaks the protocol ends the
//! socket, not the program: `loss` is set and the driver stops.

use std::{mem, task::Waker};

use bytes::Bytes;
use forebay_wire::{
    ContentHeader, Frame, Method,
    method::{
        BasicCancel, BasicCancelOk, ChannelClose, ChannelCloseOk, ChannelFlowOk, ConnectionClose,
        ConnectionCloseOk,
    },
};

use crate::{
    ConsumeError, Error, Fault, Loss, Returned,
    message::incoming::Incoming,
    session::assembler::{Content, ContentMethod},
    session::channel::{Answer, Channel, Role, Stage},
    session::inbox::Delivered,
    session::{Link, Session},
};

impl Session {
    /// Handles frames in their order. Stops at the first one that ends the connection.
    pub(crate) fn handle_frames(&mut self, frames: &mut Vec<Frame>) {
        let mut wakes = mem::take(&mut self.wakes);
        for frame in frames.drain(..) {
            let handled = match frame {
                Frame::Heartbeat => Ok(()),
                Frame::Method { channel: 0, method } => self.handle_connection_method(method),
                Frame::Method { channel, method } => {
                    self.handle_channel_method(channel, method, &mut wakes)
                }
                Frame::Header { channel, header } => {
                    self.handle_header(channel, header, &mut wakes)
                }
                Frame::Body { channel, body } => self.handle_body(channel, body, &mut wakes),
            };
            if let Err(text) = handled {
                self.loss.get_or_insert(Loss::Protocol(text.into()));
            }
            if self.loss.is_some() {
                break;
            }
        }
        self.wakes.append(&mut wakes);
    }

    fn handle_connection_method(&mut self, method: Method) -> Result<(), &'static str> {
        match method {
            Method::ConnectionClose(close) => self.handle_connection_close(&close),
            Method::ConnectionCloseOk(_) => self.link = Link::Closed(Error::Closed),
            Method::ConnectionBlocked(blocked) => self.blocked = Some(blocked.reason),
            Method::ConnectionUnblocked(_) => self.blocked = None,
            Method::ConnectionUpdateSecretOk(_) => {
                if let Some(request) = self.pending_requests.pop_front() {
                    request.answer(Ok(Answer::Method(method)));
                }
            }
            _ => return Err("a method that has no place on channel 0"),
        }
        Ok(())
    }

    fn handle_connection_close(&mut self, close: &ConnectionClose) {
        self.put(0, &ConnectionCloseOk {}.into());
        self.loss = Some(Loss::Server(Fault::from(close)));
    }

    fn handle_channel_method(
        &mut self,
        number: u16,
        method: Method,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
        let Some(channel) = self.channel(number) else {
            return Err("a frame came for a channel that is not open");
        };
        match method {
            Method::BasicDeliver(deliver) => {
                channel.assembler.handle_method(ContentMethod::Deliver(deliver))?
            }
            Method::BasicReturn(returned) => {
                channel.assembler.handle_method(ContentMethod::Return(returned))?
            }
            Method::BasicGetOk(got) => {
                channel.assembler.handle_method(ContentMethod::GetOk(got))?
            }
            Method::BasicAck(ack) => {
                if let Some(window) = channel.window() {
                    window.handle_ack(ack.delivery_tag, ack.multiple, wakes);
                }
                self.after_confirm(number, wakes);
            }
            Method::BasicNack(nack) => {
                if let Some(window) = channel.window() {
                    window.handle_nack(nack.delivery_tag, nack.multiple, wakes);
                }
                self.after_confirm(number, wakes);
            }
            Method::BasicCancel(cancel) => self.handle_cancel(number, cancel, wakes),
            Method::ChannelClose(close) => self.handle_channel_close(number, &close, wakes),
            Method::ChannelCloseOk(ok) => self.handle_channel_close_ok(number, ok.into()),
            Method::ChannelFlow(flow) => {
                self.put(number, &ChannelFlowOk { active: flow.active }.into())
            }
            other => {
                channel.handle_answer(Answer::Method(other));
                self.return_unwanted(number);
            }
        }
        Ok(())
    }

    /// A probe goes on with the next message; a released publisher waits for its last confirm.
    fn after_confirm(&mut self, number: u16, wakes: &mut Vec<Waker>) {
        let Some(channel) = self.channel(number) else { return };
        let is_released = channel.is_released;
        if channel.window().is_some_and(|window| window.is_probing()) {
            mem::swap(&mut self.wakes, wakes);
            self.write_backlog(number);
            mem::swap(&mut self.wakes, wakes);
        }
        if is_released {
            self.close_if_done(number);
        }
    }

    fn handle_cancel(&mut self, number: u16, cancel: BasicCancel, wakes: &mut Vec<Waker>) {
        if let Some(inbox) = self.channel(number).and_then(Channel::inbox) {
            let queue = inbox.spec.queue.clone();
            let error = ConsumeError::Cancelled { queue: queue.to_string() };
            inbox.finish(Some(error), wakes);
            // The broker took the queue away: it is not to be declared again.
            self.cancelled.push(queue);
        }
        if !cancel.no_wait {
            self.put(number, &BasicCancelOk { consumer_tag: cancel.consumer_tag }.into());
        }
    }

    fn handle_channel_close(&mut self, number: u16, close: &ChannelClose, wakes: &mut Vec<Waker>) {
        self.put(number, &ChannelCloseOk {}.into());
        let fault = Fault::from(close);
        let Some(channel) = self.channel(number) else { return };
        // The program closes it too: then close-ok still comes, as both sides must answer.
        let is_closing = channel.stage == Stage::Closing;
        channel.handle_fault(&fault, wakes);
        // A released publisher still has to write again what was not the broker's reason.
        let is_done = channel.is_released && channel.is_idle();
        let is_repaired =
            matches!(channel.role, Role::Publisher(_) | Role::Unconfirmed(_) | Role::Puller(_));
        if is_closing {
            channel.stage = Stage::Closing;
        } else if is_done {
            self.free(number);
        } else if is_repaired && channel.was_ready {
            tracing::warn!(channel = number, %fault, "the broker closed a channel; it is opened again");
            self.repair(number);
        }
        self.handle_epoch_end();
    }

    fn handle_channel_close_ok(&mut self, number: u16, ok: Method) {
        let Some(channel) = self.channel(number) else { return };
        if !channel.pending_requests.is_empty() {
            channel.handle_answer(Answer::Method(ok));
        }
        channel.stage = Stage::Fresh;
        if channel.is_released {
            self.free(number);
        }
    }

    fn handle_header(
        &mut self,
        number: u16,
        header: ContentHeader,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
        let channel = self.channel(number).ok_or("content came for a channel that is not open")?;
        if let Some(content) = channel.assembler.handle_header(header)? {
            let effect = channel.handle_content(content, wakes);
            self.handle_effect(number, effect);
        }
        Ok(())
    }

    fn handle_body(
        &mut self,
        number: u16,
        body: Bytes,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
        let channel = self.channel(number).ok_or("content came for a channel that is not open")?;
        if let Some(content) = channel.assembler.handle_body(body)? {
            let effect = channel.handle_content(content, wakes);
            self.handle_effect(number, effect);
        }
        Ok(())
    }

    fn handle_effect(&mut self, number: u16, effect: Effect) {
        match effect {
            Effect::ReadAhead(size) => {
                self.statistics.delivered += 1;
                self.read_ahead.grow(size);
            }
            Effect::Pulled => {
                self.statistics.delivered += 1;
                self.return_unwanted(number);
            }
            Effect::None => {}
        }
    }
}

/// What the session has to do after content came.
enum Effect {
    None,
    /// A consumer has one more; so many bytes count as read ahead.
    ReadAhead(usize),
    /// A puller has its message.
    Pulled,
}

impl Channel {
    fn handle_answer(&mut self, answer: Answer) {
        if let Some(request) = self.pending_requests.pop_front() {
            request.answer(Ok(answer));
        }
    }

    fn handle_content(&mut self, content: Content, wakes: &mut Vec<Waker>) -> Effect {
        let Content { method, properties, body } = content;
        match method {
            ContentMethod::Deliver(deliver) => {
                let incoming = Incoming {
                    exchange: deliver.exchange,
                    routing_key: deliver.routing_key,
                    is_redelivered: deliver.redelivered,
                    properties,
                    body,
                };
                if let Some(replies) = &mut self.replies {
                    replies.handle_reply(incoming);
                } else if let Some(inbox) = self.inbox() {
                    let tag = deliver.delivery_tag;
                    return Effect::ReadAhead(inbox.push(Delivered { tag, incoming }, wakes));
                }
                Effect::None
            }
            ContentMethod::Return(returned) => {
                if let (Some(id), Some(window)) = (properties.message_id(), self.window()) {
                    let returned = Returned {
                        code: returned.reply_code,
                        text: returned.reply_text.to_string(),
                        message: Incoming {
                            exchange: returned.exchange,
                            routing_key: returned.routing_key,
                            is_redelivered: false,
                            properties,
                            body,
                        },
                    };
                    window.handle_returned(&id, Box::new(returned));
                }
                Effect::None
            }
            ContentMethod::GetOk(got) => {
                let incoming = Incoming {
                    exchange: got.exchange,
                    routing_key: got.routing_key,
                    is_redelivered: got.redelivered,
                    properties,
                    body,
                };
                if let Some(pulling) = self.pulling() {
                    pulling.push(Delivered { tag: got.delivery_tag, incoming });
                }
                self.handle_answer(Answer::Pulled);
                Effect::Pulled
            }
        }
    }
}
