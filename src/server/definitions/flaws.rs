//! What is wrong in a file of definitions: all of it, so that a file is mended once.

use super::node::Node;
use crate::limits::DEFINITION_FLAWS_SHOWN_MAX;
use forebay_engine::definition::DefinitionError;
use serde_json::Value;
use std::fmt;

/// Why a file is refused. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionFlaws(Vec<DefinitionError>);

impl DefinitionFlaws {
    /// Nothing when there are none.
    #[must_use]
    pub fn of(flaws: Vec<DefinitionError>) -> Option<Self> {
        (!flaws.is_empty()).then_some(Self(flaws))
    }

    /// Each, with its path in the file.
    #[must_use]
    pub fn all(&self) -> &[DefinitionError] {
        &self.0
    }
}

impl From<DefinitionError> for DefinitionFlaws {
    fn from(flaw: DefinitionError) -> Self {
        Self(vec![flaw])
    }
}

impl fmt::Display for DefinitionFlaws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, flaw) in self.0.iter().take(DEFINITION_FLAWS_SHOWN_MAX).enumerate() {
            let between = if at == 0 { "" } else { "\n" };
            write!(formatter, "{between}{flaw}")?;
        }
        match self.0.len().saturating_sub(DEFINITION_FLAWS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(formatter, "\nand {more} more"),
        }
    }
}

impl std::error::Error for DefinitionFlaws {}

/// One object that can't be taken.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It makes no sense.
    Wrong(DefinitionError),
    /// It makes sense to RabbitMQ, and there is no such thing here.
    Unsupported {
        /// As if it were wrong.
        error: DefinitionError,
        /// What it is, for people.
        thing: String,
    },
}

impl Flaw {
    /// Says which object it is, where that has a name: a long file is not searched by counting.
    pub(super) fn of(mut self, node: &Node<'_>) -> Self {
        let (Self::Wrong(error) | Self::Unsupported { error, .. }) = &mut self;
        let text = |key| node.get(key).and_then(Value::as_str);
        if let Some(name) = text("name").or_else(|| text("user")) {
            let vhost =
                text("vhost").map(|vhost| format!(" in vhost '{vhost}'")).unwrap_or_default();
            error.reason.push_str(&format!(" (of '{name}'{vhost})"));
        }
        self
    }
}

impl From<DefinitionError> for Flaw {
    fn from(error: DefinitionError) -> Self {
        Self::Wrong(error)
    }
}
