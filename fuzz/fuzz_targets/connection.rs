//! A whole connection after the handshake, with the broker behind it: any bytes, cut anywhere, with
//! commits, time and a client that reads late in between.
//!
//! ```text
//! step: 0..=199 so many bytes of the client follow | 200..=215 time | 216..=229 a commit is written
//!       | 230..=255 the client reads
//! ```
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "broker.rs"]
mod broker;

#[cfg(not(fuzzing))]
use crate::broker;
use broker::Broker;
use bytes::{Buf, Bytes, BytesMut};
use forebay_engine::connection::{Action, Connection, ConnectionSettings, Identity, Peer};
use forebay_engine::event::Event;
use forebay_engine::model::ConnectionId;
use forebay_wire::method::{ConnectionOpen, ConnectionStartOk, ConnectionTuneOk};
use forebay_wire::{Frame, FrameDecoder, Method, SendBuffer, ShortStr};
use std::sync::Arc;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

const ID: ConnectionId = ConnectionId(1);
const FRAME_SIZE_MAX: u32 = 131_072;

struct Client {
    broker: Broker,
    connection: Connection,
    input: BytesMut,
    output: BytesMut,
    decoder: FrameDecoder,
}

/// # Panics
/// When the broker writes what is no frame, or the connection leaves something behind.
pub fn run(mut bytes: &[u8]) {
    let mut client = Client::open();
    while let Some((step, rest)) = bytes.split_first() {
        bytes = rest;
        match step {
            0..=199 => {
                let (chunk, rest) = bytes.split_at(usize::from(*step).min(bytes.len()));
                bytes = rest;
                client.feed(chunk);
            }
            200..=215 => client.broker.pass(1 << (step - 200)),
            216..=229 => client.broker.commit(),
            230.. => client.read(),
        }
        client.work();
    }
    client.leave();
}

impl Client {
    fn open() -> Self {
        let identity = Identity {
            product: "Forebay".to_owned(),
            version: "0.0.0".to_owned(),
            platform: "fuzz".to_owned(),
            cluster_name: "fuzz".to_owned(),
            information: String::new(),
        };
        let settings = Arc::new(ConnectionSettings::new(&identity));
        let broker = Broker::new();
        let peer = Peer::at("127.0.0.1:1".parse().expect("an address"));
        let connection = Connection::new(ID, settings, peer, [7; 32], broker.now);
        let mut handshake = SendBuffer::new();
        handshake.put_protocol_header();
        let start_ok = ConnectionStartOk {
            mechanism: ShortStr::from_static("PLAIN"),
            response: Bytes::from_static(b"\0guest\0guest"),
            locale: ShortStr::from_static("en_US"),
            ..ConnectionStartOk::default()
        };
        handshake.put_method(0, &start_ok);
        let tune = ConnectionTuneOk { channel_max: 8, frame_max: FRAME_SIZE_MAX, heartbeat: 60 };
        handshake.put_method(0, &tune);
        handshake.put_method(0, &ConnectionOpen { virtual_host: ShortStr::from_static("/") });
        let decoder = FrameDecoder::new(FRAME_SIZE_MAX);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        let mut client = Self { broker, connection, input, output, decoder };
        client.feed(&handshake.copy_to_bytes(handshake.remaining()));
        client.work();
        let answers = client.answers();
        assert!(
            matches!(
                answers.last(),
                Some(Frame::Method { method: Method::ConnectionOpenOk(_), .. })
            ),
            "a connection that is not open: {answers:?}"
        );
        client
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.parse();
    }

    fn parse(&mut self) {
        let (now, snapshot) = (self.broker.now, self.broker.shard.snapshot());
        self.connection.handle_input(now, &snapshot, &mut self.input);
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Authenticate(_) => self.connection.handle_authenticated(now, true),
                Action::CheckSecret(_) => self.connection.handle_secret_checked(now),
                Action::Enter { .. } => self.connection.handle_entered(now, Ok(())),
                Action::AwaitTurn { .. } => self.connection.handle_turn(now, 1),
            }
            self.connection.handle_input(now, &snapshot, &mut self.input);
        }
    }

    /// Commands in, news out, until nothing moves.
    fn work(&mut self) {
        let now = self.broker.now;
        if self.connection.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.connection.handle_timeout(now);
        }
        loop {
            let commands = self.connection.poll_commands();
            let is_idle = commands.is_empty() && self.broker.events.is_empty();
            if is_idle {
                return;
            }
            self.broker.send(ID, commands);
            for (_, event) in std::mem::take(&mut self.broker.events) {
                match event {
                    Event::Close { fault } => self.connection.handle_shutdown(now, fault),
                    event => self.connection.handle_event(now, event),
                }
            }
            self.parse();
        }
    }

    fn read(&mut self) {
        self.answers();
        self.parse();
    }

    /// Everything written arrives: it must be frames.
    fn answers(&mut self) -> Vec<Frame> {
        let output = self.connection.output();
        let written = output.copy_to_bytes(output.remaining());
        self.connection.handle_written();
        self.output.extend_from_slice(&written);
        let decode = || self.decoder.decode(&mut self.output).expect("frames from the broker");
        std::iter::from_fn(decode).collect()
    }

    /// The client goes; nothing of it may stay.
    fn leave(&mut self) {
        self.read();
        self.connection.handle_end_of_input(self.broker.now);
        self.work();
        self.broker.settle();
        self.work();
        assert!(self.connection.is_finished(), "a connection that never ends");
        let mut list = forebay_engine::shard::ChannelListing::default();
        let channels = loop {
            if let Some(channels) = self.broker.shard.advance_channels(&mut list) {
                break channels;
            }
        };
        assert!(channels.is_empty(), "a channel without a connection");
        for queue in self.broker.shard.statistics().queues {
            let figures = queue.statistics;
            assert_eq!((figures.unacked, figures.consumers, figures.missing), (0, 0, 0));
        }
    }
}
