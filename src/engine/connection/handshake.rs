//! From the protocol header to `connection.open` (AMQP 0-9-1, 2.2.4).

use super::failure::Failure;
use super::heartbeat::Heartbeat;
use super::sasl::{Mechanism, mechanisms};
use super::session::Session;
use super::state::State;
use super::{Action, Connection, ConnectionSettings};
use crate::BrokerSnapshot;
use crate::command::Command;
use crate::model::{ClientIdentity, Fault, Now};
use crate::session::MethodId;
use crate::session::Tuned;
use crate::session::{ClientProfile, connection_name};
use bytes::{Buf, Bytes, BytesMut};
use forebay_wire::method::{
    ConnectionOpen, ConnectionOpenOk, ConnectionStart, ConnectionStartOk, ConnectionTune,
    ConnectionTuneOk,
};
use forebay_wire::{Frame, Method, PROTOCOL_HEADER, ProtocolHeader, ReplyCode, ShortStr, limits};

/// How a TLS client begins: a record of the type handshake, version 3.x.
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

impl Connection {
    /// Says whether the header is there and ours.
    pub(super) fn read_header(&mut self, input: &mut BytesMut) -> bool {
        match ProtocolHeader::parse(input) {
            ProtocolHeader::Incomplete => false,
            ProtocolHeader::Foreign => {
                self.cause = input.starts_with(&TLS_HANDSHAKE).then(tls_fault);
                input.clear();
                self.outputs.output.put_protocol_header();
                self.state = State::Closed;
                false
            }
            ProtocolHeader::Ours => {
                input.advance(PROTOCOL_HEADER.len());
                let start = ConnectionStart {
                    version_major: 0,
                    version_minor: 9,
                    server_properties: self.settings.server_properties.clone(),
                    mechanisms: Bytes::from_static(mechanisms(&self.peer).as_bytes()),
                    locales: Bytes::from_static(b"en_US"),
                };
                self.outputs.output.put_method(0, &start);
                self.state = State::AwaitingStartOk;
                true
            }
        }
    }

    /// A frame before the connection is open.
    pub(super) fn handle_handshake_frame(
        &mut self,
        now: Now,
        broker: &BrokerSnapshot,
        frame: Frame,
    ) {
        let Frame::Method { channel, method } = frame else {
            if frame != Frame::Heartbeat {
                self.refuse_frame(now, "a content frame", MethodId::default());
            }
            return;
        };
        let id = MethodId::of(&method);
        match (std::mem::replace(&mut self.state, State::Closed), method) {
            (State::AwaitingStartOk, Method::ConnectionStartOk(start)) if channel == 0 => {
                self.handle_start_ok(start);
            }
            (State::AwaitingTuneOk { client, user }, Method::ConnectionTuneOk(tune))
                if channel == 0 =>
            {
                match self.tune(&tune) {
                    Ok(tuned) => {
                        self.details.channels_max = tuned.channels_max;
                        self.details.frame_size_max = tuned.frame_size_max;
                        self.details.heartbeat_s = tune.heartbeat;
                        self.decoder.set_frame_size_max(tuned.frame_size_max);
                        self.heartbeat = Heartbeat::new(
                            tune.heartbeat,
                            self.settings.silence_s_max,
                            now.monotonic,
                        );
                        self.state = State::AwaitingOpen { client, user, tuned };
                    }
                    Err(fault) => self.fail(now, Failure { fault, method: id }),
                }
            }
            (State::AwaitingOpen { client, user, tuned }, Method::ConnectionOpen(open))
                if channel == 0 =>
            {
                match find_vhost(broker, &user, &open) {
                    Ok(vhost) => {
                        self.action =
                            Some(Action::Enter { vhost: vhost.clone(), user: user.clone() });
                        self.state = State::Entering { client, user, tuned, vhost };
                    }
                    Err(fault) => self.fail(now, Failure { fault, method: id }),
                }
            }
            // RabbitMQ is open for a clean goodbye at any time after the start.
            (_, Method::ConnectionClose(_)) if channel == 0 => {
                self.outputs.output.put_method(0, &forebay_wire::method::ConnectionCloseOk {});
            }
            (state, method) => {
                self.state = state;
                self.refuse_frame(now, method.name(), id);
            }
        }
    }

    fn refuse_frame(&mut self, now: Now, found: &str, method: MethodId) {
        let expected = match &self.state {
            State::AwaitingStartOk => "connection.start-ok",
            State::AwaitingTuneOk { .. } => "connection.tune-ok",
            _ => "connection.open",
        };
        let text = format!("expected {expected} on channel 0, got {found}");
        let fault = Fault::connection(ReplyCode::UnexpectedFrame, text);
        self.fail(now, Failure { fault, method });
    }

    fn handle_start_ok(&mut self, start: ConnectionStartOk) {
        let client = ClientProfile::new(&start.client_properties, self.settings.is_rabbitmq);
        self.name = connection_name(&start.client_properties);
        self.details.properties = start.client_properties.detached();
        let claim = Mechanism::parse(&start.mechanism, &self.peer).and_then(|mechanism| {
            Ok((mechanism, mechanism.credentials(&start.response, &self.peer)?))
        });
        match claim {
            Ok((mechanism, credentials)) => {
                let (user, mechanism) = (credentials.user.clone(), mechanism.name());
                self.details.mechanism = mechanism;
                self.state = State::Authenticating { client, user, mechanism };
                self.action = Some(Action::Authenticate(credentials));
            }
            Err(fault) => self.refuse_login(client, fault),
        }
    }

    /// The answer to [`Action::Authenticate`] during the handshake.
    pub(super) fn finish_login(
        &mut self,
        client: ClientProfile,
        user: ShortStr,
        mechanism: &'static str,
        granted: bool,
    ) {
        if !granted {
            let text = format!(
                "Login was refused using authentication mechanism {mechanism}. For details see the \
                 broker logfile."
            );
            return self.refuse_login(client, Fault::connection(ReplyCode::AccessRefused, text));
        }
        let tune = ConnectionTune {
            channel_max: self.settings.channels_max,
            frame_max: self.settings.frame_size_max,
            heartbeat: self.settings.heartbeat_s,
        };
        self.outputs.output.put_method(0, &tune);
        self.state = State::AwaitingTuneOk { client, user };
    }

    /// A client that did not ask for a close would take it for a broken protocol: the standard
    /// knows only the closed socket (AMQP 0-9-1, 2.2.4).
    fn refuse_login(&mut self, client: ClientProfile, fault: Fault) {
        let failure = Failure::from(fault);
        if client.authentication_failure_close {
            self.outputs.output.put_method(0, &failure.connection_close());
        }
        self.cause = Some(failure.fault);
        self.state = State::Closed;
    }

    fn tune(&self, tune: &ConnectionTuneOk) -> Result<Tuned, Fault> {
        let refuse = |name: &str, value: u32, least: u32, most: u32| {
            let text = format!(
                "negotiated {name} = {value} is not allowed, expected 0 (no limit of the client's) \
                 or from {least} to {most}"
            );
            Err(Fault::connection(ReplyCode::NotAllowed, text))
        };
        let (frame_size_most, channels_most) =
            (self.settings.frame_size_max, self.settings.channels_max);
        let frame_size_max = match tune.frame_max {
            0 => frame_size_most,
            size if (limits::FRAME_SIZE_MIN..=frame_size_most).contains(&size) => size,
            size => return refuse("frame_max", size, limits::FRAME_SIZE_MIN, frame_size_most),
        };
        let channels_max = match tune.channel_max {
            0 => channels_most,
            count if count <= channels_most => count,
            count => return refuse("channel_max", count.into(), 1, channels_most.into()),
        };
        let ConnectionSettings { message_size_max, unfinished_size_max, .. } = *self.settings;
        Ok(Tuned { frame_size_max, channels_max, message_size_max, unfinished_size_max })
    }

    pub(super) fn open(&mut self, session: Session) {
        self.outputs.commands.push(Command::OpenConnection {
            vhost: session.info.vhost.clone(),
            // The server knows the rest.
            identity: ClientIdentity::of(session.info.user.clone()),
        });
        self.outputs.output.put_method(0, &ConnectionOpenOk {});
        self.handshake_until = None;
        self.state = State::Open(Box::new(session));
    }
}

fn tls_fault() -> Fault {
    let text = "the client speaks TLS to a listener without: it should use the TLS port, or no TLS";
    Fault::connection(ReplyCode::NotAllowed, text)
}

fn find_vhost(
    broker: &BrokerSnapshot,
    user: &ShortStr,
    open: &ConnectionOpen,
) -> Result<ShortStr, Fault> {
    let vhost = &open.virtual_host;
    if broker.routes.has_vhost(vhost.as_bytes()) {
        broker.access.permissions().check_vhost(user, vhost)?;
        return Ok(vhost.detached());
    }
    Err(Fault::connection(ReplyCode::NotAllowed, format!("vhost '{vhost}' not found")))
}
