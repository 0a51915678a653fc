//! What the operating system knows of this process: memory, open files, the disk. Where there is
//! no `/proc` the figures are left out.

use super::catalogue;
use super::exposition::Page;
use crate::memory_limit::MemoryLimit;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Octets in a page of memory as `/proc/self/statm` counts them.
fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Adds the families of the process; `started_at`: seconds since 1970.
pub(super) fn write(page: &mut Page, data_dir: &Path, started_at: f64) {
    let disk = rustix::fs::statvfs(data_dir).ok();
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let files_max = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64);
    let families = [
        (&catalogue::PROCESS_MEMORY, resident_memory().map(|octets| octets as f64)),
        (&catalogue::PROCESS_FILES, files),
        (&catalogue::PROCESS_FILES_MAX, Some(files_max)),
        (&catalogue::PROCESS_START, Some(started_at)),
        (&catalogue::MEMORY_LIMIT, MemoryLimit::read().map(|limit| limit.bytes as f64)),
        (&catalogue::DISK_AVAILABLE, disk_free(data_dir).map(|octets| octets as f64)),
        (&catalogue::DISK_SIZE, disk.as_ref().map(|disk| (disk.f_blocks * disk.f_frsize) as f64)),
    ];
    for (metric, value) in families {
        page.family(metric);
        if let Some(value) = value {
            page.sample(metric.name, "", value);
        }
    }
}

/// Octets that are free on the disk of a directory, for who is not root.
pub(crate) fn disk_free(directory: &Path) -> Option<u64> {
    rustix::fs::statvfs(directory).ok().map(|disk| disk.f_bavail * disk.f_frsize)
}

/// Octets of memory in use.
pub(crate) fn resident_memory() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * page_size())
}
