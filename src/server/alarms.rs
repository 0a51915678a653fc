//! Disk and memory alarms: while the disk of the data directory is nearly full, or the broker takes
//! much of the memory it may use, publishers wait and consumers go on.
//!
//! One task looks at both at short intervals and is the only one that raises and clears; the
//! connections are told over their register, metrics and admin listener look at the same state.
//! An alarm is cleared only when the resource has recovered by a margin, so that it does not flap.

use crate::connections::{Connections, Shortage};
use crate::failure::{Failure, FailureSender};
use crate::limits::{
    ALARM_INTERVAL, DISK_ALARM_MARGIN_PERCENT, DISK_FREE_BESIDE_MERGES_OCTETS,
    DISK_GIVE_BACK_INTERVAL, MEMORY_ALARM_MARGIN_PERCENT,
};
use crate::metrics::process;
use crate::password_memory;
use forebay_store::{Store, StoreError};
use forebay_wire::ShortStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

/// What may run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Free space on the disk of the data directory.
    Disk,
    /// Memory.
    Memory,
}

impl Alarm {
    /// Each.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// As clients, metrics and RabbitMQ's management API name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

/// When alarms are raised, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmLimits {
    /// Less free space than this raises the disk alarm; 0: never.
    pub disk_free_min: u64,
    /// More resident memory than this raises the memory alarm.
    pub memory_max: u64,
}

/// How much there is, in octets; nothing where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    disk_free: Option<u64>,
    memory: Option<u64>,
    /// Octets that merges of tables may need.
    merges: u64,
}

/// The alarms of a broker. Clones are the same.
#[derive(Clone, Debug)]
pub struct Alarms {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Mutex<AlarmLimits>,
    disk: AtomicBool,
    memory: AtomicBool,
    /// Once there is one.
    /// Not kept open: a broker that has ended lets go of its data directory.
    store: OnceLock<Weak<dyn Store>>,
    /// When the store was last asked to give space back.
    asked_at: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Inner");
        shown.field("limits", &self.limits).field("disk", &self.disk).field("memory", &self.memory);
        shown.finish_non_exhaustive()
    }
}

impl Alarms {
    /// None is raised yet.
    #[must_use]
    pub fn new(limits: AlarmLimits) -> Self {
        let (disk, memory) = (AtomicBool::new(false), AtomicBool::new(false));
        let limits = Mutex::new(limits);
        Self {
            inner: Arc::new(Inner {
                limits,
                disk,
                memory,
                store: OnceLock::new(),
                asked_at: Mutex::default(),
            }),
        }
    }

    /// From now on the store is asked what it needs, and told when the disk is short.
    pub fn set_store(&self, store: &Arc<dyn Store>) {
        // A second one would be a second broker's.
        let _ = self.inner.store.set(Arc::downgrade(store));
    }

    /// When they are raised.
    #[must_use]
    pub fn limits(&self) -> AlarmLimits {
        *self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are raised at these from the next look on.
    pub fn set_limits(&self, limits: AlarmLimits) {
        *self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Whether the resource is short now.
    #[must_use]
    pub fn is_raised(&self, resource: Alarm) -> bool {
        self.flag(resource).load(Ordering::Relaxed)
    }

    /// What is short now, as clients are told; nothing when all is well.
    #[must_use]
    pub fn reason(&self) -> Option<ShortStr> {
        match Alarm::ALL.map(|resource| self.is_raised(resource)) {
            [true, true] => Some(ShortStr::from_static("low on memory & disk")),
            [true, false] => Some(ShortStr::from_static("low on memory")),
            [false, true] => Some(ShortStr::from_static("low on disk")),
            [false, false] => None,
        }
    }

    /// Looks again and again, until the task is dropped or the store can't go on.
    pub async fn watch(self, data_dir: PathBuf, connections: Connections, failures: FailureSender) {
        loop {
            tokio::time::sleep(ALARM_INTERVAL).await;
            if let Err(error) = self.look(&data_dir, &connections).await {
                failures.report(Failure::Store(error));
                return;
            }
        }
    }

    /// Looks once, and tells the connections of a change.
    ///
    /// # Errors
    /// When the store can't go on. It may be that only a thread of its own met with the reason.
    pub async fn look(&self, data_dir: &Path, connections: &Connections) -> Result<(), StoreError> {
        let (path, store) = (data_dir.to_owned(), self.inner.store.get().and_then(Weak::upgrade));
        let alarms = self.clone();
        let is_short = self.is_raised(Alarm::Disk);
        // A file system that hangs must not hold up a thread that serves clients.
        let look = tokio::task::spawn_blocking(move || {
            password_memory::free_idle();
            let mut usage = Usage::now(&path);
            if let Some(store) = store {
                store.check()?;
                usage.merges = store.merge_octets_max();
                if is_short && alarms.may_ask() {
                    store.give_back();
                }
            }
            Ok::<_, StoreError>(usage)
        });
        let usage = look.await.unwrap_or_else(|_panic| Ok(Usage::default()))?;
        if self.judge(usage, data_dir) {
            let is_memory = self.is_raised(Alarm::Memory);
            connections.set_alarm(self.reason().map(|reason| Shortage { reason, is_memory }));
        }
        Ok(())
    }

    /// Giving back takes a while, and moves what is in memory to tables.
    fn may_ask(&self) -> bool {
        let mut last = self.inner.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= DISK_GIVE_BACK_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// The memory alarm is over when no more than this is in use.
    fn memory_recovered(&self) -> u64 {
        let most = self.limits().memory_max;
        most - most / 100 * MEMORY_ALARM_MARGIN_PERCENT
    }

    /// Raises and clears; says whether anything changed.
    fn judge(&self, usage: Usage, data_dir: &Path) -> bool {
        let AlarmLimits { disk_free_min: limit, memory_max } = self.limits();
        let disk_free_min = disk_free_min(limit, usage.merges);
        let disk = usage.disk_free.is_some_and(|free| {
            let recovered = margin(disk_free_min, DISK_ALARM_MARGIN_PERCENT);
            let least = if self.is_raised(Alarm::Disk) { recovered } else { disk_free_min };
            free < least
        });
        let memory = usage.memory.is_some_and(|used| {
            let recovered = self.is_raised(Alarm::Memory).then(|| self.memory_recovered());
            let most = recovered.unwrap_or(memory_max);
            used > most
        });
        let mut changed = false;
        if self.flag(Alarm::Disk).swap(disk, Ordering::Relaxed) != disk {
            changed = true;
            let (free, path) = (usage.disk_free.unwrap_or_default(), data_dir.display());
            log(
                disk,
                "disk",
                &format!(
                    "{free} octets are free on the disk of {path}, disk_free_limit is {limit}, and \
                     {disk_free_min} are needed as long as tables may be merged"
                ),
            );
        }
        if self.flag(Alarm::Memory).swap(memory, Ordering::Relaxed) != memory {
            changed = true;
            let used = usage.memory.unwrap_or_default();
            log(
                memory,
                "memory",
                &format!("{used} octets are resident, memory_high_watermark is {memory_max}"),
            );
        }
        changed
    }

    fn flag(&self, resource: Alarm) -> &AtomicBool {
        match resource {
            Alarm::Disk => &self.inner.disk,
            Alarm::Memory => &self.inner.memory,
        }
    }
}

impl Usage {
    fn now(data_dir: &Path) -> Self {
        let (disk_free, memory) = (process::disk_free(data_dir), process::resident_memory());
        Self { disk_free, memory, merges: 0 }
    }
}

/// Free space below which the disk is short: what the operator said, or, if that is more, what merges
/// of tables take while acknowledgements and drains go on. 0, for no alarm, stays 0.
fn disk_free_min(limit: u64, merges: u64) -> u64 {
    if limit == 0 {
        return 0;
    }
    limit.max(merges.saturating_add(limit.min(DISK_FREE_BESIDE_MERGES_OCTETS)))
}

const fn margin(limit: u64, percent: u64) -> u64 {
    limit.saturating_add(limit / 100 * percent)
}

fn log(raised: bool, resource: &str, figures: &str) {
    if raised {
        tracing::warn!("{resource} alarm: {figures}; publishers wait, consumers go on");
    } else {
        tracing::info!("{resource} alarm is over: {figures}; publishers go on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(alarms: &Alarms, disk_free: u64, memory: u64) -> Option<String> {
        let usage = Usage { disk_free: Some(disk_free), memory: Some(memory), merges: 0 };
        alarms.judge(usage, Path::new("data"));
        alarms.reason().map(|reason| reason.to_string())
    }

    #[test]
    fn an_alarm_is_over_only_when_the_resource_has_recovered_by_a_margin() {
        let alarms = Alarms::new(AlarmLimits { disk_free_min: 1000, memory_max: 1000 });
        assert_eq!(look(&alarms, 1000, 1000), None);
        assert_eq!(look(&alarms, 999, 1000).unwrap(), "low on disk");
        assert_eq!(look(&alarms, 1099, 1001).unwrap(), "low on memory & disk");
        assert_eq!(look(&alarms, 1100, 951).unwrap(), "low on memory");
        assert_eq!(look(&alarms, 1000, 950), None);
    }

    #[test]
    fn limits_of_zero_mean_never_for_the_disk_and_always_for_memory() {
        let alarms = Alarms::new(AlarmLimits { disk_free_min: 0, memory_max: 0 });
        assert_eq!(look(&alarms, 0, 0), None);
        assert_eq!(look(&alarms, 0, 1).unwrap(), "low on memory");
    }

    #[test]
    fn merges_need_their_room_whatever_the_limit_is() {
        const MIB: u64 = 1024 * 1024;
        assert_eq!(disk_free_min(256 * MIB, 0), 256 * MIB);
        assert_eq!(disk_free_min(256 * MIB, 100 * MIB), 256 * MIB);
        assert!(disk_free_min(256 * MIB, 400 * MIB) > 400 * MIB);
        assert_eq!(disk_free_min(MIB, 100 * MIB), 101 * MIB);
        assert_eq!(disk_free_min(0, 100 * MIB), 0);
        let alarms = Alarms::new(AlarmLimits { disk_free_min: MIB, memory_max: 10 });
        let usage = |merges| Usage { disk_free: Some(100 * MIB), memory: None, merges };
        alarms.judge(usage(100 * MIB), Path::new("data"));
        assert!(alarms.is_raised(Alarm::Disk));
        alarms.judge(usage(0), Path::new("data"));
        assert!(!alarms.is_raised(Alarm::Disk));
    }

    #[test]
    fn a_change_is_told_once() {
        let alarms = Alarms::new(AlarmLimits { disk_free_min: 10, memory_max: 10 });
        let usage = Usage { disk_free: Some(0), memory: Some(0), merges: 0 };
        assert!(alarms.judge(usage, Path::new("data")));
        assert!(!alarms.judge(usage, Path::new("data")));
        assert!(alarms.is_raised(Alarm::Disk) && !alarms.is_raised(Alarm::Memory));
        // What the system does not say is not held against anybody.
        assert!(alarms.judge(Usage::default(), Path::new("data")));
    }
}
