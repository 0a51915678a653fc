//! The state of a connection as its handles and its driver share it: a state machine without I/O.
//!
//! Handles put requests, publishes and settlements in; the driver takes the bytes to write out and
//! puts the frames that it read in (`inbound.rs`). Everything here happens under one short lock;
//! tasks to wake are collected in `wakes` and woken after it is released ([`crate::connection::shared`]). It
//! outlives single sockets: channels stay, and are set up again by `restore.rs`.

pub(crate) mod admission;
pub(crate) mod assembler;
pub(crate) mod channel;
pub(crate) mod inbound;
pub(crate) mod inbox;
pub(crate) mod pulling;
pub(crate) mod read_ahead;
pub(crate) mod refusal;
pub(crate) mod replies;
pub(crate) mod sending;
pub(crate) mod settling;
pub(crate) mod statistics;
pub(crate) mod tickets;
pub(crate) mod unsettled;
pub(crate) mod waiters;
pub(crate) mod window;

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use forebay_wire::{Method, ReplyCode, SendBuffer, ShortStr, method::ConnectionClose};
use tokio::sync::oneshot;

use crate::{
    ConsumeError, Error, Loss, PublishError,
    limits::FRAME_SIZE_MAX,
    session::channel::{
        AnswerReceiver, Channel, ControlPermit, NoAnswer, PendingRequest, Role, Stage,
    },
    session::read_ahead::ReadAhead,
    session::statistics::Statistics,
    session::tickets::UnreportedFailures,
};

/// How far the connection as a whole is.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    Down,
    Up,
    /// Being closed by the program; `true` once `connection.close` was written.
    Closing(bool),
    Closed(Error),
}

/// What was agreed in the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) channels_max: u16,
    pub(crate) frame_size_max: u32,
    /// The broker takes settlement instructions.
    pub(crate) takes_instructions: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) tuning: Tuning,
    pub(crate) output: SendBuffer,
    pub(crate) channels: Vec<Option<Channel>>,
    /// Why the broker takes no messages (`connection.blocked`).
    pub(crate) blocked: Option<ShortStr>,
    /// Requests about the connection itself, on channel 0.
    pub(crate) pending_requests: VecDeque<PendingRequest>,
    /// What was declared is there again; until then only the restoration declares.
    pub(crate) is_restored: bool,
    /// Why the broker or its bytes ended this socket.
    pub(crate) loss: Option<Loss>,
    pub(crate) wakes: Vec<Waker>,
    /// Channels whose publishers wait for the socket to take more.
    pub(crate) stalled: Vec<u16>,
    /// The driver's task, while it has no output to write.
    driver: Option<Waker>,
    pub(crate) acks_due: Vec<u16>,
    /// Channels that are to be set up again because the broker closed them.
    pub(crate) repairs: Vec<u16>,
    /// The restoration's task, while no channel is to be set up.
    pub(crate) restorer: Option<Waker>,
    /// Queues whose consumer the broker cancelled; `shared.rs` takes them out of the record.
    pub(crate) cancelled: Vec<ShortStr>,
    /// Counts the times that deliveries lost their channel, any of them; read without the lock.
    pub(crate) epochs: Arc<AtomicU64>,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) statistics: Statistics,
    /// Failures of publishers that are gone.
    pub(crate) unreported: UnreportedFailures,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            link: Link::Down,
            tuning: Tuning {
                channels_max: u16::MAX,
                frame_size_max: FRAME_SIZE_MAX,
                takes_instructions: false,
            },
            output: SendBuffer::new(),
            channels: Vec::new(),
            blocked: None,
            pending_requests: VecDeque::new(),
            is_restored: false,
            loss: None,
            wakes: Vec::new(),
            stalled: Vec::new(),
            driver: None,
            acks_due: Vec::new(),
            repairs: Vec::new(),
            restorer: None,
            cancelled: Vec::new(),
            epochs: Arc::default(),
            read_ahead: ReadAhead::default(),
            statistics: Statistics::default(),
            unreported: UnreportedFailures::default(),
        }
    }

    pub(crate) fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        self.channels.get_mut(usize::from(number).checked_sub(1)?)?.as_mut()
    }

    /// Reserves a number; the channel is opened by `channel_setup::set_up`.
    pub(crate) fn reserve(&mut self, channel: Channel) -> Result<u16, Error> {
        if let Link::Closed(error) = &self.link {
            return Err(error.clone());
        }
        let at = self.channels.iter().position(Option::is_none).unwrap_or(self.channels.len());
        let number =
            u16::try_from(at + 1).ok().filter(|number| *number <= self.tuning.channels_max);
        let number = number.ok_or(Error::NoChannelLeft(self.tuning.channels_max))?;
        match self.channels.get_mut(at) {
            Some(place) => *place = Some(channel),
            None => self.channels.push(Some(channel)),
        }
        Ok(number)
    }

    /// The owner is gone: closes the channel, once its publishes are confirmed.
    pub(crate) fn release(&mut self, number: u16) {
        if let Some(channel) = self.channel(number) {
            channel.is_released = true;
            self.close_if_done(number);
        }
    }

    pub(crate) fn close_if_done(&mut self, number: u16) {
        let is_up = matches!(self.link, Link::Up | Link::Closing(false));
        let Some(channel) = self.channel(number) else { return };
        if !channel.is_released || !channel.is_idle() {
            return;
        }
        match channel.stage {
            Stage::Opening | Stage::Ready if is_up => {
                self.flush_acks();
                self.put_cancel_and_recover(number);
                self.set_stage(number, Stage::Closing);
                self.put(number, &channel::close().into());
            }
            Stage::Closing => {}
            _ => self.free(number),
        }
    }

    fn set_stage(&mut self, number: u16, stage: Stage) {
        if let Some(channel) = self.channel(number) {
            channel.stage = stage;
        }
    }

    pub(crate) fn free(&mut self, number: u16) {
        if let Some(place) =
            usize::from(number).checked_sub(1).and_then(|at| self.channels.get_mut(at))
            && let Some(mut channel) = place.take()
        {
            if let Some(window) = channel.window() {
                self.statistics += window.settled();
                self.unreported.add(window.tickets().take_unreported());
            }
            self.recount_read_ahead();
        }
    }

    pub(crate) fn put(&mut self, number: u16, method: &Method) {
        self.output.put_method(number, method);
    }

    /// Writes a request and notes that an answer is owed.
    pub(crate) fn request(
        &mut self,
        number: u16,
        method: &Method,
        permit: Option<ControlPermit>,
    ) -> Result<AnswerReceiver, Error> {
        let request = method.name();
        match &self.link {
            Link::Up => {}
            Link::Closed(error) => return Err(error.clone()),
            Link::Closing(_) => return Err(Error::Closed),
            Link::Down => {
                return Err(Error::Lost {
                    request,
                    loss: self.loss.clone().unwrap_or(Loss::EndOfStream),
                });
            }
        }
        let (sender, receiver) = oneshot::channel();
        if number == 0 {
            self.pending_requests.push_back(PendingRequest { sender, permit });
            self.put(0, method);
            return Ok(receiver);
        }
        let channel = self.channel(number).ok_or(Error::Closed)?;
        match &channel.stage {
            Stage::Closed(fault) if !matches!(method, Method::ChannelOpen(_)) => {
                return Err(Error::Refused { request, fault: fault.clone() });
            }
            _ => {}
        }
        channel.pending_requests.push_back(PendingRequest { sender, permit });
        match method {
            Method::ChannelOpen(_) => channel.stage = Stage::Opening,
            // What is acked must not come back.
            Method::BasicRecover(_) => self.flush_acks(),
            Method::ChannelClose(_) => {
                // No frame may follow channel.close on its channel.
                self.flush_acks();
                self.set_stage(number, Stage::Closing);
            }
            _ => {}
        }
        self.put(number, method);
        Ok(receiver)
    }

    /// Exchanges the driver's empty buffer for what is to be written. Without anything to write
    /// the driver is woken when there is.
    pub(crate) fn take_output(&mut self, outgoing: &mut SendBuffer, waker: &Waker) {
        self.flush_acks();
        self.close_when_idle();
        if self.output.is_empty() {
            self.grant_stalled();
            self.driver = Some(waker.clone());
            return;
        }
        self.driver = None;
        mem::swap(&mut self.output, outgoing);
        self.grant_stalled();
    }

    fn close_when_idle(&mut self) {
        if matches!(self.link, Link::Closing(false))
            && self.channels.iter().flatten().all(Channel::is_idle)
        {
            self.put_close();
        }
    }

    /// The end of the connection, and of all channels with it. Acks are written already.
    fn put_close(&mut self) {
        (1..=u16::try_from(self.channels.len()).unwrap_or(u16::MAX))
            .for_each(|number| self.put_cancel_and_recover(number));
        let close = ConnectionClose {
            reply_code: ReplyCode::Success.code(),
            reply_text: ShortStr::from_static("bye"),
            class_id: 0,
            method_id: 0,
        };
        self.put(0, &close.into());
        self.link = Link::Closing(true);
    }

    /// The driver is awake and will ask for output by itself.
    pub(crate) fn disarm(&mut self) {
        self.driver = None;
    }

    /// The driver's waker, if it sleeps and there is something for it to do.
    pub(crate) fn driver_to_wake(&mut self) -> Option<Waker> {
        let has_work = !self.output.is_empty()
            || !self.acks_due.is_empty()
            || matches!(self.link, Link::Closing(false))
            || self.read_ahead.is_over();
        if has_work { self.driver.take() } else { None }
    }

    /// What was done so far.
    pub(crate) fn statistics(&mut self) -> Statistics {
        let mut statistics = self.statistics;
        let windows = self.channels.iter_mut().flatten().filter_map(Channel::window);
        windows.for_each(|window| statistics += window.settled());
        statistics
    }

    pub(crate) fn handle_up(&mut self, tuning: Tuning) {
        self.statistics.connects += 1;
        self.output = SendBuffer::new();
        self.tuning = tuning;
        self.is_restored = false;
        self.loss = None;
        self.blocked = None;
        if matches!(self.link, Link::Down) {
            self.link = Link::Up;
        }
    }

    /// The socket is gone: everything in flight is settled or kept for its repetition.
    pub(crate) fn handle_loss(&mut self, loss: &Loss) {
        if matches!(self.link, Link::Up) {
            self.link = Link::Down;
        }
        self.loss = Some(loss.clone());
        self.output = SendBuffer::new();
        self.acks_due.clear();
        self.repairs.clear();
        for request in self.pending_requests.drain(..) {
            request.answer(Err(NoAnswer::Lost(loss.clone())));
        }
        self.stalled.clear();
        let mut wakes = mem::take(&mut self.wakes);
        for number in 1..=u16::try_from(self.channels.len()).unwrap_or(u16::MAX) {
            let Some(channel) = self.channel(number) else { continue };
            channel.is_ack_due = false;
            channel.is_stalled = false;
            channel.handle_loss(loss, &mut wakes);
            self.close_if_done(number);
        }
        self.wakes = wakes;
        self.handle_epoch_end();
    }

    /// Deliveries lost their channel.
    pub(crate) fn handle_epoch_end(&mut self) {
        self.epochs.fetch_add(1, Ordering::Release);
        self.recount_read_ahead();
    }

    /// The connection has ended: no message is sent or received any more.
    pub(crate) fn handle_end(&mut self, error: &Error) {
        self.link = Link::Closed(error.clone());
        let loss = self.loss.clone().unwrap_or(Loss::EndOfStream);
        let mut wakes = mem::take(&mut self.wakes);
        for channel in self.channels.iter_mut().flatten() {
            let end = match error {
                Error::Closed => None,
                other => Some(ConsumeError::Connection(other.clone())),
            };
            match &mut channel.role {
                Role::Publisher(window) => {
                    let error = PublishError::Unknown(loss.clone());
                    self.unreported.add(window.tickets().take_unreported());
                    if window.unsettled() > 0 {
                        let failed = window.unsettled() as u64;
                        self.unreported
                            .add(UnreportedFailures { failed, first: Some(error.clone()) });
                    }
                    window.fail(&error, &mut wakes);
                }
                Role::Consumer(inbox) => inbox.finish(end, &mut wakes),
                _ => {}
            }
            if let Some(replies) = &mut channel.replies {
                replies.handle_loss(&loss);
            }
            if let Some(admission) = channel.admission() {
                admission.wake_all(&mut wakes);
            }
        }
        self.wakes = wakes;
    }

    /// A channel that the broker closed and that is set up again by itself.
    pub(crate) fn repair(&mut self, number: u16) {
        self.repairs.push(number);
        self.wakes.extend(self.restorer.take());
    }
}
