//! One task per socket: octets in, octets out, commands to the shard, news from it.
//!
//! A turn does everything that can be done without waiting — read once, let the engine work, hand
//! one batch of commands on, write once — and then waits for whatever comes next. Reading stops
//! while the engine says so, or while the batch of the last read waits for room in the mailbox or
//! in the publish budget; writing never stops.

use crate::authenticator::{Authenticator, LoginRefused};
use crate::clock::Clock;
use crate::connections::{Entry, EventReceiver};
use crate::limits::{LAST_WRITE_DURATION_MAX, LINGER_DURATION_MAX, WRITE_SEGMENTS_MAX};
use crate::mailbox::{Batch, Mail, MailSender};
use crate::publish_budget::{PublishBudget, published_octets};
use crate::read_buffer;
use crate::timer::Timer;
use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use forebay_engine::command::Command;
use forebay_engine::connection::{Action, Connection, ConnectionSettings, Peer};
use forebay_engine::event::Event;
use forebay_engine::ids::ConnectionId;
use forebay_engine::topology::Routes;
use forebay_wire::SendBuffer;
use futures_util::FutureExt;
use metrics::Counter;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What all connections of a broker share.
pub struct ConnectionContext {
    /// For the engine.
    pub settings: Arc<ConnectionSettings>,
    /// What time it is.
    pub clock: Clock,
    /// The shard.
    pub mailbox: MailSender,
    /// Where messages go, as the shard last published it.
    pub routes: Arc<ArcSwap<Routes>>,
    /// Room for published messages.
    pub budget: PublishBudget,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// Counts refused logins.
    pub logins_refused: Counter,
}

type Pending<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

struct ConnectionTask {
    context: Arc<ConnectionContext>,
    id: ConnectionId,
    peer: Peer,
    stream: TcpStream,
    connection: Connection,
    entry: Entry,
    events: EventReceiver,
    input: BytesMut,
    reading: Reading,
    /// The write side failed: what is written goes nowhere.
    write_failed: bool,
    /// The shard knows of this connection.
    opened: bool,
    sending: Pending<()>,
    authenticating: Pending<Result<(), LoginRefused>>,
    timer: Timer,
}

/// What is known of the socket's read side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Something may be there.
    Open,
    /// The client has closed its side, or the socket failed.
    Ended,
}

/// Serves a socket until it is closed.
pub async fn serve(
    context: Arc<ConnectionContext>,
    stream: TcpStream,
    peer: Peer,
    entry: Entry,
    events: EventReceiver,
) {
    let id = entry.id();
    let mailbox = context.mailbox.clone();
    // A defect that panics ends this connection, not the broker; the shard must still hear of it.
    let served = AssertUnwindSafe(async {
        let Ok(mut task) = ConnectionTask::new(context, stream, peer, entry, events) else {
            tracing::error!("the system has no randomness: connection {id} is dropped");
            return;
        };
        task.run().await;
    });
    if served.catch_unwind().await.is_err() {
        tracing::error!("connection {id} from {} ended by a defect of the broker", peer.address);
        let commands = vec![Command::CloseConnection];
        let batch = Batch { connection: id, opens: None, commands, share: Default::default() };
        // The mailbox is closed only when the broker ends.
        let _ = mailbox.send(Mail::Batch(batch)).await;
    }
    let _ = mailbox.send(Mail::Left(id)).await;
}

impl ConnectionTask {
    fn new(
        context: Arc<ConnectionContext>,
        stream: TcpStream,
        peer: Peer,
        entry: Entry,
        events: EventReceiver,
    ) -> Result<Self, getrandom::Error> {
        let seed = getrandom::u64()?;
        let id = entry.id();
        let settings = Arc::clone(&context.settings);
        let connection = Connection::new(id, settings, peer, seed, context.clock.now());
        Ok(Self {
            context,
            id,
            peer,
            stream,
            connection,
            entry,
            events,
            input: BytesMut::new(),
            reading: Reading::Open,
            write_failed: false,
            opened: false,
            sending: None,
            authenticating: None,
            timer: Timer::default(),
        })
    }

    async fn run(&mut self) {
        while !self.connection.is_finished() {
            self.wait().await;
            self.read();
            self.send_commands();
            if self.write() {
                // The engine may have waited for room in the output.
                self.parse();
                self.send_commands();
            }
        }
        // What the client must still read: a close, a close-ok, the protocol header.
        let _ = timeout(LAST_WRITE_DURATION_MAX, self.write_last()).await;
        if self.reading == Reading::Open && !self.write_failed {
            let _ = timeout(LINGER_DURATION_MAX, self.linger()).await;
        }
    }

    async fn wait(&mut self) {
        self.timer.arm(self.context.clock, self.connection.poll_timeout());
        let interest = self.interest();
        tokio::select! {
            biased;
            Some(events) = self.events.recv() => self.take_events(events),
            () = pending(&mut self.sending) => {
                self.sending = None;
                self.parse();
            }
            verdict = pending(&mut self.authenticating) => {
                self.authenticating = None;
                self.take_verdict(verdict);
            }
            // Whatever it is ready for is tried on every turn.
            ready = ready(&self.stream, interest) => if let Err(error) = ready {
                self.end_input(&error.to_string());
            },
            () = self.timer.fired() => self.take_timeout(),
        }
    }

    fn take_timeout(&mut self) {
        // Mostly a heartbeat after some idle time: what a burst has made the buffer grow to is
        // given back.
        let output = self.connection.output();
        if output.is_empty() {
            *output = SendBuffer::new();
        }
        self.connection.handle_timeout(self.context.clock.now());
        self.parse();
    }

    fn interest(&mut self) -> Option<Interest> {
        let reads = self.wants_input();
        let writes = !self.write_failed && !self.connection.output().is_empty();
        match (reads, writes) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        }
    }

    fn wants_input(&self) -> bool {
        self.reading == Reading::Open && self.sending.is_none() && !self.connection.is_paused()
    }

    fn read(&mut self) {
        if !self.wants_input() {
            return;
        }
        match read_buffer::read(&self.stream, &mut self.input) {
            Ok(0) => self.end_input("the client closed its side"),
            Ok(_) => self.parse(),
            Err(error) if is_passing(&error) => {}
            Err(error) => self.end_input(&error.to_string()),
        }
    }

    fn parse(&mut self) {
        if self.input.is_empty() || self.sending.is_some() || self.connection.is_paused() {
            return;
        }
        let routes = self.context.routes.load();
        self.connection.handle_input(self.context.clock.now(), &routes, &mut self.input);
        read_buffer::release(&mut self.input);
    }

    fn end_input(&mut self, reason: &str) {
        tracing::debug!("connection {} from {}: {reason}", self.id, self.peer.address);
        self.reading = Reading::Ended;
        self.connection.handle_end_of_input(self.context.clock.now());
    }

    fn take_events(&mut self, first: Vec<Event>) {
        let now = self.context.clock.now();
        let mut next = Some(first);
        while let Some(events) = next {
            for event in events {
                match event {
                    Event::Close { fault } => self.connection.handle_shutdown(now, fault),
                    event => self.connection.handle_event(now, event),
                }
            }
            next = self.events.try_recv().ok();
        }
        self.parse();
    }

    fn take_verdict(&mut self, verdict: Result<(), LoginRefused>) {
        if let Err(refused) = verdict {
            self.context.logins_refused.increment(1);
            tracing::warn!("login from {} refused: {refused}", self.peer.address);
        }
        self.connection.handle_authenticated(self.context.clock.now(), verdict.is_ok());
        self.parse();
    }

    /// Hands on what the engine wants done: at most one batch is on its way.
    fn send_commands(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            let Action::Authenticate(credentials) = action;
            let authenticator = self.context.authenticator.clone();
            let is_loopback = self.peer.is_loopback();
            self.authenticating =
                Some(Box::pin(async move { authenticator.verify(credentials, is_loopback).await }));
        }
        if self.sending.is_some() {
            return;
        }
        let commands = self.connection.poll_commands();
        if commands.is_empty() {
            return;
        }
        let opens = (!self.opened).then(|| self.entry.sender());
        self.opened = true;
        let octets = published_octets(&commands);
        let batch = |share| Mail::Batch(Batch { connection: self.id, opens, commands, share });
        let unsent = match self.context.budget.try_take(octets) {
            Some(share) => match self.context.mailbox.try_send(batch(share)) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            },
            None => batch(Default::default()),
        };
        let (mailbox, budget) = (self.context.mailbox.clone(), self.context.budget.clone());
        self.sending = Some(Box::pin(async move {
            let Mail::Batch(mut batch) = unsent else { return };
            if batch.share.is_empty() {
                batch.share = budget.take(octets).await;
            }
            // The mailbox is closed only when the broker ends.
            let _ = mailbox.send(Mail::Batch(batch)).await;
        }));
    }

    /// Writes what the socket takes. Says whether all of it, and something, was written.
    fn write(&mut self) -> bool {
        let output = self.connection.output();
        if output.is_empty() {
            return false;
        }
        while !self.write_failed && output.has_remaining() {
            match write_once(&self.stream, output) {
                Ok(()) => {}
                Err(error) if is_passing(&error) => return false,
                Err(error) => {
                    self.write_failed = true;
                    self.end_input(&error.to_string());
                    break;
                }
            }
        }
        if self.write_failed {
            *self.connection.output() = SendBuffer::new();
        }
        self.connection.handle_written();
        true
    }

    async fn write_last(&mut self) {
        while !self.write_failed && !self.connection.output().is_empty() {
            self.write();
            if self.stream.writable().await.is_err() {
                return;
            }
        }
    }

    async fn linger(&mut self) {
        use tokio::io::AsyncWriteExt;
        if self.stream.shutdown().await.is_err() {
            return;
        }
        loop {
            self.input.clear();
            match read_buffer::read(&self.stream, &mut self.input) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_passing(&error) => {
                    if self.stream.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

fn write_once(stream: &TcpStream, output: &mut impl Buf) -> io::Result<()> {
    let mut segments = [IoSlice::new(&[]); WRITE_SEGMENTS_MAX];
    let count = output.chunks_vectored(&mut segments);
    let written = stream.try_write_vectored(segments.get(..count).unwrap_or_default())?;
    output.advance(written);
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

async fn ready(stream: &TcpStream, interest: Option<Interest>) -> io::Result<tokio::io::Ready> {
    match interest {
        Some(interest) => stream.ready(interest).await,
        None => std::future::pending().await,
    }
}

async fn pending<T>(future: &mut Pending<T>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
