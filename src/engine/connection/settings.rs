//! What the server decides for all connections, and who is at the other end of one.

use crate::session::limits::UNFINISHED_SIZE_MAX;
use bytes::Bytes;
use forebay_wire::{FieldTable, FieldValue, ShortStr, limits};
use std::net::SocketAddr;

/// Only what we honour: clients branch on these.
const CAPABILITIES: [&str; 10] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
    "settlement_instructions",
];

/// What a broker says of itself in `connection.start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `product`: "Forebay", unless a tool insists on another name.
    pub product: String,
    /// `version`: dotted numbers, which clients parse.
    pub version: String,
    /// `platform`.
    pub platform: String,
    /// `cluster_name`.
    pub cluster_name: String,
    /// `information`: where a person reads more.
    pub information: String,
}

/// What holds for every connection of a server.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Sent in `connection.start`.
    pub server_properties: FieldTable,
    /// The heartbeat interval that is suggested to clients, in s; 0: none.
    pub heartbeat_s: u16,
    /// How long a client without heartbeats may be silent, in s; nothing: for ever.
    pub silence_s_max: Option<u32>,
    /// The largest frame, in bytes with its header and end; at least `FRAME_SIZE_MIN`.
    pub frame_size_max: u32,
    /// The highest channel number.
    pub channels_max: u16,
    /// Bytes of a message's body at most; at most `MESSAGE_SIZE_MAX`.
    pub message_size_max: u64,
    /// Bytes of bodies that are not all there and of publishes in transactions that one connection may
    /// have; at least `message_size_max`.
    pub unfinished_size_max: usize,
    /// Clients are told that this is RabbitMQ, and some then ask in RabbitMQ's way.
    pub is_rabbitmq: bool,
}

impl ConnectionSettings {
    /// Default limits and the identity given.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self {
            server_properties: server_properties(identity),
            heartbeat_s: 60,
            silence_s_max: None,
            frame_size_max: limits::FRAME_SIZE_DEFAULT_MAX,
            channels_max: limits::CHANNELS_MAX,
            message_size_max: limits::MESSAGE_SIZE_MAX,
            unfinished_size_max: UNFINISHED_SIZE_MAX,
            is_rabbitmq: identity.product == "RabbitMQ",
        }
    }
}

fn server_properties(identity: &Identity) -> FieldTable {
    let capabilities: FieldTable = CAPABILITIES
        .into_iter()
        .map(|name| (ShortStr::from_static(name), FieldValue::Bool(true)))
        .collect();
    let texts = [
        ("cluster_name", &identity.cluster_name),
        ("information", &identity.information),
        ("platform", &identity.platform),
        ("product", &identity.product),
        ("version", &identity.version),
    ];
    let mut properties = FieldTable::new();
    properties.insert(ShortStr::from_static("capabilities"), FieldValue::Table(capabilities));
    for (name, text) in texts {
        let value = FieldValue::LongStr(Bytes::copy_from_slice(text.as_bytes()));
        properties.insert(ShortStr::from_static(name), value);
    }
    properties
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whom the certificate names that it has shown and that was found to be good, if any.
    pub certificate_user: Option<ShortStr>,
}

impl Peer {
    /// One that has shown no certificate.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, certificate_user: None }
    }

    /// Whether it is on this machine (an IPv4 address written as IPv6 included): the default user
    /// may log in from nowhere else.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}
