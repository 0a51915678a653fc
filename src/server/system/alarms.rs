//! Disk and memory alarms: while the disk of the data directory is nearly full, or the broker takes
//! much of the memory it may use, publishers wait and consumers go on.
//!
//! One task looks at both at short intervals and is the only one that raises and clears; the
//! connections are told over their register, metrics and admin listener look at the same state.
//! An alarm is raised at once. It is cleared only when the resource has recovered by a margin and has
//! stayed so for some time, so that it does not flap.

use crate::auth::password_memory;
use crate::connection::connections::{Connections, Shortage};
use crate::failure::{Failure, FailureSender};
use crate::limits::{
    ALARM_INTERVAL, DISK_ALARM_CALM_DURATION, DISK_ALARM_MARGIN_PERCENT,
    DISK_FREE_BESIDE_MERGES_BYTES, DISK_GIVE_BACK_INTERVAL, MEMORY_ALARM_CALM_DURATION,
    MEMORY_ALARM_MARGIN_PERCENT,
};
use crate::metrics::process;
use forebay_store::{Store, StoreError};
use forebay_wire::ShortStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

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

    /// How long the resource must have recovered before the alarm is over.
    const fn calm_duration(self) -> Duration {
        match self {
            Self::Disk => DISK_ALARM_CALM_DURATION,
            Self::Memory => MEMORY_ALARM_CALM_DURATION,
        }
    }

    /// As clients, metrics and RabbitMQ's management API name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

/// When alarms are raised, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmLimits {
    /// Less free space than this raises the disk alarm; 0: never.
    pub disk_free_min: u64,
    /// More resident memory than this raises the memory alarm.
    pub memory_max: u64,
}

/// How much there is, in bytes; nothing where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    disk_free: Option<u64>,
    memory: Option<u64>,
    /// Bytes that merges of tables may need.
    merges: u64,
}

/// The alarms of a broker. Clones are the same.
#[derive(Clone, Debug)]
pub struct Alarms {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Mutex<AlarmLimits>,
    disk: Signal,
    memory: Signal,
    /// Once there is one.
    /// Not kept open: a broker that has ended lets go of its data directory.
    store: OnceLock<Weak<dyn Store>>,
    /// When the store was last asked to give space back.
    asked_at: Mutex<Option<Instant>>,
}

/// Whether one resource is short.
#[derive(Debug, Default)]
struct Signal {
    is_raised: AtomicBool,
    /// Since when a resource whose alarm is raised has recovered by the margin.
    calm_since: Mutex<Option<Instant>>,
}

/// How a resource is, at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Less than there must be.
    Short,
    /// Enough, but within the margin.
    Near,
    /// Enough.
    Calm,
}

impl Signal {
    fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// Raises or clears; says whether that is a change.
    fn judge(&self, level: Level, calm_duration: Duration, now: Instant) -> bool {
        let mut calm_since = self.calm_since.lock().unwrap_or_else(PoisonError::into_inner);
        if level != Level::Calm {
            *calm_since = None;
            return level == Level::Short && !self.is_raised.swap(true, Ordering::Relaxed);
        }
        if !self.is_raised() {
            return false;
        }
        let since = *calm_since.get_or_insert(now);
        let is_over = now.saturating_duration_since(since) >= calm_duration;
        if is_over {
            *calm_since = None;
            self.is_raised.store(false, Ordering::Relaxed);
        }
        is_over
    }
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
        let limits = Mutex::new(limits);
        Self {
            inner: Arc::new(Inner {
                limits,
                disk: Signal::default(),
                memory: Signal::default(),
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
        self.signal(resource).is_raised()
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
            if let Err(error) = self.check(&data_dir, &connections).await {
                failures.report(Failure::Store(error));
                return;
            }
        }
    }

    /// Looks once, and tells the connections of a change.
    ///
    /// # Errors
    /// When the store can't go on. It may be that only a thread of its own met with the reason.
    pub async fn check(
        &self,
        data_dir: &Path,
        connections: &Connections,
    ) -> Result<(), StoreError> {
        let (path, store) = (data_dir.to_owned(), self.inner.store.get().and_then(Weak::upgrade));
        let alarms = self.clone();
        let is_short = self.is_raised(Alarm::Disk);
        // A file system that hangs must not hold up a thread that serves clients.
        let look = tokio::task::spawn_blocking(move || {
            password_memory::free_idle();
            let mut usage = Usage::now(&path);
            if let Some(store) = store {
                store.check()?;
                usage.merges = store.merge_bytes_max();
                if is_short && alarms.may_ask() {
                    store.give_back();
                }
            }
            Ok::<_, StoreError>(usage)
        });
        let usage = look.await.unwrap_or_else(|_panic| Ok(Usage::default()))?;
        if self.judge(usage, data_dir, Instant::now()) {
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

    /// Raises and clears; says whether anything changed.
    fn judge(&self, usage: Usage, data_dir: &Path, now: Instant) -> bool {
        let AlarmLimits { disk_free_min: limit, memory_max } = self.limits();
        let disk_free_min = disk_free_min(limit, usage.merges);
        let disk = usage.disk_free.map_or(Level::Calm, |free| disk_level(free, disk_free_min));
        let memory = usage.memory.map_or(Level::Calm, |used| memory_level(used, memory_max));
        let mut changed = false;
        if self.inner.disk.judge(disk, Alarm::Disk.calm_duration(), now) {
            changed = true;
            let (free, path) = (usage.disk_free.unwrap_or_default(), data_dir.display());
            log(
                self.is_raised(Alarm::Disk),
                "disk",
                &format!(
                    "{free} bytes are free on the disk of {path}, disk_free_limit is {limit}, and \
                     {disk_free_min} are needed as long as tables may be merged"
                ),
            );
        }
        if self.inner.memory.judge(memory, Alarm::Memory.calm_duration(), now) {
            changed = true;
            let used = usage.memory.unwrap_or_default();
            log(
                self.is_raised(Alarm::Memory),
                "memory",
                &format!("{used} bytes are resident, memory_high_watermark is {memory_max}"),
            );
        }
        changed
    }

    fn signal(&self, resource: Alarm) -> &Signal {
        match resource {
            Alarm::Disk => &self.inner.disk,
            Alarm::Memory => &self.inner.memory,
        }
    }
}

fn disk_level(free: u64, least: u64) -> Level {
    let recovered = least.saturating_add(least / 100 * DISK_ALARM_MARGIN_PERCENT);
    match free {
        free if free < least => Level::Short,
        free if free < recovered => Level::Near,
        _ => Level::Calm,
    }
}

fn memory_level(used: u64, most: u64) -> Level {
    let recovered = most - most / 100 * MEMORY_ALARM_MARGIN_PERCENT;
    match used {
        used if used > most => Level::Short,
        used if used > recovered => Level::Near,
        _ => Level::Calm,
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
    limit.max(merges.saturating_add(limit.min(DISK_FREE_BESIDE_MERGES_BYTES)))
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

    const MIB: u64 = 1024 * 1024;

    /// Alarms at 1,000 bytes of each resource, looked at as often as in a broker.
    struct Watch {
        alarms: Alarms,
        now: Instant,
    }

    impl Watch {
        fn new(disk_free_min: u64, memory_max: u64) -> Self {
            let alarms = Alarms::new(AlarmLimits { disk_free_min, memory_max });
            Self { alarms, now: Instant::now() }
        }

        fn usage(&mut self, usage: Usage) -> bool {
            self.now += ALARM_INTERVAL;
            self.alarms.judge(usage, Path::new("data"), self.now)
        }

        fn look(&mut self, disk_free: u64, memory: u64) -> Option<String> {
            self.usage(Usage { disk_free: Some(disk_free), memory: Some(memory), merges: 0 });
            self.alarms.reason().map(|reason| reason.to_string())
        }

        /// Looks at the same for so long.
        fn look_for(&mut self, time: Duration, disk_free: u64, memory: u64) -> Option<String> {
            let end = self.now + time;
            while self.now < end {
                self.look(disk_free, memory);
            }
            self.look(disk_free, memory)
        }
    }

    #[test]
    fn an_alarm_is_over_only_when_the_resource_has_recovered_by_a_margin() {
        let mut watch = Watch::new(1000, 1000);
        let long = Duration::from_secs(60);
        assert_eq!(watch.look(1000, 1000), None);
        assert_eq!(watch.look(999, 1000).unwrap(), "low on disk");
        assert_eq!(watch.look_for(long, 1099, 1001).unwrap(), "low on memory & disk");
        assert_eq!(watch.look_for(long, 1100, 951).unwrap(), "low on memory");
        assert_eq!(watch.look_for(long, 1000, 950), None);
    }

    #[test]
    fn an_alarm_is_over_only_when_the_resource_has_stayed_recovered() {
        let mut watch = Watch::new(1000, 1000);
        assert_eq!(watch.look(0, 2000).unwrap(), "low on memory & disk");
        let memory_calm = MEMORY_ALARM_CALM_DURATION - ALARM_INTERVAL;
        assert_eq!(watch.look_for(memory_calm, 5000, 0).unwrap(), "low on memory & disk");
        assert_eq!(watch.look(5000, 0).unwrap(), "low on disk");
        // Once more within the margin, and the time begins anew.
        assert_eq!(watch.look(1050, 0).unwrap(), "low on disk");
        let disk_calm = DISK_ALARM_CALM_DURATION - ALARM_INTERVAL;
        assert_eq!(watch.look_for(disk_calm, 5000, 0).unwrap(), "low on disk");
        assert_eq!(watch.look(5000, 0), None);
    }

    /// A disk that is drained and filled in leaps, as fast as it is looked at.
    #[test]
    fn alarms_do_not_flap() {
        let mut watch = Watch::new(1000, 1000);
        let usage = |look: u64| Usage {
            disk_free: Some(if look.is_multiple_of(3) { 900 } else { 5000 }),
            memory: Some(if look.is_multiple_of(2) { 1100 } else { 100 }),
            merges: 0,
        };
        let changes = (0..1000).filter(|look| watch.usage(usage(*look))).count();
        assert_eq!(changes, 1);
        // The same of what merges need, while the free space stays as it is.
        let mut watch = Watch::new(MIB, u64::MAX);
        let usage = |look: u64| Usage {
            disk_free: Some(100 * MIB),
            memory: None,
            merges: if look.is_multiple_of(3) { 100 * MIB } else { 0 },
        };
        let changes = (0..1000).filter(|look| watch.usage(usage(*look))).count();
        assert_eq!(changes, 1);
        assert!(watch.alarms.is_raised(Alarm::Disk));
    }

    #[test]
    fn limits_of_zero_mean_never_for_the_disk_and_always_for_memory() {
        let mut watch = Watch::new(0, 0);
        assert_eq!(watch.look(0, 0), None);
        assert_eq!(watch.look(0, 1).unwrap(), "low on memory");
    }

    #[test]
    fn merges_need_their_room_whatever_the_limit_is() {
        assert_eq!(disk_free_min(256 * MIB, 0), 256 * MIB);
        assert_eq!(disk_free_min(256 * MIB, 100 * MIB), 256 * MIB);
        assert!(disk_free_min(256 * MIB, 400 * MIB) > 400 * MIB);
        assert_eq!(disk_free_min(MIB, 100 * MIB), 101 * MIB);
        assert_eq!(disk_free_min(0, 100 * MIB), 0);
        let mut watch = Watch::new(MIB, 10);
        let usage = |merges| Usage { disk_free: Some(100 * MIB), memory: None, merges };
        watch.usage(usage(100 * MIB));
        assert!(watch.alarms.is_raised(Alarm::Disk));
        while watch.alarms.is_raised(Alarm::Disk) {
            watch.usage(usage(0));
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut watch = Watch::new(10, 10);
        let usage = Usage { disk_free: Some(0), memory: Some(0), merges: 0 };
        assert!(watch.usage(usage));
        assert!(!watch.usage(usage));
        assert!(watch.alarms.is_raised(Alarm::Disk) && !watch.alarms.is_raised(Alarm::Memory));
        // What the system does not say is not held against anybody.
        let looks = (0..100).filter(|_| watch.usage(Usage::default())).count();
        assert_eq!((looks, watch.alarms.is_raised(Alarm::Disk)), (1, false));
    }
}
