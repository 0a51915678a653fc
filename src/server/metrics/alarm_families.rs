//! The families of the alarms and of publishers that wait, under our names.

use super::catalogue;
use super::exposition::Page;
use crate::system::alarms::{Alarm, Alarms};

/// Adds them.
pub(super) fn write(page: &mut Page, alarms: &Alarms, (blocked, paced): (usize, usize)) {
    let metric = &catalogue::ALARM_ACTIVE;
    page.family(metric);
    for alarm in Alarm::ALL {
        let labels = format!("{{alarm=\"{}\"}}", alarm.name());
        page.sample(metric.name, &labels, u64::from(alarms.is_raised(alarm)));
    }
    let limits = alarms.limits();
    page.single(&catalogue::CONNECTIONS_BLOCKED, blocked as u64);
    page.single(&catalogue::CONNECTIONS_PACED, paced as u64);
    page.single(&catalogue::DISK_FREE_LIMIT, limits.disk_free_min);
    page.single(&catalogue::MEMORY_HIGH_WATERMARK, limits.memory_max);
}
