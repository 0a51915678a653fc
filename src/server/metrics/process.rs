//! What the operating system knows of this process: memory, open files, the disk. Where there is
//! no `/proc` the figures are left out.

use super::catalogue;
use super::exposition::Page;
use crate::system::memory_limit::MemoryLimit;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Bytes in a page of memory as `/proc/self/statm` counts them.
fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Adds the families of the process; `started_at`: seconds since 1970.
pub(super) fn write(page: &mut Page, data_dir: &Path, started_at: f64) {
    let disk = rustix::fs::statvfs(data_dir).ok();
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let files_max = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64);
    let families = [
        (&catalogue::PROCESS_MEMORY, resident_memory().map(|bytes| bytes as f64)),
        (&catalogue::PROCESS_FILES, files),
        (&catalogue::PROCESS_FILES_MAX, Some(files_max)),
        (&catalogue::PROCESS_START, Some(started_at)),
        (&catalogue::MEMORY_LIMIT, MemoryLimit::read().map(|limit| limit.bytes as f64)),
        (&catalogue::DISK_AVAILABLE, disk_free(data_dir).map(|bytes| bytes as f64)),
        (&catalogue::DISK_SIZE, disk.as_ref().map(|disk| (disk.f_blocks * disk.f_frsize) as f64)),
    ];
    for (metric, value) in families {
        page.family(metric);
        if let Some(value) = value {
            page.sample(metric.name, "", value);
        }
    }
}

/// What the process takes of its machine; nothing where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) memory: Option<u64>,
    pub(crate) disk_free: Option<u64>,
    pub(crate) files: Option<u64>,
    pub(crate) files_max: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) threads_max: Option<u64>,
}

/// Looks at the process and at the disk of a directory.
pub(crate) fn usage(directory: &Path) -> Usage {
    let count = |path| fs::read_dir(path).ok().map(|entries| entries.count() as u64);
    let machine = fs::read_to_string("/proc/sys/kernel/threads-max").ok();
    let machine = machine.and_then(|most| most.trim().parse().ok());
    let own = getrlimit(Resource::Nproc).current;
    Usage {
        memory: resident_memory(),
        disk_free: disk_free(directory),
        files: count("/proc/self/fd"),
        files_max: getrlimit(Resource::Nofile).current,
        threads: count("/proc/self/task"),
        threads_max: own.into_iter().chain(machine).min(),
    }
}

/// Bytes that are free on the disk of a directory, for who is not root.
pub(crate) fn disk_free(directory: &Path) -> Option<u64> {
    rustix::fs::statvfs(directory).ok().map(|disk| disk.f_bavail * disk.f_frsize)
}

/// Bytes of memory in use.
pub(crate) fn resident_memory() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * page_size())
}
