//! The end of a connection, from whichever side: the client gets its close-ok or gives us ours,
//! and the shard lets go of what the connection held.

use super::Connection;
use super::failure::Failure;
use super::limits::{CLOSE_TIME_MS_MAX, CLOSE_TIME_REFUSED_MS_MAX, CLOSE_TIME_UNREADABLE_MS_MAX};
use super::state::{Departure, Farewell, State};
use crate::command::{Closure, Command};
use crate::fault::Fault;
use crate::time::{Monotonic, Now};
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
        self.close(&failure, Farewell::AwaitCloseOk { until }, closure);
        self.cause = Some(failure.fault);
    }

    /// Octets that are no frames: nothing after them can be read.
    pub(super) fn fail_unreadable(&mut self, now: Now, error: WireError) {
        let failure = Failure::from(error);
        if !matches!(self.state, State::Closing { .. } | State::Closed) {
            let until = now.monotonic.plus(CLOSE_TIME_UNREADABLE_MS_MAX);
            self.close(&failure, Farewell::AwaitEnd { until }, Closure::Failed);
            self.cause = Some(failure.fault);
        } else {
            self.lose_client();
        }
    }

    fn close(&mut self, failure: &Failure, farewell: Farewell, closure: Closure) {
        let departure = self.depart(closure);
        self.link.output.put_method(0, &failure.connection_close());
        self.handshake_until = None;
        self.state = State::Closing { farewell, departure };
    }

    /// `connection.close` from the client: its exclusive queues are gone when it reads close-ok.
    pub(super) fn close_for_client(&mut self) {
        let departure = self.depart(Closure::ByClient);
        self.state = State::Closing { farewell: Farewell::AnswerClose, departure };
    }

    /// Nothing more will come from the client, and it reads nothing.
    pub(super) fn lose_client(&mut self) {
        let departure = match self.state {
            State::Closing { departure, .. } => departure,
            _ => self.depart(Closure::Failed),
        };
        self.handshake_until = None;
        self.state = State::Closing { farewell: Farewell::Said, departure };
    }

    pub(super) fn give_up(&mut self, text: &str) {
        self.cause = Some(Fault::connection(ReplyCode::ConnectionForced, text));
        self.lose_client();
    }

    /// Takes leave of the shard.
    fn depart(&mut self, closure: Closure) -> Departure {
        let State::Open(session) = &mut self.state else { return Departure::Done };
        session.flush_confirms(&mut self.link);
        if session.question.is_some() {
            return Departure::Waiting { closure };
        }
        self.link.commands.push(Command::CloseConnection { closure });
        Departure::Asked
    }

    /// A reply from the shard to a closing connection.
    pub(super) fn handle_departure(&mut self) {
        let State::Closing { farewell, departure } = &mut self.state else { return };
        match departure {
            Departure::Waiting { closure } => {
                self.link.commands.push(Command::CloseConnection { closure: *closure });
                *departure = Departure::Asked;
            }
            Departure::Asked => {
                *departure = Departure::Done;
                if *farewell == Farewell::AnswerClose {
                    self.link.output.put_method(0, &ConnectionCloseOk {});
                    *farewell = Farewell::Said;
                }
            }
            Departure::Done => {}
        }
    }

    /// After our close only the end of the connection counts (AMQP 0-9-1, 1.4.2.9).
    pub(super) fn handle_closing_frame(&mut self, frame: &Frame) {
        let State::Closing { farewell, .. } = &mut self.state else { return };
        if !matches!(farewell, Farewell::AwaitCloseOk { .. }) {
            return;
        }
        match frame {
            Frame::Method { channel: 0, method: Method::ConnectionCloseOk(_) } => {
                *farewell = Farewell::Said;
            }
            // Both sides closed at once: each gets its answer.
            Frame::Method { channel: 0, method: Method::ConnectionClose(_) } => {
                self.link.output.put_method(0, &ConnectionCloseOk {});
            }
            _ => {}
        }
    }

    /// Whether what comes is thrown away unread.
    pub(super) const fn discards_input(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Closing { farewell, .. } => !matches!(farewell, Farewell::AwaitCloseOk { .. }),
            _ => false,
        }
    }

    /// Until when a closing connection waits for its client.
    pub(super) const fn farewell_until(&self) -> Option<Monotonic> {
        match self.state {
            State::Closing {
                farewell: Farewell::AwaitCloseOk { until } | Farewell::AwaitEnd { until },
                ..
            } => Some(until),
            _ => None,
        }
    }

    pub(super) const fn stop_waiting_for_client(&mut self) {
        if let State::Closing { farewell, .. } = &mut self.state {
            *farewell = Farewell::Said;
        }
    }
}
