//! The name of an exchange or queue, in the one form that permissions, policies, look-ups and
//! records use: without carriage returns and line feeds, which RabbitMQ leaves out of every name.
//!
//! It is made where a name is read (from a method, a path, a file of definitions or an argument), so
//! that what is checked is what is acted on.

use bytes::Bytes;
use forebay_wire::{ShortStr, ShortStrTooLong};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// A name without line breaks. A clone copies nothing.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(ShortStr);

impl ObjectName {
    /// The empty name: the default exchange, or a queue whose name is to be chosen.
    pub const EMPTY: Self = Self(ShortStr::EMPTY);

    /// A name that the program itself chose.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(ShortStr::from_static(name))
    }

    /// The name as a record of the store has it. Version 0.1 could store line breaks in the names
    /// of imported queues; such a queue keeps its name, otherwise its bindings would not find it.
    pub(crate) const fn stored(name: ShortStr) -> Self {
        Self(name)
    }

    /// A copy with memory of its own: see [`ShortStr::detached`].
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// The name as text of the protocol.
    #[must_use]
    pub fn into_short(self) -> ShortStr {
        self.0
    }
}

impl From<ShortStr> for ObjectName {
    /// Copies only a name that has line breaks.
    fn from(name: ShortStr) -> Self {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if !name.as_bytes().iter().any(is_break) {
            return Self(name);
        }
        let kept: Bytes = name.as_bytes().iter().copied().filter(|byte| !is_break(byte)).collect();
        Self(ShortStr::try_from(kept).unwrap_or_default())
    }
}

impl From<&ShortStr> for ObjectName {
    fn from(name: &ShortStr) -> Self {
        Self::from(name.clone())
    }
}

impl TryFrom<&str> for ObjectName {
    type Error = ShortStrTooLong;

    fn try_from(name: &str) -> Result<Self, ShortStrTooLong> {
        ShortStr::try_from(name).map(Self::from)
    }
}

impl Deref for ObjectName {
    type Target = ShortStr;

    fn deref(&self) -> &ShortStr {
        &self.0
    }
}

impl Borrow<ShortStr> for ObjectName {
    fn borrow(&self) -> &ShortStr {
        &self.0
    }
}

impl Borrow<[u8]> for ObjectName {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq<ShortStr> for ObjectName {
    fn eq(&self, other: &ShortStr) -> bool {
        self.0 == *other
    }
}

impl PartialEq<str> for ObjectName {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for ObjectName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_left_out_and_nothing_else_is() {
        let name = |text: &str| ObjectName::try_from(text).unwrap();
        assert_eq!(name("\rpay\r\nroll\n"), "payroll");
        assert_eq!(name("\r\n"), ObjectName::EMPTY);
        assert_eq!(name("pay roll\t\0"), "pay roll\t\0");
    }
}
