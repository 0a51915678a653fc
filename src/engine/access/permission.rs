//! One permission: three patterns, and what they are held against.

use crate::model::{NamePattern, NamePatternError, ObjectName};
use crate::topology::names::Resource;
use forebay_wire::ShortStr;
use std::fmt;

/// The default exchange has no name; permissions are held against this one.
static DEFAULT_EXCHANGE: ObjectName = ObjectName::from_static("amq.default");

/// A kind of access to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Declare or delete it.
    Configure,
    /// Publish to an exchange; bind a queue or exchange to where messages come from.
    Write,
    /// Consume from or purge a queue; bind to an exchange.
    Read,
}

impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

/// The object of an access, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// An exchange; empty for the default exchange.
    Exchange(&'a ObjectName),
    /// A queue.
    Queue(&'a ObjectName),
}

impl<'a> Object<'a> {
    /// The name that patterns are held against.
    pub(super) fn checked_name(self) -> &'a ObjectName {
        match self {
            Self::Exchange(name) if name.is_empty() => &DEFAULT_EXCHANGE,
            Self::Exchange(name) | Self::Queue(name) => name,
        }
    }

    pub(super) fn resource(self, vhost: &'a ShortStr) -> Resource<'a> {
        match self {
            Self::Exchange(_) => Resource::exchange(self.checked_name(), vhost),
            Self::Queue(name) => Resource::queue(name, vhost),
        }
    }
}

/// What a user may do in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    configure: Option<NamePattern>,
    write: Option<NamePattern>,
    read: Option<NamePattern>,
}

impl Permission {
    /// From the three patterns; an empty one allows nothing, `.*` everything.
    ///
    /// # Errors
    /// When one is no regular expression.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, NamePatternError> {
        let pattern = |text: &str| match text {
            "" => Ok(None),
            text => NamePattern::new(text).map(Some),
        };
        Ok(Self { configure: pattern(configure)?, write: pattern(write)?, read: pattern(read)? })
    }

    /// The pattern for this access; `None` allows no name.
    #[must_use]
    pub fn pattern(&self, access: Access) -> Option<&NamePattern> {
        match access {
            Access::Configure => self.configure.as_ref(),
            Access::Write => self.write.as_ref(),
            Access::Read => self.read.as_ref(),
        }
    }

    /// The pattern for this access as it was given.
    #[must_use]
    pub fn text(&self, access: Access) -> &str {
        self.pattern(access).map_or("", NamePattern::as_str)
    }
}
