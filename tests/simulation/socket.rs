//! One socket with both its ends: the virtual client, bytes on their way in either direction, and
//! the broker's connection, driven as the server's connection task drives it.

use crate::client::Client;
use crate::history::History;
use crate::random::Random;
use bytes::{Buf, BytesMut};
use forebay_engine::BrokerSnapshot;
use forebay_engine::command::Command;
use forebay_engine::connection::{Action, Connection, ConnectionSettings, Identity, Peer, Seed};
use forebay_engine::event::Event;
use forebay_engine::model::{ConnectionId, Now};
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

static SETTINGS: LazyLock<Arc<ConnectionSettings>> = LazyLock::new(|| {
    let identity = Identity {
        product: "Forebay".to_owned(),
        version: "0.0.0".to_owned(),
        platform: "simulation".to_owned(),
        cluster_name: "simulation".to_owned(),
        information: String::new(),
    };
    Arc::new(ConnectionSettings::new(&identity))
});

pub(crate) struct Socket {
    pub(crate) connection: Connection,
    pub(crate) client: Client,
    /// Bytes that the client has written and the broker has not read.
    pub(crate) inbound: BytesMut,
    /// Read, and not understood yet.
    input: BytesMut,
    /// Bytes that the broker has written and the client has not read.
    outbound: BytesMut,
    pub(crate) events: VecDeque<Vec<Event>>,
    /// A batch for which the mailbox had no room.
    unsent: Vec<Command>,
    /// The client is gone without a word.
    pub(crate) is_cut: bool,
}

impl Socket {
    pub(crate) fn new(id: ConnectionId, client: Client, seed: u64, now: Now) -> Self {
        let address = "127.0.0.1:1".parse().unwrap();
        let peer = Peer { address, certificate_user: None };
        Self {
            connection: Connection::new(id, Arc::clone(&SETTINGS), peer, seed_of(seed), now),
            client,
            inbound: BytesMut::new(),
            input: BytesMut::new(),
            outbound: BytesMut::new(),
            events: VecDeque::new(),
            unsent: Vec::new(),
            is_cut: false,
        }
    }

    /// Reads up to `bytes`. Whether there were any.
    pub(crate) fn read(&mut self, bytes: usize, now: Now, snapshot: &BrokerSnapshot) -> bool {
        let is_stopped = self.connection.is_paused() || !self.unsent.is_empty();
        if is_stopped || self.inbound.is_empty() {
            return false;
        }
        let bytes = bytes.min(self.inbound.len());
        self.input.extend_from_slice(&self.inbound.split_to(bytes));
        self.parse(now, snapshot);
        true
    }

    pub(crate) fn parse(&mut self, now: Now, snapshot: &BrokerSnapshot) {
        if self.unsent.is_empty() && !self.connection.is_paused() && !self.input.is_empty() {
            self.connection.handle_input(now, snapshot, &mut self.input);
        }
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Authenticate(_) => self.connection.handle_authenticated(now, true),
                Action::CheckSecret(_) => self.connection.handle_secret_checked(now),
                Action::Enter { .. } => self.connection.handle_entered(now, Ok(())),
                Action::AwaitTurn { .. } => self.connection.handle_turn(now, 1),
            }
            self.connection.handle_input(now, snapshot, &mut self.input);
        }
    }

    /// Takes one batch of news from the shard.
    pub(crate) fn take_events(&mut self, now: Now, snapshot: &BrokerSnapshot) -> bool {
        let Some(events) = self.events.pop_front() else { return false };
        for event in events {
            match event {
                Event::Close { fault } => self.connection.handle_shutdown(now, fault),
                event => self.connection.handle_event(now, event),
            }
        }
        self.parse(now, snapshot);
        true
    }

    /// The next batch for the shard, if the mailbox takes one.
    pub(crate) fn send(&mut self, has_room: bool) -> Option<Vec<Command>> {
        if self.unsent.is_empty() {
            self.unsent = self.connection.poll_commands();
        }
        (has_room && !self.unsent.is_empty()).then(|| std::mem::take(&mut self.unsent))
    }

    /// Writes up to `bytes`. Whether there were any.
    pub(crate) fn write(&mut self, bytes: usize, now: Now, snapshot: &BrokerSnapshot) -> bool {
        let output = self.connection.output();
        if !output.has_remaining() {
            return false;
        }
        let bytes = bytes.min(output.remaining());
        let written = output.copy_to_bytes(bytes);
        if !self.is_cut {
            self.outbound.extend_from_slice(&written);
        }
        if !self.connection.output().has_remaining() {
            self.connection.handle_written();
            self.parse(now, snapshot);
        }
        true
    }

    /// The client reads up to `bytes`, and answers what has to be answered.
    pub(crate) fn listen(&mut self, bytes: usize, history: &mut History) -> bool {
        if self.is_cut || self.outbound.is_empty() {
            return false;
        }
        let bytes = bytes.min(self.outbound.len());
        self.client.read(self.outbound.split_to(bytes), history);
        self.inbound.extend_from_slice(&self.client.take_written());
        true
    }

    /// The client does one thing.
    pub(crate) fn act(&mut self, act: impl FnOnce(&mut Client)) {
        act(&mut self.client);
        self.inbound.extend_from_slice(&self.client.take_written());
    }

    /// The client dies; what it has written may have been read by the broker's machine or not.
    pub(crate) fn cut(&mut self, random: &mut Random, now: Now, snapshot: &BrokerSnapshot) {
        if random.below(2) == 0 {
            self.read(usize::MAX, now, snapshot);
        }
        self.is_cut = true;
        self.inbound.clear();
        self.outbound.clear();
        self.connection.handle_end_of_input(now);
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.outbound.is_empty()
            && self.inbound.is_empty()
            && self.events.is_empty()
            && self.unsent.is_empty()
            && self.connection.output().is_empty()
    }
}

/// As many bytes as a connection wants.
fn seed_of(number: u64) -> Seed {
    let mut seed = Seed::default();
    seed[..8].copy_from_slice(&number.to_be_bytes());
    seed
}
