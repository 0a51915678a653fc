//! What an exchange shall be like, for [`crate::Connection::declare_exchange`].

use forebay_wire::{FieldTable, FieldValue, ShortStr};

use crate::{Error, name::Name};

/// Type, durability and arguments of an exchange, for [`crate::Connection::declare_exchange`].
#[derive(Clone, Debug)]
pub struct ExchangeOptions {
    pub(crate) kind: ShortStr,
    pub(crate) is_durable: bool,
    pub(crate) is_auto_delete: bool,
    pub(crate) is_internal: bool,
    pub(crate) arguments: FieldTable,
}

impl ExchangeOptions {
    /// An exchange of the named type, durable: `direct`, `fanout`, `topic`, `headers`, or what the broker knows
    /// beyond these.
    ///
    /// # Errors
    /// [`Error::NameTooLong`].
    pub fn of_kind(kind: impl Name) -> Result<Self, Error> {
        kind.into_short_str("exchange type").map(Self::new)
    }

    const fn new(kind: ShortStr) -> Self {
        let arguments = FieldTable::new();
        Self { kind, is_durable: true, is_auto_delete: false, is_internal: false, arguments }
    }

    /// Routes by equal routing keys; durable.
    pub const fn direct() -> Self {
        Self::new(ShortStr::from_static("direct"))
    }

    /// Routes to every binding; durable.
    pub const fn fanout() -> Self {
        Self::new(ShortStr::from_static("fanout"))
    }

    /// Routes by patterns of routing keys (`eu.*`, `#.failed`); durable.
    pub const fn topic() -> Self {
        Self::new(ShortStr::from_static("topic"))
    }

    /// Routes by headers; durable.
    pub const fn headers() -> Self {
        Self::new(ShortStr::from_static("headers"))
    }

    /// The exchange is gone when the broker restarts.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.is_durable = false;
        self
    }

    /// The exchange is gone when its last binding goes.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.is_auto_delete = true;
        self
    }

    /// Clients can't publish to it; only other exchanges route to it.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.is_internal = true;
        self
    }

    /// An argument of the declaration, for example `alternate-exchange`; one of the same name is replaced.
    ///
    /// # Panics
    /// When the name passes 255 bytes. Names that the program does not write itself go through
    /// [`ExchangeOptions::arguments`].
    #[must_use]
    pub fn argument(mut self, name: &'static str, value: impl Into<FieldValue>) -> Self {
        self.arguments.insert(ShortStr::from_static(name), value);
        self
    }

    /// Many arguments, as read from somewhere else; replaces those set before.
    #[must_use]
    pub fn arguments(mut self, arguments: FieldTable) -> Self {
        self.arguments = arguments;
        self
    }
}
