//! The end of a run: everything comes to rest, then every queue is emptied by a last client, and
//! what comes is held against what must be there.

use crate::channel::Mode;
use crate::client::Consumer;
use crate::dice::one_in;
use crate::plan::Feature;
use crate::queues::{LEASE_MS_MAX, dead_letter_queue};
use crate::replay;
use crate::world::World;
use forebay_engine::model::QueueId;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use std::collections::{BTreeMap, BTreeSet};

/// Until then nobody has a lease any more, when each consumer loses a message in one.
const LEASES_PASSED: u64 = 60;

/// What a queue must hold, and what it may.
struct Expected {
    name: String,
    /// In this order.
    ready: Vec<u64>,
    /// Anywhere among them: nobody knows when they came in.
    others: BTreeSet<u64>,
    unclear: BTreeSet<u64>,
}

impl World {
    /// Ends a run.
    ///
    /// # Panics
    /// When something is missing, or there too often, or nobody is told of something.
    pub(crate) fn finish(&mut self) {
        self.settle();
        self.check_leases();
        self.check_answers();
        self.check_progress();
        if self.plan.has(Feature::Crashes) && one_in(&mut self.random, 2) {
            self.crash();
        } else {
            let now = self.now;
            for socket in self.sockets.values_mut().filter(|socket| !socket.is_cut) {
                socket.cut(&mut self.random, now, &self.life.snapshot);
            }
        }
        self.settle();
        let (expected, found) = loop {
            self.let_come_due();
            let expected = self.expected();
            if let Some(found) = self.drain() {
                break (expected, found);
            }
        };
        self.check_exact(&expected, &found);
        self.check_confirmed();
        let log = self.life.take_log();
        self.log.extend(log);
        replay::check(&self.log, &self.memory);
    }

    /// A consumer that says nothing any more loses what it holds, one message after the other.
    fn check_leases(&mut self) {
        let hasty = |world: &Self| -> Vec<(QueueId, usize)> {
            let queues = world.history.state.queues.iter();
            let hasty = queues.filter(|(_, shadow)| shadow.profile.is_hasty);
            hasty.map(|(id, shadow)| (*id, shadow.held_for_long())).collect()
        };
        if hasty(self).is_empty() {
            return;
        }
        for _ in 0..LEASES_PASSED {
            self.pass(LEASE_MS_MAX);
            self.settle();
        }
        let most: BTreeMap<QueueId, usize> = hasty(self).into_iter().collect();
        for report in self.report() {
            let Some(most) = most.get(&report.record.id) else { continue };
            let unacked = report.statistics.unacked;
            let name = &report.record.name;
            assert!(unacked <= *most as u64, "{unacked} of {name} are held, {most} may be");
        }
        self.life.take_fetches(self.now);
    }

    /// Nobody waits for an answer any more; each publish was confirmed or refused.
    fn check_answers(&self) {
        for (id, socket) in self.sockets.iter().filter(|(_, socket)| !socket.is_cut) {
            for (number, channel) in &socket.client.channels {
                let place = format!("connection {id}, channel {number}");
                assert_eq!(channel.asked, [], "never answered: {place}");
                let is_owed = channel.mode == Mode::Confirm && !channel.unconfirmed.is_empty();
                assert!(!is_owed, "never confirmed: {:?}, {place}", channel.unconfirmed);
            }
        }
    }

    /// Waits until every message is due, however often that begins anew.
    fn let_come_due(&mut self) {
        loop {
            let shadows = self.history.state.queues.values();
            let waits = shadows.map(|shadow| shadow.longest_wait(&self.history.clock));
            let Some(wait) = waits.max().filter(|wait| *wait > 0) else { return };
            self.pass(wait);
            self.settle();
        }
    }

    fn report(&mut self) -> Vec<QueueReport> {
        let mut report = self.life.shard.begin_report();
        loop {
            if let Some(statistics) = self.life.shard.advance_report(self.now, &mut report) {
                return statistics.queues;
            }
        }
    }

    /// Nobody with credit waits beside a message that is ready.
    fn check_progress(&mut self) {
        for report in self.report() {
            let profile = self.history.profile(report.record.name.as_str().unwrap());
            let is_stuck = report.statistics.has_credit && report.statistics.ready > 0;
            let is_exact = profile.is_some_and(|profile| profile.exact);
            let shadow = self.history.state.queues.get(&report.record.id);
            let now = self.history.clock.now();
            let may_go_on = shadow.is_some_and(|shadow| shadow.has_deliverable(now));
            assert!(
                !(is_exact && is_stuck && may_go_on),
                "a consumer of {} waits: {report:?}",
                report.record.name
            );
            assert_eq!(report.statistics.missing, 0, "{} misses messages", report.record.name);
        }
        self.life.take_fetches(self.now);
    }

    /// What exact queues hold.
    fn expected(&self) -> Vec<Expected> {
        let exact = self.history.state.queues.values().filter(|shadow| shadow.profile.exact);
        let expected = exact.map(|shadow| {
            let (ready, others) = shadow.ready();
            let (name, unclear) = (shadow.name.clone(), shadow.unclear.clone());
            Expected { name, ready, others, unclear }
        });
        expected.collect()
    }

    /// Takes out everything there is; nothing, when the store fails in between.
    fn drain(&mut self) -> Option<BTreeMap<String, Vec<u64>>> {
        let mut names: Vec<String> = Vec::new();
        let id = self.connect();
        loop {
            self.settle();
            let socket = self.sockets.get_mut(&id)?;
            let queues = self.life.shard.statistics().queues;
            let new: Vec<String> =
                queues.iter().map(|report| report.record.name.to_string()).collect();
            let new: Vec<String> = new.into_iter().filter(|name| !names.contains(name)).collect();
            if new.is_empty() {
                break;
            }
            socket.act(|client| {
                if client.channels.is_empty() {
                    client.open_channel(1);
                }
                for queue in &new {
                    client.consume(1, Consumer { queue, no_ack: true, ..Consumer::default() });
                }
            });
            names.extend(new);
        }
        for report in self.life.shard.statistics().queues {
            let QueueStatistics { ready, unacked, parked, delayed, .. } = report.statistics;
            let left = (ready, unacked, parked, delayed);
            assert_eq!(left, (0, 0, 0, 0), "left in {}", report.record.name);
            assert_eq!(report.statistics.missing, 0, "{} misses messages", report.record.name);
        }
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (queue, message) in &self.sockets[&id].client.channels[&1].received {
            found.entry(queue.clone()).or_default().push(*message);
        }
        Some(found)
    }

    fn check_exact(&self, expected: &[Expected], found: &BTreeMap<String, Vec<u64>>) {
        for Expected { name, ready, others, unclear } in expected {
            let found = found.get(name).into_iter().flatten().copied();
            let found = found.filter(|id| !unclear.contains(id));
            let (late, found): (Vec<u64>, Vec<u64>) = found.partition(|id| others.contains(id));
            assert_eq!(&found, ready, "what is in {name} in the end");
            let once: BTreeSet<u64> = late.iter().copied().collect();
            assert_eq!((late.len(), &once), (others.len(), others), "what came late into {name}");
        }
    }

    /// Each confirmed message is accounted for.
    fn check_confirmed(&self) {
        let kept = |published: &&crate::history::Published| published.kept && published.confirmed;
        for (id, published) in self.history.published.iter().filter(|(_, it)| kept(it)) {
            for target in &published.targets {
                let name = &self.history.names[target];
                let dead_letters = dead_letter_queue();
                let profile = self.history.profile(name).map_or(&dead_letters, |profile| profile);
                if profile.drops || !profile.durable {
                    continue;
                }
                let is_done = self.history.done.contains(&(name.clone(), *id));
                assert!(is_done, "message {id} of {name} was confirmed and is lost");
            }
        }
    }
}
