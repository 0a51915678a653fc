//! The exchange that a channel was last allowed to publish to, so that a publish costs no look-up
//! of permissions. Valid for one version of them.

use crate::access::{Access, Object};
use crate::model::{Fault, ObjectName};
use crate::session::ChannelContext;

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
    pub(crate) fn check(
        &mut self,
        context: &ChannelContext<'_>,
        exchange: &ObjectName,
    ) -> Result<(), Fault> {
        let version = context.access.version();
        if self.version == version && self.exchange.as_ref() == Some(exchange) {
            return Ok(());
        }
        let (permissions, info) = (context.access.permissions(), context.info);
        permissions.check(&info.user, &info.vhost, Access::Write, Object::Exchange(exchange))?;
        *self = Self { version, exchange: Some(exchange.detached()) };
        Ok(())
    }
}
