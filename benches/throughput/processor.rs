//! Processor time of another process.

use std::time::Duration;

/// Fields of `/proc/PID/stat` before the user and the system time, counted behind the name.
const FIELDS_BEFORE: usize = 11;

/// User and system time of all threads so far.
pub(crate) fn time_of(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, behind_name) = text.rsplit_once(") ").unwrap();
    let ticks: u64 = behind_name
        .split(' ')
        .skip(FIELDS_BEFORE)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
