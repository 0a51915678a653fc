//! One task per socket: bytes in, bytes out, commands to the shard, events from it.
//!
//! A turn does everything that can be done without waiting — read once, let the engine work, hand
//! one batch of commands on, write once — and then waits for whatever comes next. Reading stops
//! while the engine says so, or while the batch of the last read waits for room in the mailbox or
//! in the publish budget; writing never stops.

use crate::auth::authenticator::{Authenticator, LoginRefused};
use crate::connection::connection_about::ConnectionAbout;
use crate::connection::connection_limits::{ConnectionLimits, ConnectionPermit};
use crate::connection::connections::{Entry, EventReceiver};
use crate::connection::publish_budget::{PublishBudget, PublishShare, Published};
use crate::connection::publish_pace::PublishPace;
use crate::limits::{PUBLISH_TURN_MESSAGES_MAX, PUBLISHER_WAIT_INTERVAL};
use crate::metrics::{ConnectionTotals, OpenShare};
use crate::net::places::Place as LoginPlace;
use crate::net::read_buffer;
use crate::net::socket::{Read, Socket, Written};
use crate::shard::mailbox::{Batch, Mail, MailSender};
use crate::shard::timer::Timer;
use crate::system::clock::Clock;
use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use forebay_engine::BrokerSnapshot;
use forebay_engine::access::Limit;
use forebay_engine::command::Command;
use forebay_engine::connection::{Action, Connection, ConnectionSettings, Credentials, Peer, Seed};
use forebay_engine::event::Event;
use forebay_engine::model::{Closure, ConnectionId};
use forebay_wire::{SendBuffer, ShortStr};
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

/// What all connections of a broker share.
pub struct ConnectionContext {
    /// For the engine, for connections to come.
    pub settings: Arc<ArcSwap<ConnectionSettings>>,
    /// What time it is.
    pub clock: Clock,
    /// The shard.
    pub mailbox: MailSender,
    /// Where messages go, as the shard last published it.
    pub snapshot: Arc<ArcSwap<BrokerSnapshot>>,
    /// Room for published messages.
    pub budget: PublishBudget,
    /// Counts what operators limit.
    pub connection_limits: ConnectionLimits,
    /// Whose turn it is where publish rates are limited.
    pub pace: PublishPace,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// Counts what clients do.
    pub totals: Arc<ConnectionTotals>,
}

/// A user's name, and whether it is let in.
type Login = (ShortStr, Result<(), LoginRefused>);

type Pending<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

struct ConnectionTask {
    context: Arc<ConnectionContext>,
    id: ConnectionId,
    peer: Peer,
    socket: Socket,
    connection: Connection,
    entry: Entry,
    events: EventReceiver,
    input: BytesMut,
    /// Bytes that came since commands were last handed on.
    received: usize,
    /// The shard knows of this connection.
    opened: bool,
    /// Among those that have not logged in.
    login_place: Option<LoginPlace>,
    /// Counted in a virtual host.
    place: Option<ConnectionPermit>,
    /// It had not logged in, and made room for others.
    is_dropped: bool,
    /// Shared with the register, once the handshake is over.
    about: Option<Arc<ConnectionAbout>>,
    open: OpenShare,
    sending: Pending<()>,
    authenticating: Pending<Login>,
    /// Whether a new password is the user's.
    checking_secret: Pending<bool>,
    /// Messages that it may publish next.
    pacing: Pending<u32>,
    timer: Timer,
}

/// Serves a socket until it is closed.
pub async fn serve(
    context: Arc<ConnectionContext>,
    socket: Socket,
    peer: Peer,
    entry: Entry,
    events: EventReceiver,
    login_place: LoginPlace,
) {
    let (id, address) = (entry.id(), peer.address);
    let mailbox = context.mailbox.clone();
    // A defect that panics ends this connection, not the broker; the shard must still hear of it.
    let served = AssertUnwindSafe(async {
        let task = ConnectionTask::new(context, socket, peer, (entry, events), login_place);
        let Ok(mut task) = task else {
            tracing::error!("the system has no randomness: connection {id} is dropped");
            return;
        };
        task.run().await;
        task.finish().await;
    });
    if served.catch_unwind().await.is_err() {
        tracing::error!("connection {id} from {address} ended by a defect of the broker");
        let commands = vec![Command::CloseConnection { closure: Closure::Failed }];
        let batch = Batch { connection: id, opens: None, commands, share: Default::default() };
        // The mailbox is closed only when the broker ends.
        let _ = mailbox.send(Mail::Batch(batch)).await;
    }
    let _ = mailbox.send(Mail::Left(id)).await;
}

impl ConnectionTask {
    fn new(
        context: Arc<ConnectionContext>,
        socket: Socket,
        peer: Peer,
        (entry, events): (Entry, EventReceiver),
        login_place: LoginPlace,
    ) -> Result<Self, getrandom::Error> {
        let mut seed = Seed::default();
        getrandom::fill(&mut seed)?;
        let id = entry.id();
        let settings = context.settings.load_full();
        let open = OpenShare::new(Arc::clone(&context.totals));
        let connection = Connection::new(id, settings, peer.clone(), seed, context.clock.now());
        Ok(Self {
            context,
            id,
            peer,
            socket,
            connection,
            entry,
            events,
            input: BytesMut::new(),
            received: 0,
            opened: false,
            login_place: Some(login_place),
            place: None,
            is_dropped: false,
            about: None,
            open,
            sending: None,
            authenticating: None,
            checking_secret: None,
            pacing: None,
            timer: Timer::default(),
        })
    }

    async fn run(&mut self) {
        while !self.connection.is_finished() {
            self.wait().await;
            if self.is_dropped {
                return;
            }
            self.read();
            self.send_commands();
            if self.write() {
                // The engine may have waited for room in the output.
                self.parse();
                self.send_commands();
            }
            self.count();
        }
        self.log_end();
    }

    fn count(&mut self) {
        self.open.update(&mut self.connection);
        let channels = self.connection.count_channels();
        if let (Some(place), Some(about)) = (&mut self.place, &self.about) {
            let snapshot = &self.context.snapshot;
            let most = || snapshot.load().access.limits().get(Limit::UserChannels, &about.user);
            if let Err(fault) = place.set_channels(channels, most) {
                self.connection.handle_shutdown(self.context.clock.now(), fault);
            }
        }
        if let Some(about) = &self.about {
            if let Some(open) = self.connection.poll_channels() {
                about.set_channels(open);
            }
            about.traffic.set(self.socket.traffic(), self.connection.output().remaining());
            about.blocked.store(self.connection.is_blocked(), Ordering::Relaxed);
            about.paced.store(self.pacing.is_some(), Ordering::Relaxed);
        }
    }

    /// Writes what the client must still read: a close, a close-ok, the protocol header.
    async fn finish(&mut self) {
        if self.is_dropped {
            return;
        }
        self.socket.finish(self.connection.output()).await;
    }

    fn log_end(&self) {
        let (id, address) = (self.id, self.peer.address);
        match self.connection.cause() {
            // As a field it is quoted: names that a client chose must not look like more of the log.
            Some(fault) => {
                let reason = &*fault.to_string();
                tracing::warn!(connection = %id, %address, reason, "connection closed");
            }
            None => tracing::debug!(connection = %id, %address, "connection ended"),
        }
    }

    async fn wait(&mut self) {
        self.timer.arm(self.context.clock, self.connection.poll_timeout());
        let reads = self.wants_input();
        let writes = !self.connection.output().is_empty() || self.socket.holds_output();
        tokio::select! {
            biased;
            Some(events) = self.events.recv() => self.take_events(events),
            () = pending(&mut self.sending) => {
                self.sending = None;
                self.parse();
            }
            login = pending(&mut self.authenticating) => {
                self.authenticating = None;
                self.take_login(login);
            }
            is_right = pending(&mut self.checking_secret) => {
                self.checking_secret = None;
                self.take_secret_check(is_right);
            }
            messages = pending(&mut self.pacing) => {
                self.pacing = None;
                self.connection.handle_turn(self.context.clock.now(), messages);
                self.parse();
            }
            // Whatever it is ready for is tried on every turn.
            () = self.socket.ready(reads, writes) => {}
            () = self.timer.fired() => self.take_timeout(),
            () = left(&self.login_place) => self.is_dropped = true,
        }
    }

    fn take_timeout(&mut self) {
        // Mostly a heartbeat after some idle time: what a burst has made the buffer grow to is
        // given back.
        let output = self.connection.output();
        if output.is_empty() {
            *output = SendBuffer::new();
        }
        self.read();
        if self.sending.is_some() || self.socket.holds_input() {
            // A client that we hold back, or have not read yet, counts as heard.
            let snapshot = self.context.snapshot.load();
            let nothing = &mut BytesMut::new();
            self.connection.handle_input(self.context.clock.now(), &snapshot, nothing);
        }
        self.connection.handle_timeout(self.context.clock.now());
        self.parse();
    }

    fn wants_input(&self) -> bool {
        self.sending.is_none() && !self.connection.is_paused()
    }

    fn read(&mut self) {
        if !self.wants_input() {
            return;
        }
        let before = self.input.len();
        match self.socket.read(&mut self.input) {
            Read::Nothing => {}
            Read::Some => {
                self.received += self.input.len() - before;
                self.parse();
            }
            Read::End(reason) => self.end_input(&reason),
        }
    }

    fn parse(&mut self) {
        if self.input.is_empty() || self.sending.is_some() || self.connection.is_paused() {
            return;
        }
        let snapshot = self.context.snapshot.load();
        self.connection.handle_input(self.context.clock.now(), &snapshot, &mut self.input);
        read_buffer::release(&mut self.input);
    }

    fn end_input(&mut self, reason: &str) {
        tracing::debug!("connection {} from {}: {reason}", self.id, self.peer.address);
        self.connection.handle_end_of_input(self.context.clock.now());
    }

    fn take_events(&mut self, first: Vec<Event>) {
        let now = self.context.clock.now();
        let mut confirmed = 0;
        let mut next = Some(first);
        while let Some(events) = next {
            for event in events {
                if let Event::Confirm { first, last, .. } = &event {
                    confirmed += last.0 - first.0 + 1;
                }
                match event {
                    Event::Close { fault } => self.connection.handle_shutdown(now, fault),
                    event => self.connection.handle_event(now, event),
                }
            }
            next = self.events.try_recv().ok();
        }
        self.context.totals.count_confirmed(confirmed);
        self.parse();
    }

    fn take_login(&mut self, (user, verdict): Login) {
        self.context.totals.count_login(verdict.is_ok());
        if verdict.is_ok() {
            self.login_place = None;
        }
        if let Err(refused) = verdict {
            let (user, address) = (&*user.to_string(), self.peer.address);
            tracing::warn!(user, %address, reason = %refused, "login refused");
        }
        self.connection.handle_authenticated(self.context.clock.now(), verdict.is_ok());
        self.parse();
    }

    /// Hands on what the engine wants done: at most one batch is on its way.
    fn send_commands(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Authenticate(credentials) => self.authenticate(credentials),
                Action::CheckSecret(credentials) => self.check_secret(credentials),
                Action::Enter { vhost, user } => self.enter(&vhost, &user),
                Action::AwaitTurn { vhost, user } => self.await_turn(vhost, user),
            }
        }
        if self.sending.is_some() {
            return;
        }
        let received = std::mem::take(&mut self.received);
        let mut commands = self.connection.poll_commands();
        if commands.is_empty() {
            return;
        }
        let opens = (!self.opened).then(|| self.entry.sender());
        if let (false, Some(Command::OpenConnection { vhost, identity })) =
            (self.opened, commands.first_mut())
        {
            let about = self.describe(identity.user.clone(), vhost.clone());
            identity.connection = about.shown_name(self.id).try_into().unwrap_or_default();
            identity.client_name = about.name.as_ref().map(ShortStr::detached);
        }
        self.opened = true;
        let published = Published::by(&commands).among(received);
        self.context.totals.count_published(published.messages);
        let batch = |share| Mail::Batch(Batch { connection: self.id, opens, commands, share });
        let unsent = match self.context.budget.try_take(published) {
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
                batch.share = take_share(&budget, &mailbox, published).await;
            }
            // The mailbox is closed only when the broker ends.
            let _ = mailbox.send(Mail::Batch(batch)).await;
        }));
    }

    fn authenticate(&mut self, credentials: Credentials) {
        let (authenticator, peer) = (self.context.authenticator.clone(), self.peer.clone());
        self.authenticating = Some(Box::pin(async move {
            let user = credentials.user.clone();
            (user, authenticator.verify(credentials, &peer).await)
        }));
    }

    fn check_secret(&mut self, credentials: Credentials) {
        let (authenticator, peer) = (self.context.authenticator.clone(), self.peer.clone());
        self.checking_secret =
            Some(Box::pin(async move { authenticator.verify(credentials, &peer).await.is_ok() }));
    }

    fn take_secret_check(&mut self, is_right: bool) {
        if !is_right {
            let (id, address) = (self.id, self.peer.address);
            let what = "a new password (connection.update-secret) does not let its user in: the \
                        connection stays, but will not get in again";
            tracing::warn!(connection = %id, %address, "{what}");
        }
        self.connection.handle_secret_checked(self.context.clock.now());
        self.parse();
    }

    fn enter(&mut self, vhost: &ShortStr, user: &ShortStr) {
        let entered = self.context.connection_limits.enter(
            vhost,
            user,
            self.context.snapshot.load().access.limits(),
        );
        let verdict = entered.map(|place| self.place = Some(place));
        self.connection.handle_entered(self.context.clock.now(), verdict);
        self.parse();
    }

    fn await_turn(&mut self, vhost: ShortStr, user: ShortStr) {
        let pace = self.context.pace.clone();
        let turn = async move { pace.turn(&vhost, &user, PUBLISH_TURN_MESSAGES_MAX).await };
        self.pacing = Some(Box::pin(turn));
    }

    fn describe(&mut self, user: ShortStr, vhost: ShortStr) -> Arc<ConnectionAbout> {
        let name = self.connection.name().cloned();
        let connected_at = self.context.clock.now().wall;
        let mut about = ConnectionAbout::new(user, vhost, self.peer.address, name, connected_at);
        about.local = self.socket.local_address();
        about.client = self.connection.take_details();
        about.tls = self.socket.tls_details();
        let about = Arc::new(about);
        self.entry.describe(&about);
        self.about = Some(Arc::clone(&about));
        about
    }

    /// Writes what the socket takes. Says whether something, and all of it, has left.
    fn write(&mut self) -> bool {
        match self.socket.write(self.connection.output()) {
            Written::Nothing | Written::Part => return false,
            Written::All => {}
            Written::Failed(error) => self.end_input(&error.to_string()),
        }
        self.connection.handle_written();
        true
    }
}

/// Waits for room in the budget, and tells the shard while that lasts.
async fn take_share(
    budget: &PublishBudget,
    mailbox: &MailSender,
    published: Published,
) -> PublishShare {
    let mut share = pin!(budget.take(published));
    loop {
        if let Ok(share) = timeout(PUBLISHER_WAIT_INTERVAL, share.as_mut()).await {
            return share;
        }
        // The mailbox is closed only when the broker ends.
        let _ = mailbox.send(Mail::PublisherWaits).await;
    }
}

async fn left(place: &Option<LoginPlace>) {
    match place {
        Some(place) => place.left().await,
        None => std::future::pending().await,
    }
}

async fn pending<T>(future: &mut Pending<T>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
