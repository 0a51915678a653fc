//! Nodes join and leave while messages go on.

use crate::cluster::{Cluster, member, steady};
use crate::links::{Links, LinksFrom};
use crate::serving::{Clients, Serving, numbers};
use forebay_cluster::{Group, GroupError, GroupSettings};
use forebay_engine::model::{CommitId, Epoch};
use forebay_engine::operation::{Commit, Durability, Operation};
use forebay_store::{FjallStore, ReplicaStore, Store, StoreMemory};
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn a_new_node_takes_the_place_of_a_lost_one_and_has_everything() {
    let settings = GroupSettings { entries_until_cut: 10, entries_kept: 2, ..steady() };
    let mut cluster = Cluster::started(3, settings);
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = serving.declare(&cluster).unwrap();
    for number in 0..40 {
        serving.publish(&cluster, &mut clients, [number], 1_000).unwrap();
    }
    let leader = serving.node;
    let lost = cluster.all().into_iter().find(|node| *node != leader).unwrap();
    cluster.kill(lost);
    cluster.add(4);
    cluster.block_on(leader, |group| async move { group.add_learner(4, member(4)).await }).unwrap();
    serving.publish(&cluster, &mut clients, [40], 1_000).unwrap();
    let voters: BTreeSet<_> = [4, leader]
        .into_iter()
        .chain(cluster.all().into_iter().filter(|node| ![4, lost].contains(node)))
        .collect();
    let new = voters.clone();
    cluster.block_on(leader, |group| async move { group.set_voters(new).await }).unwrap();
    serving.publish(&cluster, &mut clients, [41], 1_000).unwrap();
    let (_, pages) = cluster.same_content(&[queue]);
    assert_eq!(numbers(&pages), (0..42).collect::<Vec<_>>());
    cluster.until("all know who votes", || {
        voters.iter().all(|node| cluster.status(*node).voters == voters)
    });
}

#[test]
fn members_are_changed_by_the_leader_and_only_by_nodes_that_follow() {
    let cluster = Cluster::started(3, steady());
    let leader = Serving::anywhere(&cluster).node;
    let voters: BTreeSet<_> = [1, 2, 9].into();
    let refused = cluster.block_on(leader, |group| async move { group.set_voters(voters).await });
    assert!(matches!(refused, Err(GroupError::Members(_))), "{refused:?}");
    let follower = cluster.all().into_iter().find(|node| *node != leader).unwrap();
    let refused =
        cluster.block_on(follower, |group| async move { group.add_learner(9, member(9)).await });
    assert!(matches!(refused, Err(GroupError::NotLeader { .. })), "{refused:?}");
}

/// The other members would never hear of what is not in the log.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_single_machine_stored_is_not_made_a_group_of() {
    let directory = tempfile::tempdir().unwrap();
    let single = FjallStore::open(directory.path()).unwrap();
    let record = Operation::PutRecord { key: "key".into(), value: "value".into() };
    let (id, epoch, durability) = (CommitId(1), Epoch(0), Durability::Synced);
    single.apply(&[Commit { id, epoch, operations: vec![record], durability }]).unwrap();
    drop(single);
    let store = ReplicaStore::open(directory.path(), StoreMemory::default()).unwrap();
    let peers = LinksFrom { node: 1, links: Links::default() };
    let settings = GroupSettings::default();
    let group = Group::start(1, Arc::new(store), peers, &settings).await.unwrap();
    let refused = group.initialize([(1, member(1))].into()).await;
    assert!(matches!(refused, Err(GroupError::HasData)), "{refused:?}");
    group.stop().await;
    assert_eq!(group.store().recover().unwrap().records.len(), 1);
}
