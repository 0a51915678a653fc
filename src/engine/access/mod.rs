//! Who may do what: a user's permissions in a virtual host, as RabbitMQ has them.
//!
//! A permission is three regular expressions, held against the names of exchanges and queues:
//! what the user may configure (declare, delete), write to (publish to an exchange, bind a queue)
//! and read from (consume from a queue, bind to an exchange). Without a permission in a virtual
//! host a user may not even enter it.
//!
//! [`AccessControl`] is the state: one owner changes it and hands its records to the store.
//! [`Permissions`] is the immutable picture of it that connections check against.

mod permission;
mod record;
mod required;

pub use permission::{Access, Object, Permission};
pub use record::AccessRecordError;
pub(crate) use record::is_ours;

use crate::fault::Fault;
use crate::operation::Operation;
use bytes::Bytes;
use forebay_wire::{ReplyCode, ShortStr};
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

/// All permissions, and what the store must still learn of them.
#[derive(Clone, Debug, Default)]
pub struct AccessControl {
    permissions: Permissions,
    operations: Vec<Operation>,
}

/// Who may do what, as of one version. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    version: u64,
    /// By user and virtual host.
    granted: RedBlackTreeMapSync<(ShortStr, ShortStr), Arc<Permission>>,
}

impl AccessControl {
    /// Nobody may do anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state as the store tells it, from all its records; those of others are passed over.
    ///
    /// # Errors
    /// Names the first record that is damaged, or newer than this program.
    pub fn recover(records: &[(Bytes, Bytes)]) -> Result<Self, AccessRecordError> {
        let mut access = Self::new();
        for (key, value) in records.iter().filter(|(key, _)| is_ours(key)) {
            let (user, vhost, permission) = record::read(key, value)?;
            access.grant(&user, &vhost, permission);
        }
        access.operations.clear();
        Ok(access)
    }

    /// Who may do what now.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Gives a user this permission in a virtual host, in place of another.
    pub fn grant(&mut self, user: &ShortStr, vhost: &ShortStr, permission: Permission) {
        if self.permissions.get(user, vhost) == Some(&permission) {
            return;
        }
        let (user, vhost) = (user.detached(), vhost.detached());
        self.operations.push(record::put(&user, &vhost, &permission));
        self.permissions.version += 1;
        self.permissions.granted.insert_mut((user, vhost), Arc::new(permission));
    }

    /// Takes a user's permission in a virtual host away; returns whether there was one.
    pub fn revoke(&mut self, user: &ShortStr, vhost: &ShortStr) -> bool {
        if !self.permissions.granted.remove_mut(&(user.clone(), vhost.clone())) {
            return false;
        }
        self.permissions.version += 1;
        self.operations.push(record::remove(user, vhost));
        true
    }

    /// Takes all permissions of a user away: the user was deleted.
    pub fn remove_user(&mut self, user: &ShortStr) {
        self.revoke_all(|there, _| there == user);
    }

    /// Takes all permissions in a virtual host away: it was deleted.
    pub fn remove_vhost(&mut self, vhost: &ShortStr) {
        self.revoke_all(|_, there| there == vhost);
    }

    /// What the store must learn since the last call, in order.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    fn revoke_all(&mut self, gone: impl Fn(&ShortStr, &ShortStr) -> bool) {
        let keys = self.permissions.granted.keys().filter(|(user, vhost)| gone(user, vhost));
        for (user, vhost) in keys.cloned().collect::<Vec<_>>() {
            self.revoke(&user, &vhost);
        }
    }
}

impl Permissions {
    /// Grows with every change: what was allowed in one version may be remembered for it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the user may do in the virtual host, if anything.
    #[must_use]
    pub fn get(&self, user: &ShortStr, vhost: &ShortStr) -> Option<&Permission> {
        self.granted.get(&(user.clone(), vhost.clone())).map(|permission| &**permission)
    }

    /// Everybody's permissions: user, virtual host, permission, in that order.
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
