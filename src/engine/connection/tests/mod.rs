//! A client with a pencil and a shard that says yes: bytes go in, frames are compared.

mod bounds;
mod channels;
mod closing;
mod consuming;
mod handshake;
mod hostile;
mod names;
mod permissions;
mod publishing;
mod random;
mod reply_to;
mod several_channels;
mod timing;
mod traffic;
mod transactions;

use super::{Action, Connection, ConnectionSettings, Identity, Peer};
use crate::BrokerSnapshot;
use crate::access::{AccessControl, ConfiguredUser};
use crate::command::Command;
use crate::event::{Delivery, Event, Reply};
use crate::model::{
    ChannelId, ConnectionId, Envelope, Fault, Level, Message, Monotonic, Now, Offset, Position,
    QueueId, ReplyAddress, TopologyRequest, WallClock,
};
use crate::topology::Topology;
use bytes::{Buf, Bytes, BytesMut};
use forebay_wire::method::*;
use forebay_wire::{
    FieldTable, FieldValue, Frame, FrameDecoder, Method, PROTOCOL_HEADER, Properties,
    RawProperties, ReplyCode, SendBuffer, ShortStr,
};
use std::sync::Arc;

pub(super) fn name(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

pub(super) fn bytes(output: &mut SendBuffer) -> BytesMut {
    let mut bytes = BytesMut::new();
    while output.has_remaining() {
        let chunk = output.chunk().to_vec();
        output.advance(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) topology: Topology,
    pub(super) access: AccessControl,
    pub(super) now: Now,
    input: BytesMut,
    /// Commands since the last look.
    commands: Vec<Command>,
}

impl Client {
    /// Before the first byte.
    pub(super) fn raw() -> Self {
        Self::from_address("127.0.0.1:50000")
    }

    pub(super) fn from_address(address: &str) -> Self {
        Self::of(Peer::at(address.parse().unwrap()))
    }

    pub(super) fn of(peer: Peer) -> Self {
        Self::with(peer, None)
    }

    /// What the shard has published.
    pub(super) fn broker(&self) -> BrokerSnapshot {
        let (routes, access) = (self.topology.routes(), self.access.snapshot());
        BrokerSnapshot { routes: routes.clone(), access: access.clone() }
    }

    /// One that may be silent for so many seconds when it has no heartbeats.
    pub(super) fn with(peer: Peer, silence_s_max: Option<u32>) -> Self {
        let mut settings = ConnectionSettings::new(&Identity {
            product: "Forebay".to_owned(),
            version: "0.1.0".to_owned(),
            platform: "Rust".to_owned(),
            cluster_name: "test".to_owned(),
            information: "none".to_owned(),
        });
        settings.silence_s_max = silence_s_max;
        let now = Now { monotonic: Monotonic(1_000_000), wall: WallClock(1_700_000_000_000) };
        let mut topology = Topology::new();
        topology.create_vhost(&name("/"));
        let mut access = AccessControl::new();
        access.configure(&[ConfiguredUser { name: name("guest"), permissions: None }]);
        let connection = Connection::new(ConnectionId(7), Arc::new(settings), peer, [42; 32], now);
        Self { connection, topology, access, now, input: BytesMut::new(), commands: Vec::new() }
    }

    /// After `connection.open-ok`, with channel 1 open and all capabilities.
    pub(super) fn open() -> Self {
        let mut client = Self::connected(&client_properties("test"), 2047, 131_072, 0);
        client.open_channel(1);
        client
    }

    pub(super) fn connected(
        properties: &FieldTable,
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    ) -> Self {
        let mut client = Self::raw();
        client.shake_hands(properties, channel_max, frame_max, heartbeat);
        client
    }

    pub(super) fn shake_hands(
        &mut self,
        properties: &FieldTable,
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    ) {
        self.feed(&PROTOCOL_HEADER);
        self.send(0, start_ok(properties, "PLAIN", b"\0guest\0guest"));
        self.authenticate(true);
        self.send(0, ConnectionTuneOk { channel_max, frame_max, heartbeat });
        self.send(0, ConnectionOpen { virtual_host: name("/") });
        self.enter(Ok(()));
        self.frames();
        assert!(matches!(self.take_commands()[..], [Command::OpenConnection { .. }]));
    }

    pub(super) fn open_channel(&mut self, channel: u16) {
        self.send(channel, ChannelOpen {});
        assert_eq!(self.methods(), [(channel, ChannelOpenOk {}.into())]);
    }

    /// Answers whether limits let it into the virtual host.
    pub(super) fn enter(&mut self, verdict: Result<(), Fault>) {
        assert!(self.connection.is_paused());
        assert!(matches!(self.connection.poll_action(), Some(Action::Enter { .. })));
        self.connection.handle_entered(self.now, verdict);
        self.feed(&[]);
    }

    pub(super) fn authenticate(&mut self, granted: bool) {
        assert!(self.connection.is_paused());
        assert!(matches!(self.connection.poll_action(), Some(Action::Authenticate(_))));
        self.connection.handle_authenticated(self.now, granted);
        self.feed(&[]);
    }

    /// Hands bytes in, and what was left before them.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let broker = self.broker();
        self.connection.handle_input(self.now, &broker, &mut self.input);
        self.commands.extend(self.connection.poll_commands());
    }

    pub(super) fn send(&mut self, channel: u16, method: impl Into<Method>) {
        self.feed(&method_bytes(channel, method));
    }

    pub(super) fn publish(&mut self, publish: BasicPublish, properties: &Properties, body: &[u8]) {
        self.feed(&publish_bytes(1, &publish, properties, body));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.connection.handle_event(self.now, event);
        self.commands.extend(self.connection.poll_commands());
    }

    pub(super) fn reply(&mut self, channel: u16, reply: Result<Reply, Fault>) {
        self.event(Event::Reply { channel: ChannelId(channel), reply });
        self.feed(&[]);
    }

    /// Answers every open question as a shard with no messages would, then gives the commands.
    pub(super) fn answered(&mut self) -> Vec<Command> {
        let mut seen = Vec::new();
        loop {
            let commands = std::mem::take(&mut self.commands);
            if commands.is_empty() {
                return seen;
            }
            for command in &commands {
                if let Some((channel, reply)) = self.answer_to(command) {
                    self.reply(channel.0, reply);
                }
            }
            seen.extend(commands);
        }
    }

    fn answer_to(&mut self, command: &Command) -> Option<(ChannelId, Result<Reply, Fault>)> {
        Some(match command {
            Command::CloseConnection { .. } => (ChannelId(0), Ok(Reply::Done)),
            Command::CloseChannel { channel, .. }
            | Command::CommitTransaction { channel, .. }
            | Command::Cancel { channel, .. } => (*channel, Ok(Reply::Done)),
            Command::Subscribe(subscribe) => (subscribe.channel, Ok(Reply::Done)),
            Command::Get { channel, .. } => (*channel, Ok(Reply::Empty)),
            Command::FindReplyAddress { channel, name } => (*channel, found(name)),
            Command::Topology { channel, request, .. } => (*channel, self.topology_reply(request)),
            _ => return None,
        })
    }

    pub(super) fn topology_reply(&mut self, request: &TopologyRequest) -> Result<Reply, Fault> {
        match request {
            TopologyRequest::DeclareQueue(queue) => {
                let declared = self.topology.declare_queue(&name("/"), ConnectionId(7), queue)?;
                Ok(Reply::QueueDeclared { name: declared.name, messages: 0, consumers: 0 })
            }
            TopologyRequest::DeclareExchange(exchange) => {
                self.topology.declare_exchange(&name("/"), exchange).map(|()| Reply::Done)
            }
            TopologyRequest::PurgeQueue { .. } | TopologyRequest::DeleteQueue { .. } => {
                Ok(Reply::MessageCount(3))
            }
            _ => Ok(Reply::Done),
        }
    }

    pub(super) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// What was written since the last look.
    pub(super) fn frames(&mut self) -> Vec<Frame> {
        let mut written = bytes(self.connection.output());
        self.connection.handle_written();
        self.commands.extend(self.connection.poll_commands());
        decode_all(&mut written)
    }

    pub(super) fn methods(&mut self) -> Vec<(u16, Method)> {
        let method = |frame| match frame {
            Frame::Method { channel, method } => Some((channel, method)),
            _ => None,
        };
        self.frames().into_iter().filter_map(method).collect()
    }

    /// As the last thing written: `close:530`, `chclose:404`, `open`, `eof`.
    pub(super) fn outcome(&mut self) -> (String, String) {
        let methods = self.methods();
        for (_, method) in methods {
            match method {
                Method::ConnectionClose(close) => {
                    return (format!("close:{}", close.reply_code), close.reply_text.to_string());
                }
                Method::ChannelClose(close) => {
                    return (format!("chclose:{}", close.reply_code), close.reply_text.to_string());
                }
                _ => {}
            }
        }
        let state = if self.connection.is_finished() { "eof" } else { "open" };
        (state.to_owned(), String::new())
    }

    /// A queue to publish to through the default exchange.
    pub(super) fn declare(&mut self, queue: &str) -> QueueId {
        self.send(1, QueueDeclare { queue: name(queue), ..QueueDeclare::default() });
        self.answered();
        assert!(matches!(self.methods()[..], [(1, Method::QueueDeclareOk(_))]));
        self.topology.find_queue(&name("/"), &name(queue)).unwrap().id
    }
}

/// Every address that can be one has somebody who waits there.
fn found(name: &ShortStr) -> Result<Reply, Fault> {
    match ReplyAddress::parse(name) {
        Some(_) => Ok(Reply::QueueDeclared { name: name.clone(), messages: 0, consumers: 1 }),
        None => Err(Fault::channel(ReplyCode::NotFound, format!("no queue '{name}'"))),
    }
}

pub(super) fn decode_all(written: &mut BytesMut) -> Vec<Frame> {
    let decoder = &mut FrameDecoder::new(131_072);
    let frames = std::iter::from_fn(|| decoder.decode(written).unwrap()).collect();
    assert!(written.is_empty());
    frames
}

pub(super) fn method_bytes(channel: u16, method: impl Into<Method>) -> BytesMut {
    let mut output = SendBuffer::new();
    output.put_method(channel, &method.into());
    bytes(&mut output)
}

pub(super) fn publish_bytes(
    channel: u16,
    publish: &BasicPublish,
    properties: &Properties,
    body: &[u8],
) -> BytesMut {
    let mut output = SendBuffer::new();
    let body = Bytes::copy_from_slice(body);
    output.put_content(channel, publish, &properties.encode(), &body, 4096);
    bytes(&mut output)
}

pub(super) fn to(queue: &str) -> BasicPublish {
    BasicPublish { routing_key: name(queue), ..BasicPublish::default() }
}

pub(super) fn client_properties(product: &'static str) -> FieldTable {
    let names = ["authentication_failure_close", "consumer_cancel_notify", "connection.blocked"];
    let capabilities: FieldTable =
        names.into_iter().map(|text| (name(text), FieldValue::Bool(true))).collect();
    let mut properties = FieldTable::new();
    properties.insert(name("capabilities"), FieldValue::Table(capabilities));
    properties.insert(name("product"), FieldValue::LongStr(Bytes::from_static(product.as_bytes())));
    properties
}

pub(super) fn start_ok(
    properties: &FieldTable,
    mechanism: &str,
    response: &'static [u8],
) -> ConnectionStartOk {
    ConnectionStartOk {
        client_properties: properties.clone(),
        mechanism: name(mechanism),
        response: Bytes::from_static(response),
        locale: name("en_US"),
    }
}

pub(super) fn message(routing_key: &str, properties: &Properties, body: &'static [u8]) -> Message {
    let properties: RawProperties = properties.encode();
    let envelope = Envelope {
        exchange: &name(""),
        routing_key: &name(routing_key),
        properties: &properties,
        published_at: WallClock(1),
        expiration: None,
    };
    Message::new(envelope, Bytes::from_static(body), &mut BytesMut::new())
}

pub(super) fn delivery(offset: u64) -> Delivery {
    Delivery {
        position: Position { level: Level(0), offset: Offset(offset) },
        message: message("q", &Properties::default(), b"hello"),
        redelivered: false,
        failures: 0,
        returns: 0,
    }
}

pub(super) fn deliver(queue: QueueId, tag: &str, deliveries: Vec<Delivery>) -> Event {
    Event::Deliver {
        channel: ChannelId(1),
        consumer_tag: name(tag),
        queue,
        no_ack: false,
        deliveries,
    }
}
