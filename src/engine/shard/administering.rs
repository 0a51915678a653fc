//! What operators change, and what they are told of the topology.

use super::{MemoryLimits, Shard};
use crate::access::{AccessControl, ConfiguredUser, Limit, Permission, User};
use crate::administration::Administration;
use crate::event::Reply;
use crate::model::{ChannelKey, Fault};
use crate::queue::Instants;
use forebay_wire::{ReplyCode, ShortStr};

impl Shard {
    /// Users and permissions as they are now.
    #[must_use]
    pub fn access(&self) -> &AccessControl {
        &self.access
    }

    /// Says what users of the configuration may do. They are not stored: to be told at every
    /// start, before the first connection.
    pub fn configure_users(&mut self, users: &[ConfiguredUser]) {
        self.access.configure(users);
    }

    /// Bounds what queues and connections keep in memory: to be told before the first connection.
    pub fn limit_memory(&mut self, limits: MemoryLimits) {
        self.memory.limit(limits);
        self.clients.limit(limits);
    }

    /// Does what was asked, and replies when it is durable.
    pub(super) fn administer(&mut self, at: Instants, key: ChannelKey, request: Administration) {
        let Some(request) = self.holds_administration(key, request) else { return };
        let request = match request {
            Administration::Import(definitions) => return self.begin_import(key, definitions),
            other => other,
        };
        let removals = self.topology.removals_begun();
        let is_policy = matches!(
            request,
            Administration::SetPolicy { .. } | Administration::ClearPolicy { .. }
        );
        let reply = match request {
            Administration::RunSchedule(schedule) => {
                self.run_schedule(at, &schedule).map(Reply::ScheduleRun)
            }
            other => self.change(at, other).map(|()| Reply::Done),
        };
        self.add_topology_operations();
        self.add_access_operations();
        if self.topology.removals_begun() > removals || (is_policy && reply.is_ok()) {
            self.reply_when_done(key, reply, true);
        } else {
            self.reply_when_durable(key, reply);
        }
    }

    /// What users and permissions want stored goes with the next commit.
    pub(super) fn add_access_operations(&mut self) {
        let operations = self.access.take_operations();
        if !operations.is_empty() {
            self.commits.add_operations(operations);
        }
    }

    fn change(&mut self, at: Instants, request: Administration) -> Result<(), Fault> {
        match request {
            Administration::PutVhost { name, update } => {
                self.topology.put_vhost(&name, update);
            }
            Administration::DeleteVhost { name } => self.delete_vhost(&name)?,
            Administration::DecideFirstUser(user) => self.decide_first_user(user)?,
            Administration::PutUser { name, user } => self.access.put_user(&name, user),
            Administration::DeleteUser { name } => {
                if !self.access.remove_user(&name) {
                    return Err(not_found(format!("no user '{name}'")));
                }
            }
            Administration::Grant { user, vhost, permission } => {
                self.check_vhost_there(&vhost)?;
                self.access.grant(&user, &vhost, permission);
            }
            Administration::Revoke { user, vhost } => {
                if !self.access.revoke(&user, &vhost) {
                    let text = format!("no permission of user '{user}' in vhost '{vhost}'");
                    return Err(not_found(text));
                }
            }
            Administration::SetLimit { limit, owner, most } => {
                if Limit::OF_VHOST.contains(&limit) {
                    self.check_vhost_there(&owner)?;
                }
                self.access.set_limit(limit, &owner, most);
            }
            Administration::SetPolicy { vhost, policy } => {
                self.check_vhost_there(&vhost)?;
                self.topology.put_policy(&vhost, *policy)?;
                self.apply_policies(&vhost);
            }
            Administration::ClearPolicy { vhost, owner, name } => {
                if !self.topology.remove_policy(&vhost, owner, &name) {
                    return Err(not_found(format!("no policy '{name}' in vhost '{vhost}'")));
                }
                self.apply_policies(&vhost);
            }
            Administration::SetPause { vhost, queue, pause } => {
                self.check_vhost_there(&vhost)?;
                let changed = self.topology.set_pause(&vhost, &queue, pause)?;
                self.renew_rules(at, changed);
            }
            Administration::SetSchedule { vhost, schedule } => {
                self.check_vhost_there(&vhost)?;
                self.set_schedule(at, &vhost, *schedule)?;
            }
            Administration::PauseSchedule { key, is_paused } => {
                self.pause_schedule(at, &key, is_paused)?;
            }
            Administration::DeleteSchedule(key) => self.delete_schedule(&key)?,
            // The one is taken in slices and answered when it is there, the other has an answer of its own.
            Administration::Import(_) | Administration::RunSchedule(_) => {}
        }
        Ok(())
    }

    fn decide_first_user(&mut self, user: Option<(ShortStr, User)>) -> Result<(), Fault> {
        if self.access.first_user_decided() {
            return Ok(());
        }
        if let Some((name, user)) = user {
            let everything = Permission::new(".*", ".*", ".*")
                .map_err(|error| Fault::channel(ReplyCode::InternalError, error.to_string()))?;
            self.access.put_user(&name, user);
            for vhost in self.topology.vhosts() {
                self.access.grant(&name, vhost, everything.clone());
            }
        }
        self.access.decide_first_user();
        Ok(())
    }

    fn check_vhost_there(&self, vhost: &ShortStr) -> Result<(), Fault> {
        self.topology.require_vhost(vhost).map_err(|fault| not_found(fault.text))
    }

    fn delete_vhost(&mut self, name: &ShortStr) -> Result<(), Fault> {
        self.check_vhost_there(name)?;
        let queues = self.topology.begin_vhost_removal(name).unwrap_or_default();
        self.remove_queues(queues);
        self.forget_schedules(name);
        self.access.remove_vhost(name);
        Ok(())
    }
}

fn not_found(text: String) -> Fault {
    Fault::channel(ReplyCode::NotFound, text)
}
