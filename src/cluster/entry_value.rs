//! Entries of the log, votes and what says how far the log is applied, as bytes. The store seals them.
//!
//! ```text
//! entry:      layout:u8 kind:u8 term:u64 index:u64 rest      kind 0: no rest; 1: a commit; 2: membership
//! vote:       layout:u8 term:u64 node:u64 committed:u8
//! log id:     term:u64 index:u64
//! applied:    layout:u8 log_id has_membership_id:u8 [log_id] membership
//! membership: configs:u32 (nodes:u32 node:u64*)* members:u32 (node:u64 size:u32 address)*
//! ```
//! All integers big endian.

use crate::raft_types::{
    Entry, LeaderId, LogId, Membership, Proposal, SnapshotMeta, StoredMembership, Vote,
};
use crate::settings::{Member, NodeId};
use bytes::{Buf, BufMut, Bytes};
use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The layout that this version writes, and the only one so far.
const LAYOUT: u8 = 1;

const BLANK: u8 = 0;
const COMMIT: u8 = 1;
const MEMBERSHIP: u8 = 2;

pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    let mut bytes = vec![LAYOUT];
    match &entry.payload {
        EntryPayload::Blank => {
            bytes.put_u8(BLANK);
            put_log_id(&mut bytes, entry.log_id);
        }
        EntryPayload::Normal(Proposal(commit)) => {
            bytes.reserve_exact(1 + 2 * 8 + commit.len());
            bytes.put_u8(COMMIT);
            put_log_id(&mut bytes, entry.log_id);
            bytes.put_slice(commit);
        }
        EntryPayload::Membership(membership) => {
            bytes.put_u8(MEMBERSHIP);
            put_log_id(&mut bytes, entry.log_id);
            put_membership(&mut bytes, membership);
        }
    }
    bytes.into()
}

/// # Errors
/// When the bytes are no entry that is known here.
pub(crate) fn decode_entry(mut bytes: Bytes) -> io::Result<Entry> {
    check_layout(&mut bytes, "an entry of the log")?;
    let entry = entry(&mut bytes).filter(|_| bytes.is_empty());
    entry.ok_or_else(|| unknown("an entry of the log"))
}

fn entry(bytes: &mut Bytes) -> Option<Entry> {
    let kind = bytes.try_get_u8().ok()?;
    let log_id = log_id(bytes)?;
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMIT => EntryPayload::Normal(Proposal(std::mem::take(bytes))),
        MEMBERSHIP => EntryPayload::Membership(membership(bytes)?),
        _ => return None,
    };
    Some(Entry { log_id, payload })
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut bytes = vec![LAYOUT];
    bytes.put_u64(vote.leader_id.term);
    bytes.put_u64(vote.leader_id.voted_for);
    bytes.put_u8(vote.committed.into());
    bytes.into()
}

/// # Errors
/// When the bytes are no vote that is known here.
pub(crate) fn decode_vote(mut bytes: Bytes) -> io::Result<Vote> {
    check_layout(&mut bytes, "the vote")?;
    let mut vote = || {
        let (term, node) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        let committed = bytes.try_get_u8().ok()? == 1;
        Some(Vote { leader_id: LeaderId::new(term, node), committed })
    };
    vote().ok_or_else(|| unknown("the vote"))
}

pub(crate) fn encode_log_id(log_id: LogId) -> Bytes {
    let mut bytes = vec![LAYOUT];
    put_log_id(&mut bytes, log_id);
    bytes.into()
}

/// # Errors
/// When the bytes name no place in the log.
pub(crate) fn decode_log_id(mut bytes: Bytes) -> io::Result<LogId> {
    check_layout(&mut bytes, "a place in the log")?;
    log_id(&mut bytes).ok_or_else(|| unknown("a place in the log"))
}

/// How far the log is applied, and the members as they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) log_id: LogId,
    pub(crate) membership: StoredMembership,
}

impl From<Applied> for SnapshotMeta {
    fn from(Applied { log_id, membership }: Applied) -> Self {
        Self { last_log_id: Some(log_id), last_membership: membership }
    }
}

impl Applied {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = vec![LAYOUT];
        put_log_id(&mut bytes, self.log_id);
        let at = self.membership.log_id();
        bytes.put_u8(at.is_some().into());
        at.iter().for_each(|at| put_log_id(&mut bytes, *at));
        put_membership(&mut bytes, self.membership.membership());
        bytes.into()
    }

    /// # Errors
    /// When the bytes are not laid out as is known here.
    pub(crate) fn decode(mut bytes: Bytes) -> io::Result<Self> {
        let what = "how far the log is applied";
        check_layout(&mut bytes, what)?;
        let mut applied = || {
            let applied = log_id(&mut bytes)?;
            let at = match bytes.try_get_u8().ok()? {
                0 => None,
                _ => Some(log_id(&mut bytes)?),
            };
            let membership = StoredMembership::new(at, membership(&mut bytes)?);
            Some(Self { log_id: applied, membership })
        };
        applied().ok_or_else(|| unknown(what))
    }
}

fn put_log_id(bytes: &mut Vec<u8>, log_id: LogId) {
    bytes.put_u64(log_id.leader_id.term);
    bytes.put_u64(log_id.index);
}

fn log_id(bytes: &mut Bytes) -> Option<LogId> {
    let term = bytes.try_get_u64().ok()?;
    Some(LogId::new_term_index(term, bytes.try_get_u64().ok()?))
}

fn put_membership(bytes: &mut Vec<u8>, membership: &Membership) {
    let configs = membership.get_joint_config();
    bytes.put_u32(configs.len() as u32);
    for config in configs {
        bytes.put_u32(config.len() as u32);
        config.iter().for_each(|node| bytes.put_u64(*node));
    }
    bytes.put_u32(membership.nodes().count() as u32);
    for (node, member) in membership.nodes() {
        bytes.put_u64(*node);
        bytes.put_u32(member.address.len() as u32);
        bytes.put_slice(member.address.as_bytes());
    }
}

fn membership(bytes: &mut Bytes) -> Option<Membership> {
    let mut configs = Vec::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        let mut config = BTreeSet::new();
        for _ in 0..bytes.try_get_u32().ok()? {
            config.insert(bytes.try_get_u64().ok()?);
        }
        configs.push(config);
    }
    let mut members: BTreeMap<NodeId, Member> = BTreeMap::new();
    for _ in 0..bytes.try_get_u32().ok()? {
        let node = bytes.try_get_u64().ok()?;
        let size = bytes.try_get_u32().ok()? as usize;
        let address = (size <= bytes.len()).then(|| bytes.split_to(size))?;
        let address = String::from_utf8(address.into()).ok()?;
        members.insert(node, Member { address });
    }
    if configs.is_empty() && members.is_empty() {
        return Some(Membership::default());
    }
    Membership::new(configs, members).ok()
}

fn check_layout(bytes: &mut Bytes, what: &str) -> io::Result<()> {
    match bytes.try_get_u8() {
        Ok(LAYOUT) => Ok(()),
        Ok(found) => {
            let text = format!(
                "{what} has layout {found}, this version knows {LAYOUT}: run the newest version on all nodes"
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        Err(_) => Err(unknown(what)),
    }
}

fn unknown(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not laid out as it should be"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_log_id() -> impl Strategy<Value = LogId> {
        any::<(u64, u64)>().prop_map(|(term, index)| LogId::new_term_index(term, index))
    }

    fn any_membership() -> impl Strategy<Value = Membership> {
        let voters = proptest::collection::btree_set(0_u64..9, 1..4);
        let learners = proptest::collection::btree_map(0_u64..20, "[a-zä.:0-9]{0,12}", 0..4);
        (proptest::collection::vec(voters, 1..3), learners).prop_map(|(configs, learners)| {
            let mut members: BTreeMap<NodeId, Member> =
                learners.into_iter().map(|(node, address)| (node, Member { address })).collect();
            for node in configs.iter().flatten() {
                members.entry(*node).or_default();
            }
            Membership::new(configs, members).unwrap()
        })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let payload = prop_oneof![
            Just(EntryPayload::Blank),
            any::<Vec<u8>>().prop_map(|bytes| EntryPayload::Normal(Proposal(bytes.into()))),
            any_membership().prop_map(EntryPayload::Membership),
        ];
        (any_log_id(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
    }

    proptest! {
        #[test]
        fn entries_votes_and_what_is_applied_come_back(
            entry in any_entry(),
            (term, node, committed) in any::<(u64, u64, bool)>(),
            at in proptest::option::of(any_log_id()),
            membership in prop_oneof![Just(Membership::default()), any_membership()],
        ) {
            let back = decode_entry(encode_entry(&entry)).unwrap();
            prop_assert_eq!((back.log_id, back.payload), (entry.log_id, entry.payload));
            let vote = Vote { leader_id: LeaderId::new(term, node), committed };
            prop_assert_eq!(decode_vote(encode_vote(&vote)).unwrap(), vote);
            let log_id = entry.log_id;
            prop_assert_eq!(decode_log_id(encode_log_id(log_id)).unwrap(), log_id);
            let membership = StoredMembership::new(at, membership);
            let applied = Applied { log_id, membership };
            prop_assert_eq!(Applied::decode(applied.encode()).unwrap(), applied);
        }

        #[test]
        fn no_bytes_make_decoding_panic(mut bytes: Vec<u8>, kind in 0_u8..4) {
            bytes.splice(0..0, [LAYOUT, kind]);
            let bytes = Bytes::from(bytes);
            let _ = (decode_entry(bytes.clone()).is_ok(), decode_vote(bytes.clone()).is_ok());
            let _ = (Applied::decode(bytes.clone()).is_ok(), decode_log_id(bytes).is_ok());
        }
    }

    #[test]
    fn what_another_version_wrote_is_named() {
        let mut bytes = encode_vote(&Vote::new(1, 2)).to_vec();
        bytes[0] = 9;
        let error = decode_vote(bytes.into()).unwrap_err().to_string();
        assert!(error.contains("layout 9"), "{error}");
    }
}
