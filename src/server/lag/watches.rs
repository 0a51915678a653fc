//! A watch for each queue, fed from the looks at all queues that rates are taken from.

use super::lag_defaults::LagDefaults;
use super::roles::Roles;
use super::watched::{QueueLag, Watched};
use crate::limits::{LAG_HISTORY_WRITE_INTERVAL, LAG_ROLES_INTERVAL};
use arc_swap::ArcSwap;
use forebay_engine::model::QueueId;
use forebay_engine::shard::QueueReport;
use forebay_engine::topology::Topology;
use forebay_lag::Past;
use forebay_lag::limits::HISTORY_DAYS_SPARE;
use forebay_store::{LagDay, LagFile, LagHistories};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Queues whose damaged histories are named in one line of the log.
const NAMED_MAX: usize = 5;

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

    /// What holds for queues that say nothing themselves.
    pub(crate) fn defaults(&self) -> LagDefaults {
        **self.defaults.load()
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
        let LagDefaults { is_enabled, settings: defaults } = self.defaults();
        if !is_enabled {
            if std::mem::take(&mut state.is_loaded) {
                self.write(&mut state);
                *state = State::default();
                self.shown.store(Arc::default());
            }
            return;
        }
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
        state.queues.get_mut(&queue)?.accept_normal()?;
        self.write(&mut state);
        Some(())
    }

    /// How a queue's lag was in the last days before a moment, in seconds since 1970; `None` when it was not looked
    /// at yet. Takes some milliseconds.
    pub(crate) fn past(&self, queue: QueueId, now: u64, days: usize) -> Option<Past> {
        let (history, settings) = self.state().queues.get(&queue)?.learnt();
        Some(history.past(now, days, &settings))
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
            self.set_aside(&file, topology);
            for LagDay { queue, encoded } in file.days {
                if topology.queue_by_id(queue).is_none() {
                    continue;
                }
                let watched = state.queues.entry(queue).or_default();
                if let Err(error) = watched.watch.history_mut().restore(file.day, &encoded) {
                    tracing::warn!(
                        "the lag history of queue id {queue} on day {} is left out: {error}",
                        file.day
                    );
                }
            }
        }
    }

    /// Puts a file aside of which something is damaged, and says whose history it is.
    fn set_aside(&self, file: &LagFile, topology: &Topology) {
        if file.damaged.is_empty() {
            return;
        }
        let name = |id: &QueueId| match topology.queue_by_id(*id) {
            Some(record) => format!("queue '{}' in vhost '{}'", record.name, record.vhost),
            None => format!("queue id {id}"),
        };
        let named = file.damaged.iter().flatten().take(NAMED_MAX).map(name);
        let mut whose: Vec<String> = named.collect();
        let others = file.damaged.len().saturating_sub(whose.len());
        if others > 0 {
            whose.push(format!("{others} others"));
        }
        let whose = whose.join(", ");
        let day = file.day;
        match self.histories.set_aside_here(file) {
            Ok(aside) => tracing::warn!(
                "lag histories of day {day} since 1970 are damaged, of {whose}: what was learnt then is lost, and no message; the file as it was is {}",
                aside.display()
            ),
            Err(error) => tracing::warn!(
                "lag histories of day {day} since 1970 are damaged, of {whose}, and can't be put aside: {error}"
            ),
        }
    }

    /// Writes the days that have changed.
    fn write(&self, state: &mut State) {
        state.written_at = Some(Instant::now());
        let durable = || state.queues.iter().filter(|(_, watched)| watched.is_durable);
        let kept = usize::from(self.defaults().settings.history_days) + HISTORY_DAYS_SPARE;
        let mut changed = BTreeSet::new();
        for (_, watched) in durable() {
            changed.extend(watched.watch.history().changed());
        }
        for day in &changed {
            let days = durable().filter_map(|(queue, watched)| {
                let encoded = watched.watch.history().encoded(*day)?;
                Some(LagDay { queue: *queue, encoded })
            });
            if let Err(error) = self.histories.write(*day, days, kept) {
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
