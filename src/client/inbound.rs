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
    assembler::{Content, ContentMethod},
    channel::{Answer, Channel, Role, Stage},
    inbox::Delivered,
    incoming::Incoming,
    session::{Link, Session},
};

impl Session {
    /// Handles frames in their order. Stops at the first one that ends the connection.
    pub(crate) fn handle_frames(&mut self, frames: &mut Vec<Frame>) {
        let mut wakes = mem::take(&mut self.wakes);
        for frame in frames.drain(..) {
            let handled = match frame {
                Frame::Heartbeat => Ok(()),
                Frame::Method { channel: 0, method } => {
                    self.handle_connection_method(method, &mut wakes)
                }
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
        self.wakes = wakes;
    }

    fn handle_connection_method(
        &mut self,
        method: Method,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
        match method {
            Method::ConnectionClose(close) => self.handle_connection_close(&close),
            Method::ConnectionCloseOk(_) => self.link = Link::Closed(Error::Closed),
            Method::ConnectionBlocked(blocked) => self.blocked = Some(blocked.reason),
            Method::ConnectionUnblocked(_) => {
                self.blocked = None;
                self.senders.move_to(wakes);
            }
            Method::ConnectionUpdateSecretOk(_) => {
                if let Some(asker) = self.askers.pop_front() {
                    asker.answer(Ok(Answer::Method(method)));
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
                self.after_confirm(number);
            }
            Method::BasicNack(nack) => {
                if let Some(window) = channel.window() {
                    window.handle_nack(nack.delivery_tag, nack.multiple, wakes);
                }
                self.after_confirm(number);
            }
            Method::BasicCancel(cancel) => self.handle_cancel(number, cancel, wakes),
            Method::ChannelClose(close) => self.handle_channel_close(number, &close, wakes),
            Method::ChannelCloseOk(ok) => self.handle_channel_close_ok(number, ok.into()),
            Method::ChannelFlow(flow) => {
                self.put(number, &ChannelFlowOk { active: flow.active }.into())
            }
            other => channel.handle_answer(Answer::Method(other)),
        }
        Ok(())
    }

    /// A released publisher waits for its last confirm.
    fn after_confirm(&mut self, number: u16) {
        if self.channel(number).is_some_and(|channel| channel.is_released) {
            self.close_if_done(number);
        }
    }

    fn handle_cancel(&mut self, number: u16, cancel: BasicCancel, wakes: &mut Vec<Waker>) {
        if let Some(inbox) = self.channel(number).and_then(Channel::inbox) {
            let queue = inbox.spec.queue.to_string();
            inbox.finish(Some(ConsumeError::Cancelled { queue }), wakes);
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
        if is_closing {
            channel.stage = Stage::Closing;
        } else if channel.is_released {
            self.free(number);
        } else if matches!(channel.role, Role::Publisher(_) | Role::Unconfirmed | Role::Puller(_)) {
            tracing::warn!(channel = number, %fault, "the broker closed a channel; it is opened again");
            self.repair(number);
        }
    }

    fn handle_channel_close_ok(&mut self, number: u16, ok: Method) {
        let Some(channel) = self.channel(number) else { return };
        if !channel.askers.is_empty() {
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
        match channel.assembler.handle_header(header)? {
            Some(content) => channel.handle_content(content, wakes),
            None => Ok(()),
        }
    }

    fn handle_body(
        &mut self,
        number: u16,
        body: Bytes,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
        let channel = self.channel(number).ok_or("content came for a channel that is not open")?;
        match channel.assembler.handle_body(body)? {
            Some(content) => channel.handle_content(content, wakes),
            None => Ok(()),
        }
    }
}

impl Channel {
    fn handle_answer(&mut self, answer: Answer) {
        if let Some(asker) = self.askers.pop_front() {
            asker.answer(Ok(answer));
        }
    }

    fn handle_content(
        &mut self,
        content: Content,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), &'static str> {
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
                if let Some(inbox) = self.inbox() {
                    inbox.push(Delivered { tag: deliver.delivery_tag, incoming }, wakes);
                }
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
            }
            ContentMethod::GetOk(got) => {
                if let Some(unsettled) = self.unsettled() {
                    unsettled.push(got.delivery_tag);
                }
                let method = ContentMethod::GetOk(got);
                self.handle_answer(Answer::Content(Content { method, properties, body }));
            }
        }
        Ok(())
    }
}
