//! One client's protocol as a state machine: bytes and the shard's events in, bytes and commands out.
//!
//! Owns negotiation, heartbeats, limits, channels and the closing of either side. The server calls
//! it from the task of one socket and does all I/O; it assumes nothing about the bytes, and of
//! the shard only what [`crate::command`] and [`crate::event`] say.
//!
//! ```text
//! AwaitingHeader → AwaitingStartOk → Authenticating → AwaitingTuneOk → AwaitingOpen → Entering → Open
//!        any of them → Closing (close-ok and the shard's answer outstanding) → Closed
//! ```

mod answer;
mod channel_table;
mod client_details;
mod closing;
mod events;
mod failure;
mod handshake;
mod heartbeat;
mod pace;
mod sasl;
mod session;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use crate::session::{ChannelMode, MESSAGE_SIZE_BOUNDS, OpenChannel, Seed, Traffic};
pub use client_details::ClientDetails;
pub use sasl::{Credentials, Proof};
pub use settings::{ConnectionSettings, Identity, Peer};

use crate::BrokerSnapshot;
use crate::command::Command;
use crate::model::{ConnectionId, Fault, Monotonic, Now};
use crate::session::ConnectionInfo;
use crate::session::ConnectionOutputs;
use crate::session::MethodId;
use crate::session::limits::{
    ANSWERS_UNWRITTEN_SIZE_MAX, CONFIRMS_AHEAD_SIZE_MAX, HANDSHAKE_FRAME_SIZE_MAX,
    HANDSHAKE_TIME_MS_MAX, REPLIES_UNREPORTED_SIZE_MAX,
};
use bytes::{Bytes, BytesMut};
use failure::Failure;
use forebay_wire::method::ConnectionUpdateSecretOk;
use forebay_wire::{FrameDecoder, SendBuffer, ShortStr};
use heartbeat::Heartbeat;
use session::{ConnectionMethod, Session};
use state::{PeerClose, ShardDetach, State};
use std::sync::Arc;

/// What a connection needs done outside of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Check a user's password or that there is such a user, then call
    /// [`Connection::handle_authenticated`]. Whether the user may come from where it comes from
    /// ([`Peer::is_loopback`]) is part of the check.
    Authenticate(Credentials),
    /// Check a password that a client wants to log in with from now on, say in the log when it is not
    /// the user's, and call [`Connection::handle_secret_checked`].
    CheckSecret(Credentials),
    /// See whether limits let one more connection of this user into the virtual host, then call
    /// [`Connection::handle_entered`].
    Enter {
        /// The virtual host.
        vhost: ShortStr,
        /// The user, who may enter it otherwise.
        user: ShortStr,
    },
    /// Wait until the publish rates let this user publish in the virtual host, then call
    /// [`Connection::handle_turn`].
    AwaitTurn {
        /// The virtual host.
        vhost: ShortStr,
        /// The user.
        user: ShortStr,
    },
}

/// One client's connection, from the accepted socket to the end.
///
/// Inputs are the `handle_*` methods, and time may not go backwards between them. After each input the
/// caller takes, in this order, until none is left: [`Self::poll_action`], each of which has an answer
/// that is an input again; [`Self::poll_commands`], for the shard; [`Self::output`], for the socket. Then
/// it waits for input (unless [`Self::is_paused`]), for the shard's events and until
/// [`Self::poll_timeout`], and closes the socket once [`Self::is_finished`] and the output is written.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<ConnectionSettings>,
    peer: Peer,
    outputs: ConnectionOutputs,
    state: State,
    decoder: FrameDecoder,
    heartbeat: Heartbeat,
    action: Option<Action>,
    /// When the handshake must be over.
    handshake_until: Option<Monotonic>,
    /// Bytes of answers that were not written yet, of `basic.get` and returned messages too.
    answers_size: usize,
    /// Why the connection closes, when it is a fault.
    cause: Option<Fault>,
    /// What the client calls this connection.
    name: Option<ShortStr>,
    /// For people; gathered in the handshake.
    details: ClientDetails,
}

impl Connection {
    /// A socket was accepted. `seed` makes generated names and tokens; it must not be guessable.
    #[must_use]
    pub fn new(
        id: ConnectionId,
        settings: Arc<ConnectionSettings>,
        peer: Peer,
        seed: Seed,
        now: Now,
    ) -> Self {
        Self {
            settings,
            peer,
            outputs: ConnectionOutputs::new(id, seed),
            state: State::AwaitingHeader,
            decoder: FrameDecoder::new(HANDSHAKE_FRAME_SIZE_MAX),
            heartbeat: Heartbeat::Off,
            action: None,
            handshake_until: Some(now.monotonic.plus(HANDSHAKE_TIME_MS_MAX)),
            answers_size: 0,
            cause: None,
            name: None,
            details: ClientDetails::default(),
        }
    }

    /// Bytes came. Takes whole frames off the front of `input` and stops while
    /// [`Self::is_paused`]; what is left is to be handed in again, with what came after it, once
    /// it is not.
    pub fn handle_input(&mut self, now: Now, broker: &BrokerSnapshot, input: &mut BytesMut) {
        self.heartbeat.hear(now.monotonic);
        let before = self.outputs.output.len();
        if matches!(self.state, State::AwaitingHeader) && !self.read_header(input) {
            return;
        }
        while !self.is_paused() {
            if self.discards_input() {
                input.clear();
                break;
            }
            match self.decoder.decode(input) {
                Ok(Some(frame)) => self.handle_frame(now, broker, frame),
                Ok(None) => break,
                Err(error) => {
                    self.fail_unreadable(now, error);
                    input.clear();
                    break;
                }
            }
            let answers_size = self.outputs.output.len() - before;
            if self.answers_size + answers_size > ANSWERS_UNWRITTEN_SIZE_MAX {
                break;
            }
        }
        self.answers_size += self.outputs.output.len() - before;
        if let State::Open(session) = &mut self.state {
            session.copy_out_content();
        }
    }

    fn handle_frame(&mut self, now: Now, broker: &BrokerSnapshot, frame: forebay_wire::Frame) {
        let method = match &mut self.state {
            State::Open(session) => session.handle_frame(&mut self.outputs, now, broker, frame),
            State::Closing { .. } => return self.handle_closing_frame(&frame),
            _ => return self.handle_handshake_frame(now, broker, frame),
        };
        match method {
            Ok(ConnectionMethod::Nothing) => {}
            Ok(ConnectionMethod::Close) => self.close_for_client(),
            Ok(ConnectionMethod::UpdateSecret(password)) => self.check_secret(password),
            Err(failure) => self.fail(now, failure),
        }
    }

    /// A password does not expire, so the login holds whatever the new one is, as with RabbitMQ's own
    /// users. It is checked all the same, for the log: a client that will not get in again after a
    /// loss should be known before.
    fn check_secret(&mut self, password: Bytes) {
        let State::Open(session) = &mut self.state else { return };
        session.is_secret_checked = true;
        let user = session.info.user.clone();
        self.action =
            Some(Action::CheckSecret(Credentials { user, proof: Proof::Password(password) }));
    }

    /// The answer to [`Action::CheckSecret`].
    pub fn handle_secret_checked(&mut self, now: Now) {
        if let State::Open(session) = &mut self.state
            && std::mem::take(&mut session.is_secret_checked)
        {
            self.outputs.output.put_method(0, &ConnectionUpdateSecretOk {});
            // What came meanwhile was not read: the client was not silent.
            self.heartbeat.hear(now.monotonic);
        }
    }

    /// The answer to [`Action::Authenticate`].
    pub fn handle_authenticated(&mut self, _now: Now, granted: bool) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Authenticating { client, user, mechanism } => {
                self.finish_login(client, user, mechanism, granted);
            }
            state => self.state = state,
        }
    }

    /// The answer to [`Action::Enter`]: let in, or why not.
    pub fn handle_entered(&mut self, now: Now, verdict: Result<(), Fault>) {
        match (std::mem::replace(&mut self.state, State::Closed), verdict) {
            (State::Entering { client, user, tuned, vhost }, Ok(())) => {
                self.open(Session::new(vhost, user, client, tuned));
            }
            (State::Entering { .. }, Err(fault)) => {
                self.fail(now, Failure { fault, method: MethodId::CONNECTION_OPEN });
            }
            (state, _) => self.state = state,
        }
    }

    /// The answer to [`Action::AwaitTurn`]: it may publish so many messages, at least one.
    pub fn handle_turn(&mut self, now: Now, messages: u32) {
        if let State::Open(session) = &mut self.state {
            session.pace.grant(messages);
            // What came meanwhile was not read: the client was not silent.
            self.heartbeat.hear(now.monotonic);
        }
    }

    /// The time of [`Self::poll_timeout`] has come. Input that has arrived is to be handled first:
    /// a client is not silent because nobody read.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.handshake_until.is_some_and(|until| until <= now.monotonic) {
            self.abandon("the handshake took too long");
        } else if self.peer_close_until().is_some_and(|until| until <= now.monotonic) {
            self.stop_waiting_for_client();
        } else if self.dead_at().is_some_and(|at| at <= now.monotonic) {
            self.abandon(self.heartbeat.death());
        } else if self.heartbeat.take_send(now.monotonic)
            && matches!(self.state, State::Open(_))
            // A client that reads nothing needs no further sign of life.
            && self.outputs.output.is_empty()
        {
            self.outputs.output.put_heartbeat();
        }
    }

    /// The socket's read side ended, or the socket failed. Nothing else will come.
    pub fn handle_end_of_input(&mut self, _now: Now) {
        self.lose_client();
    }

    /// All of [`Self::output`] was written, or thrown away with its socket.
    pub fn handle_written(&mut self) {
        self.answers_size = 0;
        if let State::Open(session) = &mut self.state {
            let bytes = std::mem::take(&mut session.delivered_size);
            if bytes > 0 {
                self.outputs.commands.push(Command::DeliveriesWritten { bytes });
            }
            if session.replied_size > REPLIES_UNREPORTED_SIZE_MAX {
                let bytes = std::mem::take(&mut session.replied_size);
                self.outputs.commands.push(Command::RepliesWritten { bytes });
            }
        }
    }

    /// The broker closes the connection, with this code and text.
    pub fn handle_shutdown(&mut self, now: Now, fault: Fault) {
        match self.state {
            State::Closing { .. } | State::Closed => {}
            State::AwaitingHeader => self.state = State::Closed,
            _ => self.fail(now, Failure::from(fault)),
        }
    }

    /// What is to be written, with confirms for all that is known by now. While much waits for a
    /// client that does not read, confirms wait too, and become fewer frames.
    pub fn output(&mut self) -> &mut SendBuffer {
        if let State::Open(session) = &mut self.state
            && self.outputs.output.len() <= CONFIRMS_AHEAD_SIZE_MAX
        {
            session.flush_confirms(&mut self.outputs);
        }
        &mut self.outputs.output
    }

    /// What the shard is asked, in order.
    pub fn poll_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.outputs.commands)
    }

    /// What is to be done outside of the engine.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let State::Open(session) = &mut self.state
            && session.pace.take_due()
        {
            let ConnectionInfo { vhost, user, .. } = &session.info;
            return Some(Action::AwaitTurn { vhost: vhost.clone(), user: user.clone() });
        }
        self.action.take()
    }

    /// When [`Self::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        let send_at = self.heartbeat.send_at().filter(|_| matches!(self.state, State::Open(_)));
        [self.handshake_until, self.peer_close_until(), self.dead_at(), send_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether input has to wait: for an answer, or for output to be written.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        match &self.state {
            State::Authenticating { .. } | State::Entering { .. } => true,
            State::Open(session) => {
                session.is_paused() || self.answers_size > ANSWERS_UNWRITTEN_SIZE_MAX
            }
            _ => false,
        }
    }

    /// Whether it published while the broker is short of resources, and is not read until that is
    /// over.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(&self.state, State::Open(session) if session.is_blocked())
    }

    /// Whether the socket is to be closed once the output is written.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Closing { peer_close, shard_detach } => {
                peer_close == PeerClose::Done && shard_detach == ShardDetach::Done
            }
            _ => false,
        }
    }

    /// The fault that closed the connection, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&Fault> {
        self.cause.as_ref()
    }

    /// What the client calls this connection, once it has said so.
    #[must_use]
    pub fn name(&self) -> Option<&ShortStr> {
        self.name.as_ref()
    }

    /// What people are shown of the client; told once, after the handshake.
    pub fn take_details(&mut self) -> ClientDetails {
        std::mem::take(&mut self.details)
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Channels that are open.
    #[must_use]
    pub fn count_channels(&self) -> usize {
        match &self.state {
            State::Open(session) => session.count_channels(),
            _ => 0,
        }
    }

    /// Channels that are open and have published.
    #[must_use]
    pub fn count_publishers(&self) -> usize {
        match &self.state {
            State::Open(_) => self.outputs.publishers,
            _ => 0,
        }
    }

    /// The channels that are open, if that has changed since the last call.
    pub fn poll_channels(&mut self) -> Option<Vec<OpenChannel>> {
        match &self.state {
            State::Open(session) if std::mem::take(&mut self.outputs.channels_changed) => {
                Some(session.open_channels())
            }
            _ => None,
        }
    }

    /// What happened since the last call.
    pub fn poll_traffic(&mut self) -> Traffic {
        self.outputs.exchange_flow.flush();
        std::mem::take(&mut self.outputs.traffic)
    }

    /// A client that is not read counts as alive.
    fn dead_at(&self) -> Option<Monotonic> {
        self.heartbeat
            .dead_at()
            .filter(|_| matches!(self.state, State::Open(_)) && !self.is_paused())
    }
}
