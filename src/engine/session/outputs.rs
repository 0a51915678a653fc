//! What every handler of a connection writes into: bytes for the socket, commands for the shard.

use super::exchange_flow::ExchangeFlow;
use super::limits::HEAD_ARENA_SIZE;
use super::random::{Random, Seed};
use super::traffic::Traffic;
use crate::command::Command;
use crate::model::ConnectionId;
use crate::session::route_cache::RouteCache;
use bytes::BytesMut;
use forebay_wire::SendBuffer;

/// The outputs of one connection, and what they are made with.
#[derive(Debug)]
pub(crate) struct ConnectionOutputs {
    pub(crate) id: ConnectionId,
    /// Bytes for the socket.
    pub(crate) output: SendBuffer,
    /// Commands for the shard, in order.
    pub(crate) commands: Vec<Command>,
    pub(crate) random: Random,
    pub(crate) traffic: Traffic,
    pub(crate) exchange_flow: ExchangeFlow,
    /// Channels that have published.
    pub(crate) publishers: usize,
    /// A channel was opened or closed, or has another mode.
    pub(crate) channels_changed: bool,
    /// Of all channels: most of them publish by the same few routes.
    pub(crate) route_cache: RouteCache,
    /// Message heads are cut from it.
    arena: BytesMut,
}

impl ConnectionOutputs {
    pub(crate) fn new(id: ConnectionId, seed: Seed) -> Self {
        Self {
            id,
            output: SendBuffer::new(),
            commands: Vec::new(),
            random: Random::new(seed),
            traffic: Traffic::default(),
            exchange_flow: ExchangeFlow::default(),
            publishers: 0,
            channels_changed: false,
            route_cache: RouteCache::default(),
            arena: BytesMut::new(),
        }
    }

    /// Where the next message head is written. Allocates with the first one, since most
    /// connections never publish; `BytesMut` remembers the size when it has to allocate again.
    pub(crate) fn arena(&mut self) -> &mut BytesMut {
        if self.arena.capacity() == 0 {
            self.arena = BytesMut::with_capacity(HEAD_ARENA_SIZE);
        }
        &mut self.arena
    }
}
