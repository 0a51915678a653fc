//! One socket's only task: reads frames into the session, writes what the session has to say.
//!
//! A hand-written poll loop instead of a `select!`: both directions and the heartbeat in one task,
//! one lock for all frames of a read and one for all output of a write. What gathers while a write
//! is under way goes out with the next one; that is all the batching there is, and it needs no
//! timer. Ends with the connection; no state in it outlives the socket.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use forebay_wire::{Frame, FrameDecoder, SendBuffer, ShortStr};
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::{
    Loss,
    connect::handshake::Opened,
    connect::transport::Transport,
    connection::shared::Shared,
    limits::{CLOSE_TIMEOUT, READ_SIZE, READ_TURN_SIZE_MAX},
    session::{Link, Session},
};

/// Why the driver ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The program closed the connection.
    Closed,
    Lost(Loss),
}

pub(crate) struct Driver<'a> {
    shared: &'a Shared,
    transport: Transport,
    decoder: FrameDecoder,
    input: BytesMut,
    frames: Vec<Frame>,
    outgoing: SendBuffer,
    /// As it was told to the program.
    blocked: Option<ShortStr>,
    is_unflushed: bool,
    /// Consumers without a prefetch limit have not taken what was read.
    is_reading_paused: bool,
    heartbeat: Option<Heartbeat>,
    close_limit: Option<Pin<Box<Sleep>>>,
}

/// Ticks twice in an interval: then something must have been written, and within four ticks
/// something read.
struct Heartbeat {
    interval: Duration,
    tick: Pin<Box<Sleep>>,
    has_written: bool,
    has_read: bool,
    silent_ticks: u8,
}

const SILENT_TICKS_MAX: u8 = 4;

impl<'a> Driver<'a> {
    pub(crate) fn new(shared: &'a Shared, opened: Opened) -> Self {
        let interval = opened.heartbeat;
        let heartbeat = (!interval.is_zero()).then(|| Heartbeat {
            interval,
            tick: Box::pin(sleep_until(Instant::now() + interval / 2)),
            has_written: false,
            has_read: false,
            silent_ticks: 0,
        });
        Self {
            shared,
            transport: opened.transport,
            decoder: opened.decoder,
            input: opened.input,
            frames: Vec::new(),
            outgoing: SendBuffer::new(),
            blocked: None,
            is_unflushed: false,
            is_reading_paused: false,
            heartbeat,
            close_limit: None,
        }
    }

    pub(crate) async fn run(mut self) -> End {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if let Poll::Ready(end) = self.poll_read(context) {
            // The answer to a close from the broker deserves one try, and is not waited for.
            let _ = self.poll_write(context);
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_write(context) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_close_limit(context) {
            return Poll::Ready(end);
        }
        self.poll_heartbeat(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let mut read = 0;
        loop {
            if self.is_reading_paused {
                self.is_reading_paused = self.shared.with(Session::pause_reading);
                if self.is_reading_paused {
                    // The session wakes this task when its consumers have taken enough.
                    return Poll::Pending;
                }
            }
            if self.input.capacity() - self.input.len() < READ_SIZE / 4 {
                self.input.reserve(READ_SIZE);
            }
            match ready!(poll_read_buf(Pin::new(&mut self.transport), context, &mut self.input)) {
                Ok(0) => return Poll::Ready(self.ended(Loss::EndOfStream)),
                Ok(count) => read += count,
                Err(error) => return Poll::Ready(self.ended(Loss::Io(error.into()))),
            }
            if let Some(heartbeat) = &mut self.heartbeat {
                heartbeat.has_read = true;
            }
            if let Err(loss) = self.handle_input() {
                return Poll::Ready(self.ended(loss));
            }
            if self.shared.with(|session| matches!(session.link, Link::Closed(_))) {
                return Poll::Ready(End::Closed);
            }
            if read > READ_TURN_SIZE_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn handle_input(&mut self) -> Result<(), Loss> {
        let decoded = loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(frame)) => self.frames.push(frame),
                Ok(None) => break Ok(()),
                Err(error) => break Err(Loss::Protocol(error.to_string().into())),
            }
        };
        let (loss, blocked, is_paused) = self.shared.with(|session| {
            // The write that follows this read takes whatever comes of it: the driver need not be woken.
            session.disarm();
            session.handle_frames(&mut self.frames);
            (session.loss.clone(), session.blocked.clone(), session.pause_reading())
        });
        self.is_reading_paused = is_paused;
        if blocked != self.blocked {
            let reason = blocked.as_ref().map(ToString::to_string);
            tracing::warn!(?reason, "whether the broker takes no messages, and why, has changed");
            self.shared.blocked.send_replace(reason);
            self.blocked = blocked;
        }
        loss.map_or(decoded, Err)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.outgoing.is_empty() {
                self.shared
                    .with(|session| session.take_output(&mut self.outgoing, context.waker()));
            }
            if self.outgoing.is_empty() {
                break;
            }
            match ready!(poll_write_buf(Pin::new(&mut self.transport), context, &mut self.outgoing))
            {
                Ok(0) => return Poll::Ready(self.ended(Loss::EndOfStream)),
                Ok(_) => self.is_unflushed = true,
                Err(error) => return Poll::Ready(self.ended(Loss::Io(error.into()))),
            }
            if let Some(heartbeat) = &mut self.heartbeat {
                heartbeat.has_written = true;
            }
        }
        if self.is_unflushed {
            match ready!(Pin::new(&mut self.transport).poll_flush(context)) {
                Ok(()) => self.is_unflushed = false,
                Err(error) => return Poll::Ready(self.ended(Loss::Io(error.into()))),
            }
        }
        Poll::Pending
    }

    /// While the connection closes, no step may take longer than `CLOSE_TIMEOUT`.
    fn poll_close_limit(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.close_limit.is_none()
            && self.shared.with(|session| matches!(session.link, Link::Closing(_)))
        {
            self.close_limit = Some(Box::pin(sleep_until(Instant::now() + CLOSE_TIMEOUT)));
        }
        if let Some(limit) = &mut self.close_limit {
            ready!(limit.as_mut().poll(context));
            return Poll::Ready(End::Closed);
        }
        Poll::Pending
    }

    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
        while heartbeat.tick.as_mut().poll(context).is_ready() {
            // While reading is paused, silence is not the broker's.
            let has_heard = heartbeat.has_read || self.is_reading_paused;
            heartbeat.silent_ticks = if has_heard { 0 } else { heartbeat.silent_ticks + 1 };
            if heartbeat.silent_ticks >= SILENT_TICKS_MAX {
                return Poll::Ready(End::Lost(Loss::Silent(heartbeat.interval * 2)));
            }
            if !heartbeat.has_written {
                // Written by the poll that the woken driver gets now.
                self.shared.with(|session| session.output.put_heartbeat());
            }
            heartbeat.has_written = false;
            heartbeat.has_read = false;
            let next = Instant::now() + heartbeat.interval / 2;
            heartbeat.tick.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// A socket that ends while the program closes the connection has done what was asked.
    fn ended(&self, loss: Loss) -> End {
        let is_closing = self
            .shared
            .with(|session| matches!(session.link, Link::Closing(true) | Link::Closed(_)));
        if is_closing { End::Closed } else { End::Lost(loss) }
    }
}
