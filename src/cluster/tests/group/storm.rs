//! Publishes, takes, deaths, returns, cut links and losses, drawn from a seed.
//!
//! A seed says what is done, in which order; when the consensus sees it depends on timers and threads.
//! `FOREBAY_TEST_SEED` and `FOREBAY_TEST_ROUNDS` choose others.

use crate::cluster::Cluster;
use crate::serving::{Clients, Serving, numbers};
use forebay_cluster::{Group, GroupSettings, NodeId};
use std::time::Duration;

/// Messages that one round publishes at most, in one commit.
const PUBLISH_MAX: u64 = 20;
const STEPS: u64 = 60;
/// How long a client of the storm waits for a commit.
const PATIENCE: Duration = Duration::from_millis(700);
/// Looks for a leader, and leaders that can't serve, before the nodes are helped.
const LOOKS_MAX: u32 = 300;
const REFUSALS_MAX: u32 = 3;
/// Publishes at the end until one is answered.
const TRIES_MAX: u32 = 30;
const ROUNDS_DEFAULT: u64 = 2;
const SEED_DEFAULT: u64 = 20_261_130;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_dies_nothing_confirmed_is_lost() {
    let first = setting("FOREBAY_TEST_SEED", SEED_DEFAULT);
    for seed in first..first + setting("FOREBAY_TEST_ROUNDS", ROUNDS_DEFAULT) {
        println!("FOREBAY_TEST_SEED={seed} FOREBAY_TEST_ROUNDS=1");
        Storm::new(seed).run();
    }
}

struct Storm {
    cluster: Cluster,
    random: Random,
    clients: Clients,
    serving: Option<Serving>,
    next: u64,
    context: String,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let settings =
            GroupSettings { entries_until_cut: 20, entries_kept: 5, ..GroupSettings::default() };
        let cluster = Cluster::started(3, settings);
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let context = format!("FOREBAY_TEST_SEED={seed} FOREBAY_TEST_ROUNDS=1");
        let clients = Clients::default();
        Self { cluster, random, clients, serving: None, next: 0, context }
    }

    fn run(mut self) {
        let mut serving = Serving::anywhere(&self.cluster);
        let queue = serving.declare(&self.cluster).unwrap();
        self.serving = Some(serving);
        // From here on a client gives up.
        let patience = std::mem::replace(&mut self.cluster.patience, PATIENCE);
        for _ in 0..STEPS {
            match self.random.below(20) {
                0..=9 => self.publish(),
                10..=13 => self.take(),
                14 => self.kill(),
                15 => self.kill_while_publishing(),
                16 => self.cut(),
                17 => {
                    let seed = self.random.below(u64::MAX);
                    self.cluster.links.lose(self.random.below(30), seed);
                }
                18 => self.cluster.links.heal(),
                _ => self.return_all(),
            }
        }
        self.cluster.links.heal();
        self.return_all();
        self.cluster.patience = patience;
        let published = self.next + 1;
        // A leader of the end has everything that was confirmed, and all are like it.
        for _ in 0..TRIES_MAX {
            if self.serving.is_none() || self.next < published {
                self.publish();
            }
        }
        assert!(self.serving.is_some(), "no leader serves; {}", self.context);
        let (_, pages) = self.cluster.same_content(&[queue]);
        // Messages that need not be there any more stand in a page as long as a neighbour does.
        let mut there = numbers(&pages);
        there.retain(|number| !self.clients.taken.contains(number));
        self.clients.check(&there, &self.context);
        let confirmed = self.clients.confirmed.len();
        println!(
            "{} published, {confirmed} of them confirmed, {} taken",
            self.next,
            self.clients.taken.len()
        );
        assert!(confirmed > 20, "too little was done; {}", self.context);
        for node in self.cluster.all() {
            self.cluster.kill(node);
            assert_eq!(self.cluster.damages(node), [], "node {node}; {}", self.context);
        }
    }

    /// The shard of the node that leads. `None`: nobody does; the nodes are helped up then.
    fn serving(&mut self) -> Option<Serving> {
        let running = self.cluster.running();
        let is_leading = |serving: &Serving| {
            running.contains(&serving.node)
                && self.cluster.group(serving.node).leading_epoch() == Some(serving.epoch)
        };
        if let Some(serving) = self.serving.take().filter(is_leading) {
            return Some(serving);
        }
        let mut refusals = 0;
        for _ in 0..LOOKS_MAX {
            if let Some(leader) = self.cluster.leading(&running) {
                let serving = Serving::begin(&self.cluster, leader);
                if serving.is_some() {
                    return serving;
                }
                // It believes that it leads, and reaches no majority.
                refusals += 1;
                if refusals == REFUSALS_MAX {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.cluster.links.heal();
        self.return_all();
        None
    }

    fn publish(&mut self) {
        let Some(mut serving) = self.serving() else { return };
        let count = 1 + self.random.below(PUBLISH_MAX);
        let size = [10, 1_000, 100_000][self.random.below(3) as usize];
        let numbers = self.next..self.next + count;
        self.next += count;
        let published = serving.publish(&self.cluster, &mut self.clients, numbers, size);
        self.serving = serving.unless_lost(&published);
    }

    fn take(&mut self) {
        let Some(mut serving) = self.serving() else { return };
        let taken = serving.take(&self.cluster, &mut self.clients);
        self.serving = serving.unless_lost(&taken);
    }

    fn kill(&mut self) {
        let node = self.some_node();
        self.cluster.kill(node);
    }

    /// The leader dies with a commit on its way: whether it is kept, nobody knows.
    fn kill_while_publishing(&mut self) {
        let Some(mut serving) = self.serving() else { return };
        serving.begin_publish(&self.cluster, self.next..self.next + 5, 100);
        self.next += 5;
        if let Some(commit) = serving.poll_commit() {
            let append = |group: Group| async move { group.append(&commit).await.map(drop) };
            drop(self.cluster.block_on(serving.node, append));
        }
        self.cluster.kill(serving.node);
    }

    fn some_node(&mut self) -> NodeId {
        1 + self.random.below(3)
    }

    fn cut(&mut self) {
        let (from, to) = (self.some_node(), self.some_node());
        self.cluster.links.cut(from, to);
        if self.random.below(2) == 0 {
            self.cluster.links.isolate(from, [1, 2, 3]);
        }
    }

    fn return_all(&mut self) {
        let running = self.cluster.running();
        for node in [1, 2, 3].into_iter().filter(|node| !running.contains(node)) {
            self.cluster.start(node);
        }
    }
}
