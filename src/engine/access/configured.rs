//! What users of the configuration may do: given again at every start, never stored.

use super::Permission;
use forebay_wire::ShortStr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static EVERYTHING: LazyLock<Option<Permission>> =
    LazyLock::new(|| Permission::new(".*", ".*", ".*").ok());

/// A user whom the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredUser {
    /// The name.
    pub name: ShortStr,
    /// Its permissions by virtual host; `None`: it may do everything everywhere.
    pub permissions: Option<Vec<(ShortStr, Permission)>>,
}

/// The permissions of all users of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    unrestricted: BTreeSet<ShortStr>,
    granted: BTreeMap<(ShortStr, ShortStr), Permission>,
}

impl Configured {
    pub(super) fn new(users: &[ConfiguredUser]) -> Self {
        let mut configured = Self::default();
        for user in users {
            match &user.permissions {
                None => drop(configured.unrestricted.insert(user.name.detached())),
                Some(permissions) => {
                    for (vhost, permission) in permissions {
                        let key = (user.name.detached(), vhost.detached());
                        configured.granted.insert(key, permission.clone());
                    }
                }
            }
        }
        configured
    }

    pub(super) fn get(&self, user: &ShortStr, vhost: &ShortStr) -> Option<&Permission> {
        if self.unrestricted.contains(user) {
            return EVERYTHING.as_ref();
        }
        self.granted.get(&(user.clone(), vhost.clone()))
    }
}
