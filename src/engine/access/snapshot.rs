//! What connections and logins are checked against.

use super::{Limits, Permissions, Users};

/// Users, permissions and limits as of one version. A copy costs a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct AccessSnapshot {
    pub(super) version: u64,
    pub(super) permissions: Permissions,
    pub(super) users: Users,
    pub(super) limits: Limits,
}

impl AccessSnapshot {
    /// Grows with every change: what was allowed in one version may be remembered for it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What users may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The users of the store.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// What operators limit.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
