//! The end of a connection, from whichever side: the client gets its close-ok or gives us ours,
//! and the shard lets go of what the connection held.

use super::Connection;
use super::failure::Failure;
use super::state::{PeerClose, ShardDetach, State};
use crate::command::Command;
use crate::model::{Closure, Fault, Monotonic, Now};
use crate::session::limits::{
    CLOSE_TIME_MS_MAX, CLOSE_TIME_REFUSED_MS_MAX, CLOSE_TIME_UNREADABLE_MS_MAX,
};
use forebay_wire::method::ConnectionCloseOk;
use forebay_wire::{Frame, Method, ReplyCode, WireError};

impl Connection {
    /// A fault that closes the connection: the client is told.
    pub(super) fn fail(&mut self, now: Now, failure: Failure) {
        let is_open = matches!(self.state, State::Open(_));
        let time_max = if is_open { CLOSE_TIME_MS_MAX } else { CLOSE_TIME_REFUSED_MS_MAX };
        let until = now.monotonic.plus(time_max);
        let is_forced = failure.fault.code == ReplyCode::ConnectionForced;
        let closure = if is_forced { Closure::ByBroker } else { Closure::Failed };
        self.close(&failure, PeerClose::AwaitCloseOk { until }, closure);
        self.cause = Some(failure.fault);
    }

    /// Bytes that are no frames: nothing after them can be read.
    pub(super) fn fail_unreadable(&mut self, now: Now, error: WireError) {
        let failure = Failure::from(error);
        if !matches!(self.state, State::Closing { .. } | State::Closed) {
            let until = now.monotonic.plus(CLOSE_TIME_UNREADABLE_MS_MAX);
            self.close(&failure, PeerClose::AwaitEnd { until }, Closure::Failed);
            self.cause = Some(failure.fault);
        } else {
            self.lose_client();
        }
    }

    fn close(&mut self, failure: &Failure, peer_close: PeerClose, closure: Closure) {
        let shard_detach = self.detach(closure);
        self.outputs.output.put_method(0, &failure.connection_close());
        self.handshake_until = None;
        self.state = State::Closing { peer_close, shard_detach };
    }

    /// `connection.close` from the client: its exclusive queues are gone when it reads close-ok.
    pub(super) fn close_for_client(&mut self) {
        let shard_detach = self.detach(Closure::ByClient);
        self.state = State::Closing { peer_close: PeerClose::AnswerClose, shard_detach };
    }

    /// Nothing more will come from the client, and it reads nothing.
    pub(super) fn lose_client(&mut self) {
        let shard_detach = match self.state {
            State::Closing { shard_detach, .. } => shard_detach,
            _ => self.detach(Closure::Failed),
        };
        self.handshake_until = None;
        self.state = State::Closing { peer_close: PeerClose::Done, shard_detach };
    }

    pub(super) fn abandon(&mut self, text: &str) {
        self.cause = Some(Fault::connection(ReplyCode::ConnectionForced, text));
        self.lose_client();
    }

    /// Takes leave of the shard.
    fn detach(&mut self, closure: Closure) -> ShardDetach {
        let State::Open(session) = &mut self.state else { return ShardDetach::Done };
        session.flush_confirms(&mut self.outputs);
        if session.pending.is_some() {
            return ShardDetach::Waiting { closure };
        }
        self.outputs.commands.push(Command::CloseConnection { closure });
        ShardDetach::Asked
    }

    /// A reply from the shard to a closing connection.
    pub(super) fn handle_detached(&mut self) {
        let State::Closing { peer_close, shard_detach } = &mut self.state else { return };
        match shard_detach {
            ShardDetach::Waiting { closure } => {
                self.outputs.commands.push(Command::CloseConnection { closure: *closure });
                *shard_detach = ShardDetach::Asked;
            }
            ShardDetach::Asked => {
                *shard_detach = ShardDetach::Done;
                if *peer_close == PeerClose::AnswerClose {
                    self.outputs.output.put_method(0, &ConnectionCloseOk {});
                    *peer_close = PeerClose::Done;
                }
            }
            ShardDetach::Done => {}
        }
    }

    /// After our close only the end of the connection counts (AMQP 0-9-1, 1.4.2.9).
    pub(super) fn handle_closing_frame(&mut self, frame: &Frame) {
        let State::Closing { peer_close, .. } = &mut self.state else { return };
        if !matches!(peer_close, PeerClose::AwaitCloseOk { .. }) {
            return;
        }
        match frame {
            Frame::Method { channel: 0, method: Method::ConnectionCloseOk(_) } => {
                *peer_close = PeerClose::Done;
            }
            // Both sides closed at once: each gets its answer.
            Frame::Method { channel: 0, method: Method::ConnectionClose(_) } => {
                self.outputs.output.put_method(0, &ConnectionCloseOk {});
            }
            _ => {}
        }
    }

    /// Whether what comes is thrown away unread.
    pub(super) const fn discards_input(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Closing { peer_close, .. } => {
                !matches!(peer_close, PeerClose::AwaitCloseOk { .. })
            }
            _ => false,
        }
    }

    /// Until when a closing connection waits for its client.
    pub(super) const fn peer_close_until(&self) -> Option<Monotonic> {
        match self.state {
            State::Closing {
                peer_close: PeerClose::AwaitCloseOk { until } | PeerClose::AwaitEnd { until },
                ..
            } => Some(until),
            _ => None,
        }
    }

    pub(super) const fn stop_waiting_for_client(&mut self) {
        if let State::Closing { peer_close, .. } = &mut self.state {
            *peer_close = PeerClose::Done;
        }
    }
}
