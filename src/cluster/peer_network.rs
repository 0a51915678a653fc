//! openraft's calls to other nodes, as requests of this crate.

use crate::limits::{CHUNK_RETRY_INTERVAL, CHUNK_TRIES_MAX};
use crate::peers::{PeerError, PeerRequest, PeerResponse, Peers};
use crate::raft_types::{Types, Vote};
use crate::settings::{Member, NodeId};
use crate::state_machine::SnapshotData;
use forebay_store::GroupSnapshot;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::pin::pin;
use tokio::time::{sleep, timeout};

/// Makes the connections to other nodes.
#[derive(Debug)]
pub(crate) struct PeerNetwork<P> {
    pub(crate) peers: P,
}

/// The way to one node.
#[derive(Debug)]
pub(crate) struct Peer<P> {
    peers: P,
    node: NodeId,
}

impl<P: Peers> RaftNetworkFactory<Types> for PeerNetwork<P> {
    type Network = Peer<P>;

    async fn new_client(&mut self, node: NodeId, _: &Member) -> Peer<P> {
        Peer { peers: self.peers.clone(), node }
    }
}

impl<P: Peers> Peer<P> {
    async fn ask<T>(
        &self,
        request: PeerRequest,
        option: &RPCOption,
        answer: impl FnOnce(PeerResponse) -> Option<T>,
    ) -> Result<T, RPCError<Types>> {
        let asked = timeout(option.hard_ttl(), self.peers.ask(self.node, request)).await;
        let asked = asked.unwrap_or_else(|_| Err(self.error("it took too long")));
        let response = asked.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        let what = format!("{response:?} is no answer to what it was asked");
        answer(response).ok_or_else(|| RPCError::Network(NetworkError::new(&self.error(what))))
    }

    fn error(&self, what: impl Into<String>) -> PeerError {
        PeerError { node: self.node, what: what.into() }
    }

    /// Sends all of a snapshot. Tells the vote of the node that has it in place.
    async fn send_snapshot(
        &self,
        vote: Vote,
        mut held: GroupSnapshot,
    ) -> Result<SnapshotResponse<Types>, PeerError> {
        // Only to be told from others that this node and its predecessors send to that node.
        let snapshot = RandomState::new().hash_one(self.node);
        let applied = held.applied().clone();
        self.ask_again(|| PeerRequest::BeginSnapshot { snapshot, applied: applied.clone() })
            .await?;
        let mut chunks = 0;
        loop {
            let read = tokio::task::spawn_blocking(move || (held.next_chunk(), held)).await;
            let (chunk, back) = read.map_err(|error| self.error(error.to_string()))?;
            held = back;
            let chunk = chunk.map_err(|error| self.error(format!("this node failed: {error}")))?;
            let Some(chunk) = chunk else { break };
            chunks += 1;
            let chunk = || PeerRequest::SnapshotChunk { snapshot, chunk: chunk.clone() };
            match self.ask_again(chunk).await? {
                PeerResponse::SendFrom(next) if next == chunks => {}
                // It was restarted meanwhile.
                other => return Err(self.error(format!("chunk {chunks} follows, but {other:?}"))),
            }
        }
        let end = PeerRequest::EndSnapshot { snapshot, vote, chunks };
        match self.peers.ask(self.node, end).await? {
            PeerResponse::Snapshot(response) => Ok(response),
            other => Err(self.error(format!("{other:?} is no answer to the end of a snapshot"))),
        }
    }

    /// Asks until it is answered: what is taken twice does no harm.
    async fn ask_again(
        &self,
        request: impl Fn() -> PeerRequest,
    ) -> Result<PeerResponse, PeerError> {
        let mut tries = 1;
        loop {
            match self.peers.ask(self.node, request()).await {
                Err(_) if tries < CHUNK_TRIES_MAX => tries += 1,
                asked => return asked,
            }
            sleep(CHUNK_RETRY_INTERVAL).await;
        }
    }
}

impl<P: Peers> RaftNetworkV2<Types> for Peer<P> {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let answer = |response| match response {
            PeerResponse::Append(response) => Some(response),
            _ => None,
        };
        self.ask(PeerRequest::Append(request), &option, answer).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(PeerRequest::Vote(request), &option, vote_of).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(PeerRequest::PreVote(request), &option, vote_of).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let SnapshotData::Held(held) = snapshot.snapshot else {
            let error = io::Error::other("a snapshot of another node can't be sent on");
            return Err(StreamingError::Network(NetworkError::new(&error)));
        };
        tracing::info!(node = self.node, at = %crate::peers::place(snapshot.meta.last_log_id), "sends a snapshot");
        let mut cancel = pin!(cancel);
        let sent = tokio::select! {
            closed = &mut cancel => return Err(closed.into()),
            sent = timeout(option.hard_ttl(), self.send_snapshot(vote, held)) => sent,
        };
        let sent = sent.unwrap_or_else(|_| Err(self.error("the snapshot took too long")));
        sent.map_err(|error| {
            tracing::warn!(%error, "a snapshot was not sent");
            StreamingError::Unreachable(Unreachable::new(&error))
        })
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let answer = |response| match response {
            PeerResponse::TransferLeader(response) => Some(response),
            _ => None,
        };
        self.ask(PeerRequest::TransferLeader(request), &option, answer).await
    }
}

fn vote_of(response: PeerResponse) -> Option<VoteResponse<Types>> {
    match response {
        PeerResponse::Vote(response) => Some(response),
        _ => None,
    }
}
