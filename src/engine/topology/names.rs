//! Rules for names, and the texts that name an object as RabbitMQ does.

use crate::model::Fault;
use forebay_wire::{ReplyCode, ShortStr};
use std::fmt;

/// Names that begin with it are the broker's own.
const RESERVED_PREFIX: &[u8] = b"amq.";

/// What kind of object a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exchange,
    Queue,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

/// An object by its full name; shown as `queue 'orders' in vhost '/'`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a ShortStr,
    pub(crate) vhost: &'a ShortStr,
}

impl<'a> Resource<'a> {
    pub(crate) fn exchange(name: &'a ShortStr, vhost: &'a ShortStr) -> Self {
        Self { kind: Kind::Exchange, name, vhost }
    }

    pub(crate) fn queue(name: &'a ShortStr, vhost: &'a ShortStr) -> Self {
        Self { kind: Kind::Queue, name, vhost }
    }

    /// 404: it is not there.
    pub(crate) fn not_found(self) -> Fault {
        Fault::channel(ReplyCode::NotFound, format!("no {self}"))
    }

    /// 406: it is in use.
    pub(crate) fn in_use(self) -> Fault {
        Fault::channel(ReplyCode::PreconditionFailed, format!("{self} in use"))
    }

    /// 405: another connection owns it, or it was declared with another `exclusive`.
    pub(crate) fn locked(self) -> Fault {
        Fault::channel(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked {self}. It could be originally declared \
                 on another connection or the exclusive property value does not match that of the \
                 original declaration."
            ),
        )
    }

    /// Refuses a name that only the broker may give.
    pub(crate) fn check_not_reserved(self) -> Result<(), Fault> {
        if !is_reserved(self.name) {
            return Ok(());
        }
        let text = format!("{} name '{}' contains reserved prefix 'amq.*'", self.kind, self.name);
        Err(Fault::channel(ReplyCode::AccessRefused, text))
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} '{}' in vhost '{}'", self.kind, self.name, self.vhost)
    }
}

/// Whether the name is one of the broker's own.
pub(crate) fn is_reserved(name: &ShortStr) -> bool {
    name.as_bytes().starts_with(RESERVED_PREFIX)
}

/// 403: the default exchange can be published to, and that is all.
pub(crate) fn check_not_default_exchange(name: &ShortStr) -> Result<(), Fault> {
    if name.as_bytes().is_empty() {
        let text = "operation not permitted on the default exchange";
        return Err(Fault::channel(ReplyCode::AccessRefused, text));
    }
    Ok(())
}

/// 530: the connection's virtual host was deleted under it.
pub(crate) fn vhost_not_found(vhost: &ShortStr) -> Fault {
    Fault::connection(ReplyCode::NotAllowed, format!("vhost {vhost} not found"))
}
