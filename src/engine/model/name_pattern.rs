//! Regular expressions over names, as permissions and policies use them.
//!
//! RabbitMQ's are Perl's, and look-ahead (`^(?!amq\.)`) is common in them, so that a plain
//! automaton does not do. The price, backtracking, is bounded: a pattern that takes too many steps
//! on a name does not match it.

use crate::limits::{PATTERN_BACKTRACKS_MAX, PATTERN_COMPILED_SIZE_MAX, PATTERN_LENGTH_MAX};
use fancy_regex::{Regex, RegexBuilder};
use forebay_wire::ShortStr;
use std::fmt;
use std::sync::Arc;

const _: () = assert!(PATTERN_LENGTH_MAX <= u16::MAX as usize, "records keep it in 16 bits");

/// A regular expression that matches anywhere in a name, unless it is anchored.
#[derive(Clone)]
pub struct NamePattern(Arc<Regex>);

/// The text is no pattern that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamePatternError {
    /// No regular expression, or one that is too large when compiled.
    #[error("'{pattern}' is no regular expression: {reason}")]
    Syntax {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too long.
    #[error("the pattern has {found} bytes, at most {PATTERN_LENGTH_MAX} are allowed")]
    Length {
        /// Its bytes.
        found: usize,
    },
}

impl NamePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is no regular expression, or longer than [`PATTERN_LENGTH_MAX`].
    pub fn new(pattern: &str) -> Result<Self, NamePatternError> {
        if pattern.len() > PATTERN_LENGTH_MAX {
            return Err(NamePatternError::Length { found: pattern.len() });
        }
        RegexBuilder::new(pattern)
            .backtrack_limit(PATTERN_BACKTRACKS_MAX)
            .delegate_size_limit(PATTERN_COMPILED_SIZE_MAX)
            .build()
            .map(|regex| Self(Arc::new(regex)))
            .map_err(|error| NamePatternError::Syntax {
                pattern: pattern.to_owned(),
                reason: error.to_string(),
            })
    }

    /// Whether the name matches. Bytes that are no UTF-8 count as U+FFFD.
    #[must_use]
    pub fn matches(&self, name: &ShortStr) -> bool {
        let name = String::from_utf8_lossy(name.as_bytes());
        self.0.is_match(&*name).unwrap_or(false)
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for NamePattern {}

impl fmt::Debug for NamePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NamePattern::new(pattern).unwrap().matches(&ShortStr::try_from(name).unwrap())
    }

    #[test]
    fn a_pattern_matches_anywhere_unless_anchored() {
        assert!(matches("", "anything"));
        assert!(matches("der", "orders"));
        assert!(!matches("^der", "orders"));
        assert!(matches("^(?!amq\\.).*", "orders"));
        assert!(!matches("^(?!amq\\.).*", "amq.direct"));
        assert!(matches("^(a|b)\\1$", "aa"));
        assert!(!matches("^$", "x"));
        assert!(matches("^$", ""));
    }

    #[test]
    fn a_name_that_is_no_text_is_matched_all_the_same() {
        let name = ShortStr::try_from(&b"q\xff"[..]).unwrap();
        assert!(NamePattern::new("^q.$").unwrap().matches(&name));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        let error = NamePattern::new("(").unwrap_err();
        assert!(error.to_string().starts_with("'(' is no regular expression: "), "{error}");
        let error = NamePattern::new(&"a".repeat(PATTERN_LENGTH_MAX + 1)).unwrap_err();
        assert_eq!(error, NamePatternError::Length { found: 4097 });
        NamePattern::new("((((a{99}){99}){99}){99})").unwrap_err();
    }

    #[test]
    fn a_pattern_that_never_ends_does_not_match() {
        assert!(!matches("^(a|aa)+(?!a)\\1$", &"a".repeat(255)));
    }
}
