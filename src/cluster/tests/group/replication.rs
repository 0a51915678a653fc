//! What a shard and its clients rely on.

use crate::cluster::{Cluster, member, steady};
use crate::serving::{Clients, Serving, numbers};
use forebay_cluster::{AppendError, GroupError, GroupSettings};
use forebay_engine::model::Epoch;

#[test]
fn what_is_confirmed_is_in_every_store_and_they_are_equal() {
    let cluster = Cluster::started(3, steady());
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = serving.declare(&cluster).unwrap();
    for round in 0..10 {
        serving.publish(&cluster, &mut clients, round * 10..round * 10 + 10, 300).unwrap();
        serving.take(&cluster, &mut clients).unwrap();
    }
    // A body that is a value of its own.
    serving.publish(&cluster, &mut clients, [100], 200_000).unwrap();
    assert_eq!(clients.confirmed, (0..=100).collect());
    assert_eq!(clients.deliveries, (0..10).collect::<Vec<_>>());
    let (_, pages) = cluster.same_content(&[queue]);
    let there: Vec<u64> = numbers(&pages).into_iter().filter(|number| *number >= 10).collect();
    assert_eq!(there, (10..=100).collect::<Vec<_>>());
}

#[test]
fn a_new_leader_has_what_the_dead_one_confirmed_and_the_dead_one_follows_when_it_is_back() {
    let mut cluster = Cluster::started(3, steady());
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = serving.declare(&cluster).unwrap();
    serving.publish(&cluster, &mut clients, 0..50, 100).unwrap();
    let (dead, epoch) = (serving.node, serving.epoch);
    cluster.kill(dead);
    let mut serving = Serving::anywhere(&cluster);
    assert_ne!(serving.node, dead);
    assert!(serving.epoch > epoch);
    assert_eq!(serving.queue(), queue, "the queue is in the store of the new leader");
    serving.publish(&cluster, &mut clients, 50..80, 100).unwrap();
    serving.take(&cluster, &mut clients).unwrap();
    assert_eq!(clients.deliveries, [0], "the messages of the first leader, in their order");
    cluster.start(dead);
    let (_, pages) = cluster.same_content(&[queue]);
    clients.check(&numbers(&pages), "after the return");
    assert_eq!(clients.confirmed.len(), 80);
}

#[test]
fn a_leader_without_a_majority_confirms_nothing_and_its_epoch_is_over() {
    let cluster = Cluster::started(3, steady());
    let mut old = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = old.declare(&cluster).unwrap();
    old.publish(&cluster, &mut clients, 0..10, 100).unwrap();

    cluster.links.isolate(old.node, cluster.all());
    old.begin_publish(&cluster, [666], 100);
    let commit = old.poll_commit().unwrap();
    let appended = cluster.block_on(old.node, |group| async move { group.append(&commit).await });
    let others: Vec<_> = cluster.all().into_iter().filter(|node| *node != old.node).collect();
    let mut new = Serving::among(&cluster, &others);
    new.publish(&cluster, &mut clients, 10..20, 100).unwrap();

    cluster.links.heal();
    let outcome = match appended {
        Ok(mut appended) => {
            cluster.block_on(old.node, |_| async move { appended.committed().await })
        }
        Err(error) => Err(error),
    };
    let is_lost = matches!(outcome, Err(AppendError::Unknown | AppendError::EpochOver { .. }));
    assert!(is_lost, "{outcome:?}");
    cluster.until("the old leader knows the new one", || {
        cluster.status(old.node).leader == Some(new.node)
    });
    // What the old shard decided since is of no use to anybody.
    old.begin_publish(&cluster, [667], 100);
    let late = old.poll_commit().unwrap();
    let append = |group: forebay_cluster::Group, late| async move {
        group.append(&late).await?.committed().await
    };
    let outcome = cluster.block_on(old.node, |group| append(group, late.clone()));
    assert!(matches!(outcome, Err(AppendError::EpochOver { .. })), "{outcome:?}");
    // Nor on the node that leads now: the epoch is what counts.
    let outcome = cluster.block_on(new.node, |group| append(group, late));
    assert!(matches!(outcome, Err(AppendError::EpochOver { .. })), "{outcome:?}");
    let (_, pages) = cluster.same_content(&[queue]);
    assert_eq!(numbers(&pages), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_node_that_does_not_lead_says_who_does_and_makes_no_shard() {
    let cluster = Cluster::started(3, steady());
    let leader = Serving::anywhere(&cluster).node;
    let follower = cluster.all().into_iter().find(|node| *node != leader).unwrap();
    let mut progress = cluster.group(follower).progress();
    cluster.block_on(follower, |_| async move {
        while progress.status().leader != Some(leader) {
            assert!(progress.changed().await, "the group has ended");
        }
    });
    let refused = cluster.block_on(follower, |group| async move { group.lead().await });
    assert!(matches!(refused, Err(GroupError::NotLeader { leader: Some(node) }) if node == leader));
    assert_eq!(cluster.group(follower).leading_epoch(), None);
}

#[test]
fn the_shard_of_an_epoch_is_made_once() {
    let cluster = Cluster::started(3, steady());
    let serving = Serving::anywhere(&cluster);
    let again = cluster.block_on(serving.node, |group| async move { group.lead().await });
    let is_refused =
        matches!(again, Err(GroupError::AlreadyLed { epoch }) if epoch == serving.epoch);
    assert!(is_refused, "{again:?}");
}

#[test]
fn all_nodes_die_at_once_and_have_what_was_confirmed() {
    let mut cluster = Cluster::started(3, steady());
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = serving.declare(&cluster).unwrap();
    serving.publish(&cluster, &mut clients, 0..100, 500).unwrap();
    for node in cluster.all() {
        cluster.kill(node);
    }
    for node in cluster.all() {
        cluster.start(node);
    }
    let mut serving = Serving::anywhere(&cluster);
    serving.publish(&cluster, &mut clients, 100..110, 500).unwrap();
    let (_, pages) = cluster.same_content(&[queue]);
    assert_eq!(numbers(&pages), (0..110).collect::<Vec<_>>());
}

#[test]
fn a_log_is_cut_and_a_node_that_lags_behind_the_cut_gets_a_snapshot_in_chunks() {
    let settings = GroupSettings { entries_until_cut: 10, entries_kept: 2, ..steady() };
    let mut cluster = Cluster::started(3, settings);
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    let queue = serving.declare(&cluster).unwrap();
    serving.publish(&cluster, &mut clients, 0..10, 100).unwrap();
    cluster.settle();
    let lagging = cluster.all().into_iter().find(|node| *node != serving.node).unwrap();
    let had = cluster.status(lagging).last_index;
    cluster.kill(lagging);
    for number in 10..70 {
        let size = if number % 10 == 0 { 900_000 } else { 100 };
        serving.publish(&cluster, &mut clients, [number], size).unwrap();
    }
    cluster.until("the log is cut behind what the node has", || {
        cluster.status(serving.node).cut_index > had
    });
    // Chunks and answers that get lost are sent again.
    cluster.links.lose(20, 42);
    let chunks = cluster.links.chunks();
    cluster.start(lagging);
    cluster.until("the node has caught up", || {
        cluster.status(lagging).applied_index > had && cluster.links.chunks() > chunks + 3
    });
    cluster.links.heal();
    let (_, pages) = cluster.same_content(&[queue]);
    assert_eq!(numbers(&pages), (0..70).collect::<Vec<_>>());
    // It has its own log from there on, and its vote.
    cluster.kill(lagging);
    cluster.start(lagging);
    serving.publish(&cluster, &mut clients, 70..80, 100).unwrap();
    let (_, pages) = cluster.same_content(&[queue]);
    assert_eq!(numbers(&pages), (0..80).collect::<Vec<_>>());
}

#[test]
fn one_node_is_a_group_too_of_which_no_other_can_be_made_and_its_directory_is_whole() {
    let mut cluster = Cluster::started(1, steady());
    let mut serving = Serving::anywhere(&cluster);
    let mut clients = Clients::default();
    serving.declare(&cluster).unwrap();
    serving.publish(&cluster, &mut clients, 0..5, 100).unwrap();
    assert!(serving.epoch > Epoch(0));
    assert_eq!(clients.confirmed.len(), 5);
    let again = [(1, member(1))].into();
    let refused = cluster.block_on(1, |group| async move { group.initialize(again).await });
    assert!(matches!(refused, Err(GroupError::Members(_))), "{refused:?}");
    cluster.kill(1);
    assert_eq!(cluster.damages(1), []);
}
