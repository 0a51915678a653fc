//! A watch for each queue, fed from the looks at all queues that rates are taken from.

use super::roles::Roles;
use crate::limits::{LAG_HISTORY_WRITE_INTERVAL, LAG_ROLES_INTERVAL};
use arc_swap::ArcSwap;
use forebay_engine::model::QueueId;
use forebay_engine::shard::{QueueReport, QueueStatistics};
use forebay_engine::topology::Topology;
use forebay_lag::{Assessment, QueueWatch, Role, Sample, Settings};
use forebay_store::{LagDay, LagHistories};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What holds for queues that say nothing themselves, by argument or policy.
pub type LagDefaults = Settings;

/// What the last look said of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueLag {
    pub(crate) role: Role,
    pub(crate) assessment: Assessment,
    /// When it was.
    pub(crate) at: u64,
    /// Days of history that it rests on.
    pub(crate) days: usize,
}

/// The watches of all queues.
pub struct LagWatches {
    state: Mutex<State>,
    shown: ArcSwap<HashMap<QueueId, QueueLag>>,
    defaults: ArcSwap<LagDefaults>,
    histories: LagHistories,
}

#[derive(Default)]
struct State {
    queues: HashMap<QueueId, Watched>,
    /// The histories were read.
    is_loaded: bool,
    roles: Roles,
    roles_at: Option<Instant>,
    written_at: Option<Instant>,
    /// The last write failed, which was said.
    cannot_write: bool,
}

#[derive(Default)]
struct Watched {
    watch: QueueWatch,
    /// Messages that had come, and were settled, by the last look.
    counted: Option<(u64, u64)>,
    last: Sample,
    settings: Settings,
    is_durable: bool,
}

fn counted(queue: &QueueStatistics) -> (u64, u64) {
    (queue.published, queue.acked + queue.delivered_no_ack)
}

impl LagWatches {
    /// Watches that find their histories in this data directory.
    #[must_use]
    pub fn new(data_dir: &Path, defaults: LagDefaults) -> Self {
        Self {
            state: Mutex::default(),
            shown: ArcSwap::default(),
            defaults: ArcSwap::from_pointee(defaults),
            histories: LagHistories::of(data_dir),
        }
    }

    /// Changes what holds for queues that say nothing themselves.
    pub fn set_defaults(&self, defaults: LagDefaults) {
        self.defaults.store(Arc::new(defaults));
    }

    /// What the last look said, by queue.
    pub(crate) fn shown(&self) -> Arc<HashMap<QueueId, QueueLag>> {
        self.shown.load_full()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a look at all queues, in seconds since 1970; reads and writes files, too.
    pub(crate) fn look(&self, at: u64, queues: &[QueueReport], topology: &Topology) {
        let mut state = self.state();
        if !state.is_loaded {
            state.is_loaded = true;
            self.load(&mut state, topology);
        }
        if state.roles_at.is_none_or(|at| at.elapsed() >= LAG_ROLES_INTERVAL) {
            state.roles = Roles::of(topology);
            state.roles_at = Some(Instant::now());
        }
        let State { queues: watches, roles, .. } = &mut *state;
        let living: HashSet<QueueId> = queues.iter().map(|queue| queue.record.id).collect();
        watches.retain(|queue, _| living.contains(queue));
        let mut shown = HashMap::with_capacity(queues.len());
        let defaults = **self.defaults.load();
        for queue in queues {
            let watched = watches.entry(queue.record.id).or_default();
            shown.insert(queue.record.id, watched.look(at, queue, roles, &defaults));
        }
        self.shown.store(Arc::new(shown));
        if state.written_at.is_none_or(|at| at.elapsed() >= LAG_HISTORY_WRITE_INTERVAL) {
            self.write(&mut state);
        }
    }

    /// Writes what is not written yet.
    pub fn stop(&self) {
        let mut state = self.state();
        if state.is_loaded {
            self.write(&mut state);
        }
    }

    /// Calls the present lag of a queue normal; `None` when it was not looked at yet.
    pub(crate) fn accept_normal(&self, queue: QueueId) -> Option<()> {
        let mut state = self.state();
        let watched = state.queues.get_mut(&queue)?;
        watched.counted?;
        let (sample, settings) = (watched.last, watched.settings);
        watched.watch.accept_normal(&sample, &settings);
        self.write(&mut state);
        Some(())
    }

    fn load(&self, state: &mut State, topology: &Topology) {
        let files = match self.histories.read() {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(
                    "the lag histories can't be read, queues begin to learn anew: {error}"
                );
                return;
            }
        };
        for file in files {
            let mut damaged = file.damaged;
            for LagDay { queue, encoded } in file.days {
                if topology.queue_by_id(queue).is_none() {
                    continue;
                }
                let watched = state.queues.entry(queue).or_default();
                damaged +=
                    usize::from(watched.watch.history_mut().restore(file.day, &encoded).is_err());
            }
            if damaged > 0 {
                tracing::warn!(
                    "lag histories of day {}: {damaged} are damaged and left out",
                    file.day
                );
            }
        }
    }

    /// Writes the days that have changed.
    fn write(&self, state: &mut State) {
        state.written_at = Some(Instant::now());
        let durable = || state.queues.iter().filter(|(_, watched)| watched.is_durable);
        let mut changed = BTreeSet::new();
        for (_, watched) in durable() {
            changed.extend(watched.watch.history().changed());
        }
        for day in &changed {
            let days = durable().filter_map(|(queue, watched)| {
                let encoded = watched.watch.history().encoded(*day)?;
                Some(LagDay { queue: *queue, encoded })
            });
            if let Err(error) = self.histories.write(*day, days) {
                if !state.cannot_write {
                    tracing::warn!(
                        "the lag histories can't be written, what is learnt from now on goes with the process: {error}"
                    );
                }
                state.cannot_write = true;
                return;
            }
        }
        state.cannot_write = false;
        for watched in state.queues.values_mut() {
            watched.watch.history_mut().forget_changed();
        }
    }
}

impl Watched {
    fn look(
        &mut self,
        at: u64,
        queue: &QueueReport,
        roles: &Roles,
        defaults: &Settings,
    ) -> QueueLag {
        let statistics = &queue.statistics;
        let now = counted(statistics);
        let since = |before: fn(&(u64, u64)) -> u64| {
            self.counted.as_ref().map(|last| before(&now).saturating_sub(before(last)) as f64)
        };
        let lag = statistics.ready + statistics.unacked;
        let sample = Sample {
            at,
            lag: lag as f64,
            oldest_age_seconds: if lag == 0 {
                Some(0.0)
            } else {
                statistics.oldest_age.map(|age| age as f64 / 1000.0)
            },
            arrived: since(|(published, _)| *published),
            settled: since(|(_, settled)| *settled),
            consumers: Some(statistics.consumers as f64),
        };
        let said = &queue.record.settings;
        self.settings = Settings {
            line_factor: said
                .lag_line_percent
                .map_or(defaults.line_factor, |percent| percent as f64 / 100.0),
            learn_days: defaults.learn_days,
            age_max_seconds: said
                .age_max
                .map(|age| age as f64 / 1000.0)
                .or(defaults.age_max_seconds),
        };
        self.is_durable = queue.record.durable;
        let was_worked_on = self.watch.baseline().is_worked_on;
        let role = said.role.unwrap_or_else(|| roles.of_queue(queue, was_worked_on));
        let assessment = self.watch.observe(&sample, role, &self.settings);
        self.counted = Some(now);
        self.last = sample;
        QueueLag { role, assessment, at, days: self.watch.baseline().days }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_engine::model::{ConnectionId, QueueDeclaration};
    use forebay_lag::Symptom;
    use forebay_wire::{FieldTable, FieldValue, ShortStr};
    use tempfile::TempDir;

    const DAY: u64 = 86_400;
    const BEGIN: u64 = 20_000 * DAY;

    struct Shop {
        topology: Topology,
        data_dir: TempDir,
    }

    impl Shop {
        fn new() -> Self {
            let mut topology = Topology::new();
            topology.create_vhost(&vhost());
            Self { topology, data_dir: tempfile::tempdir().unwrap() }
        }

        fn declare(&mut self, name: &str, arguments: &[(&'static str, FieldValue)]) -> QueueId {
            let mut table = FieldTable::default();
            for (name, value) in arguments {
                table.insert(ShortStr::from_static(name), value.clone());
            }
            let name = ShortStr::try_from(name).unwrap().into();
            let declaration =
                QueueDeclaration { name, durable: true, arguments: table, ..Default::default() };
            self.topology.declare_queue(&vhost(), ConnectionId(1), &declaration).unwrap().id
        }

        fn watches(&self) -> LagWatches {
            LagWatches::new(self.data_dir.path(), LagDefaults::default())
        }

        fn look(
            &self,
            watches: &LagWatches,
            at: u64,
            queue: QueueId,
            statistics: QueueStatistics,
        ) -> QueueLag {
            let record = Arc::new(self.topology.queue_by_id(queue).unwrap().clone());
            let report = QueueReport { record, statistics, state: Default::default() };
            watches.look(at, &[report], &self.topology);
            watches.shown()[&queue]
        }

        /// Days of a queue that has 100 messages.
        fn live(
            &self,
            watches: &LagWatches,
            queue: QueueId,
            days: std::ops::Range<u64>,
        ) -> QueueLag {
            let mut last = QueueLag::default();
            for at in (BEGIN + days.start * DAY..BEGIN + days.end * DAY).step_by(300) {
                last = self.look(watches, at, queue, ready(100));
            }
            last
        }
    }

    fn vhost() -> ShortStr {
        ShortStr::from_static("/")
    }

    fn ready(ready: u64) -> QueueStatistics {
        QueueStatistics { ready, consumers: 1, ..Default::default() }
    }

    #[test]
    fn what_was_learnt_outlives_the_process_and_a_queue_that_is_gone_is_forgotten() {
        let mut shop = Shop::new();
        let queue = shop.declare("orders", &[]);
        let watches = shop.watches();
        assert_eq!(shop.live(&watches, queue, 0..9).assessment.line, Some(200.0));
        watches.stop();
        // Written by a process that was killed afterwards.
        let again = shop.watches();
        let now = shop.look(&again, BEGIN + 9 * DAY, queue, ready(300));
        assert_eq!(now.assessment.line, Some(200.0));
        assert!(now.assessment.has(Symptom::AboveLine));
        shop.topology.remove_queue(queue);
        let other = shop.declare("orders", &[]);
        let without = shop.watches();
        assert_eq!(shop.look(&without, BEGIN + 9 * DAY, other, ready(300)).assessment.line, None);
    }

    #[test]
    fn an_accepted_level_is_normal_at_once_and_after_a_kill() {
        let mut shop = Shop::new();
        let queue = shop.declare("orders", &[]);
        let watches = shop.watches();
        assert_eq!(watches.accept_normal(queue), None, "nobody has looked at it");
        shop.live(&watches, queue, 0..9);
        let at = BEGIN + 9 * DAY;
        assert!(shop.look(&watches, at, queue, ready(1000)).assessment.has(Symptom::AboveLine));
        watches.accept_normal(queue).unwrap();
        assert!(
            !shop.look(&watches, at + 5, queue, ready(1000)).assessment.has(Symptom::AboveLine)
        );
        let again = shop.watches();
        let now = shop.look(&again, at + 10, queue, ready(1000));
        assert!(now.assessment.line.is_some_and(|line| line > 1900.0), "{now:?}");
    }

    #[test]
    fn damaged_files_are_no_reason_not_to_go_on() {
        let mut shop = Shop::new();
        let queue = shop.declare("orders", &[]);
        let watches = shop.watches();
        shop.live(&watches, queue, 0..9);
        watches.stop();
        let spoilt = shop.data_dir.path().join(format!("lag/{}", 20_003));
        std::fs::write(spoilt, b"what is this?").unwrap();
        let again = shop.watches();
        assert_eq!(
            shop.look(&again, BEGIN + 9 * DAY, queue, ready(100)).assessment.line,
            Some(200.0)
        );
    }

    #[test]
    fn the_line_and_the_age_can_be_set() {
        let mut shop = Shop::new();
        let queue = shop.declare(
            "orders",
            &[
                ("x-lag-line-percent", FieldValue::I32(500)),
                ("x-max-age-slo", FieldValue::I32(60_000)),
            ],
        );
        let watches = shop.watches();
        assert_eq!(shop.live(&watches, queue, 0..9).assessment.line, Some(500.0));
        let old = QueueStatistics { oldest_age: Some(61_000), ..ready(100) };
        assert!(shop.look(&watches, BEGIN + 9 * DAY, queue, old).assessment.has(Symptom::TooOld));
    }

    #[test]
    fn roles_come_from_the_topology_and_can_be_set() {
        let mut shop = Shop::new();
        let text = |text: &str| FieldValue::from(text);
        let delay = shop.declare(
            "delay",
            &[
                ("x-message-ttl", FieldValue::I32(1000)),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text("orders")),
            ],
        );
        let orders = shop.declare(
            "orders",
            &[
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text("given-up")),
            ],
        );
        let given_up = shop.declare("given-up", &[]);
        let named = shop.declare("orders.dlq", &[]);
        let set = shop.declare("archive", &[("x-queue-role", text("delay"))]);
        let watches = shop.watches();
        let idle = QueueStatistics { ready: 5, ..Default::default() };
        let role = |queue, statistics| shop.look(&watches, BEGIN, queue, statistics).role;
        assert_eq!(role(delay, idle), Role::Delay);
        assert_eq!(role(delay, ready(5)), Role::Work, "somebody consumes it");
        assert_eq!(role(orders, idle), Role::Work, "what leaves a delay queue goes back to work");
        assert_eq!(role(given_up, idle), Role::DeadLetters);
        assert_eq!(role(named, idle), Role::DeadLetters);
        assert_eq!(role(set, ready(5)), Role::Delay);
    }
}
