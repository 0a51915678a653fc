//! The exchange that a channel was last allowed to publish to, so that a publish costs no look-up
//! of permissions. Valid for one version of them.

use super::Turn;
use crate::access::{Access, Object};
use crate::fault::Fault;
use crate::object_name::ObjectName;

/// What was allowed last.
#[derive(Debug, Default)]
pub(crate) struct WritePermission {
    version: u64,
    exchange: Option<ObjectName>,
}

impl WritePermission {
    /// Whether the user may publish to the exchange.
    ///
    /// # Errors
    /// 403, closes the channel.
    pub(crate) fn check(&mut self, turn: &Turn<'_>, exchange: &ObjectName) -> Result<(), Fault> {
        let version = turn.routes.version();
        if self.version == version && self.exchange.as_ref() == Some(exchange) {
            return Ok(());
        }
        let (permissions, about) = (turn.routes.permissions(), turn.about);
        permissions.check(&about.user, &about.vhost, Access::Write, Object::Exchange(exchange))?;
        *self = Self { version, exchange: Some(exchange.detached()) };
        Ok(())
    }
}
