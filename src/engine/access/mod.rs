//! Who may do what: a user's permissions in a virtual host, as RabbitMQ has them.
//!
//! A permission is three regular expressions, held against the names of exchanges and queues:
//! what the user may configure (declare, delete), write to (publish to an exchange, bind a queue)
//! and read from (consume from a queue, bind to an exchange). Without a permission in a virtual
//! host a user may not even enter it.
//!
//! [`AccessControl`] is the state: one owner changes it and hands its records to the store.
//! [`AccessSnapshot`] is the immutable picture of it that connections and logins are checked against.
//! Permissions of users of the configuration are laid over it and are never stored.

mod configured;
mod first_user;
mod limit;
mod permission;
mod record;
mod required;
mod snapshot;
mod user;
mod user_record;

pub use configured::ConfiguredUser;
pub use limit::{Limit, Limits};
pub use permission::{Access, Object, Permission};
pub use record::AccessRecordError;
pub use snapshot::AccessSnapshot;
pub use user::{PasswordHash, User, Users};

use crate::model::Fault;
use crate::operation::Operation;
use bytes::Bytes;
use configured::Configured;
use forebay_wire::{ReplyCode, ShortStr};
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

/// Whether a record of the store tells of a permission, a user, the first user or a limit.
pub(crate) fn is_ours(key: &[u8]) -> bool {
    record::is_ours(key)
        || user_record::is_ours(key)
        || first_user::is_ours(key)
        || limit::is_ours(key)
}

/// All users and permissions, and what the store must still learn of them.
#[derive(Clone, Debug, Default)]
pub struct AccessControl {
    current: AccessSnapshot,
    first_user_decided: bool,
    operations: Vec<Operation>,
}

/// What users may do, as of one version. A copy costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// By user and virtual host.
    granted: RedBlackTreeMapSync<(ShortStr, ShortStr), Arc<Permission>>,
    configured: Arc<Configured>,
}

impl AccessControl {
    /// Without users and permissions: no user may do anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state as the store tells it, from all its records; records of the topology are passed over.
    ///
    /// # Errors
    /// Names the first record that is damaged, or newer than this program.
    pub fn recover(records: &[(Bytes, Bytes)]) -> Result<Self, AccessRecordError> {
        let mut access = Self::new();
        for (key, value) in records {
            if record::is_ours(key) {
                let (user, vhost, permission) = record::read(key, value)?;
                access.grant(&user, &vhost, permission);
            } else if user_record::is_ours(key) {
                let (name, user) = user_record::read(key, value)?;
                access.put_user(&name, user);
            } else if first_user::is_ours(key) {
                first_user::read(key, value)?;
                access.first_user_decided = true;
            } else if limit::is_ours(key) {
                let (limit, owner, most) = limit::read(key, value)?;
                access.set_limit(limit, &owner, Some(most));
            }
        }
        access.operations.clear();
        Ok(access)
    }

    /// Users, permissions and limits as they are now.
    #[must_use]
    pub fn snapshot(&self) -> &AccessSnapshot {
        &self.current
    }

    /// Whether it was decided who the first user is.
    #[must_use]
    pub fn first_user_decided(&self) -> bool {
        self.first_user_decided
    }

    /// Remembers that it was decided.
    pub fn decide_first_user(&mut self) {
        if !self.first_user_decided {
            self.first_user_decided = true;
            self.operations.push(first_user::put());
        }
    }

    /// Sets a limit of a virtual host or user; `None` lifts it.
    pub fn set_limit(&mut self, limit: Limit, owner: &ShortStr, most: Option<u64>) {
        if self.current.limits.get(limit, owner) != most {
            self.current.version += 1;
            self.operations.push(self.current.limits.set(limit, owner.detached(), most));
        }
    }

    /// Says what users of the configuration may do where no stored permission says it.
    pub fn configure(&mut self, users: &[ConfiguredUser]) {
        self.current.version += 1;
        self.current.permissions.configured = Arc::new(Configured::new(users));
    }

    /// Adds a user, in place of one of the same name. Permissions belong to the name: they stay.
    pub fn put_user(&mut self, name: &ShortStr, user: User) {
        let name = name.detached();
        self.operations.push(user_record::put(&name, &user));
        self.current.version += 1;
        self.current.users.insert(name, user);
    }

    /// Gives a user this permission in a virtual host, in place of another.
    pub fn grant(&mut self, user: &ShortStr, vhost: &ShortStr, permission: Permission) {
        let (user, vhost) = (user.detached(), vhost.detached());
        let key = (user.clone(), vhost.clone());
        if self.current.permissions.granted.get(&key).is_some_and(|there| **there == permission) {
            return;
        }
        self.operations.push(record::put(&user, &vhost, &permission));
        self.current.version += 1;
        self.current.permissions.granted.insert_mut(key, Arc::new(permission));
    }

    /// Takes a user's permission in a virtual host away; returns whether there was one.
    pub fn revoke(&mut self, user: &ShortStr, vhost: &ShortStr) -> bool {
        if !self.current.permissions.granted.remove_mut(&(user.clone(), vhost.clone())) {
            return false;
        }
        self.current.version += 1;
        self.operations.push(record::remove(user, vhost));
        true
    }

    /// Removes a user and all its permissions; returns whether it was there.
    pub fn remove_user(&mut self, user: &ShortStr) -> bool {
        self.revoke_all(|there, _| there == user);
        Limit::OF_USER.into_iter().for_each(|limit| self.set_limit(limit, user, None));
        if !self.current.users.remove(user) {
            return false;
        }
        self.current.version += 1;
        self.operations.push(user_record::remove(user));
        true
    }

    /// Takes all permissions in a virtual host and its limits away: it was deleted.
    pub fn remove_vhost(&mut self, vhost: &ShortStr) {
        Limit::OF_VHOST.into_iter().for_each(|limit| self.set_limit(limit, vhost, None));
        self.revoke_all(|_, there| there == vhost);
    }

    /// What the store must learn since the last call, in order.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    fn revoke_all(&mut self, gone: impl Fn(&ShortStr, &ShortStr) -> bool) {
        let keys =
            self.current.permissions.granted.keys().filter(|(user, vhost)| gone(user, vhost));
        for (user, vhost) in keys.cloned().collect::<Vec<_>>() {
            self.revoke(&user, &vhost);
        }
    }
}

impl Permissions {
    /// What the user may do in the virtual host; `None`: it may not even enter it.
    #[must_use]
    pub fn get(&self, user: &ShortStr, vhost: &ShortStr) -> Option<&Permission> {
        let granted = self.granted.get(&(user.clone(), vhost.clone()));
        granted.map(|permission| &**permission).or_else(|| self.configured.get(user, vhost))
    }

    /// The stored permissions: user, virtual host, permission, in that order.
    pub fn iter(&self) -> impl Iterator<Item = (&ShortStr, &ShortStr, &Permission)> {
        self.granted.iter().map(|((user, vhost), permission)| (user, vhost, &**permission))
    }

    /// Whether the user may enter the virtual host.
    ///
    /// # Errors
    /// 530, closes the connection.
    pub fn check_vhost(&self, user: &ShortStr, vhost: &ShortStr) -> Result<(), Fault> {
        if self.get(user, vhost).is_some() {
            return Ok(());
        }
        let text = format!("access to vhost '{vhost}' refused for user '{user}'");
        Err(Fault::connection(ReplyCode::NotAllowed, text))
    }

    /// Whether the user may do this to the object.
    ///
    /// # Errors
    /// 403, naming user, access and object; closes the channel.
    pub fn check(
        &self,
        user: &ShortStr,
        vhost: &ShortStr,
        access: Access,
        object: Object<'_>,
    ) -> Result<(), Fault> {
        let pattern = self.get(user, vhost).and_then(|permission| permission.pattern(access));
        if pattern.is_some_and(|pattern| pattern.matches(object.checked_name())) {
            return Ok(());
        }
        let object = object.resource(vhost);
        let text = format!("{access} access to {object} refused for user '{user}'");
        Err(Fault::channel(ReplyCode::AccessRefused, text))
    }
}

#[cfg(test)]
mod tests;
