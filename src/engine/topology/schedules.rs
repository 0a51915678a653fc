//! The schedules of virtual hosts. What they publish, and when, is the shard's.

use super::Topology;
use crate::limits::SCHEDULES_PER_VHOST_MAX;
use crate::model::Fault;
use crate::schedules::{Schedule, put_schedule, remove_schedule};
use forebay_wire::{ReplyCode, ShortStr};
use std::sync::Arc;

impl Topology {
    /// Adds a schedule, or replaces one of the same name. One that says the same changes nothing.
    ///
    /// # Errors
    /// 530 when the virtual host is not there (closes the connection), 406 when it has as many as it may have.
    pub(crate) fn put_schedule(
        &mut self,
        vhost: &ShortStr,
        schedule: Schedule,
    ) -> Result<(), Fault> {
        let there = &self.vhost(vhost)?.schedules;
        match there.get(schedule.name()) {
            Some(before) if **before == schedule => return Ok(()),
            Some(_) => {}
            None if there.size() < SCHEDULES_PER_VHOST_MAX => {}
            None => {
                let text = format!(
                    "vhost '{vhost}' has {SCHEDULES_PER_VHOST_MAX} schedules, as many as it may have: \
                     delete one before another is set"
                );
                return Err(Fault::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        self.operations.push(put_schedule(vhost, &schedule));
        self.add_schedule(vhost, schedule);
        Ok(())
    }

    /// A schedule as a file defines it: one that does not say whether it stands still is as the one that is there.
    pub(crate) fn defined_schedule(
        &self,
        vhost: &ShortStr,
        schedule: &Schedule,
        says_paused: bool,
    ) -> Schedule {
        match self.schedule(vhost, schedule.name()) {
            Some(there) if !says_paused => schedule.paused(there.is_paused()),
            _ => schedule.clone(),
        }
    }

    /// Removes a schedule; whether it was there.
    pub(crate) fn remove_schedule(&mut self, vhost: &ShortStr, name: &ShortStr) -> bool {
        let host = self.vhosts.get_mut(vhost);
        let is_there = host.is_some_and(|host| host.schedules.remove_mut(name));
        if is_there {
            self.operations.push(remove_schedule(vhost, name));
            self.routes.note_change();
        }
        is_there
    }

    /// The schedule of this name.
    #[must_use]
    pub fn schedule(&self, vhost: &ShortStr, name: &ShortStr) -> Option<&Arc<Schedule>> {
        self.vhosts.get(vhost)?.schedules.get(name)
    }

    /// The schedules of a virtual host, by name.
    pub fn schedules(&self, vhost: &ShortStr) -> impl Iterator<Item = &Arc<Schedule>> {
        self.vhosts.get(vhost).into_iter().flat_map(|host| host.schedules.values())
    }

    /// Adds one that the store has.
    pub(super) fn add_schedule(&mut self, vhost: &ShortStr, schedule: Schedule) {
        if let Some(host) = self.vhosts.get_mut(vhost) {
            host.schedules.insert_mut(schedule.name().clone(), Arc::new(schedule));
            self.routes.note_change();
        }
    }
}
