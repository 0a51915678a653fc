//! The bindings of a headers exchange (AMQP 0-9-1, 3.1.3.4, and RabbitMQ's `*-with-x`).
//!
//! Every message is held against every pattern, as there is nothing to look up by.

use super::destinations::{Destinations, Endpoint};
use super::field_equality::{same_header, shown, type_name};
use super::match_key::MatchKey;
use crate::model::Fault;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

/// All patterns of one exchange, by the key and the canonical arguments of their bindings.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderPatterns {
    patterns: RedBlackTreeMapSync<MatchKey, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Arc<HeaderPattern>,
    destinations: Destinations,
}

/// What `x-match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Any,
}

/// The arguments of one binding, ready to be matched.
#[derive(Clone, Debug)]
pub(crate) struct HeaderPattern {
    wanted: Wanted,
    /// What a message must have; nothing for a value: only that the header is there.
    pairs: Vec<(ShortStr, Option<FieldValue>)>,
}

impl HeaderPattern {
    /// Reads the arguments of a binding.
    ///
    /// # Errors
    /// 406 when `x-match` is none of the four that there are.
    pub(crate) fn parse(arguments: &FieldTable) -> Result<Self, Fault> {
        let (wanted, with_x) = match arguments.get("x-match") {
            None => (Wanted::All, false),
            Some(FieldValue::LongStr(value)) => match value.as_ref() {
                b"all" => (Wanted::All, false),
                b"any" => (Wanted::Any, false),
                b"all-with-x" => (Wanted::All, true),
                b"any-with-x" => (Wanted::Any, true),
                _ => return Err(invalid_match(arguments.get("x-match"))),
            },
            other => return Err(invalid_match(other)),
        };
        let pairs = arguments
            .iter()
            .filter(|(name, _)| {
                name != "x-match" && (with_x || !name.as_bytes().starts_with(b"x-"))
            })
            .map(|(name, value)| {
                (name.clone(), Some(value.clone()).filter(|value| *value != FieldValue::Void))
            })
            .collect();
        Ok(Self { wanted, pairs })
    }

    fn matches(&self, headers: &SortedHeaders<'_>) -> bool {
        let mut found = self.pairs.iter().map(|(name, wanted)| match headers.get(name) {
            None => false,
            Some(there) => wanted.as_ref().is_none_or(|wanted| same_header(wanted, there)),
        });
        match self.wanted {
            Wanted::All => found.all(|found| found),
            Wanted::Any => found.any(|found| found),
        }
    }
}

fn invalid_match(value: Option<&FieldValue>) -> Fault {
    let value = value.unwrap_or(&FieldValue::Void);
    let text = if matches!(value, FieldValue::LongStr(_)) {
        format!(
            "Invalid x-match field value '{}'; expected all, any, all-with-x, or any-with-x",
            shown(value)
        )
    } else {
        let kind = type_name(value);
        format!("Invalid x-match field type {kind} (value {}); expected longstr", shown(value))
    };
    Fault::channel(ReplyCode::PreconditionFailed, text)
}

impl HeaderPatterns {
    /// Adds a binding.
    pub(crate) fn insert(&mut self, key: MatchKey, pattern: HeaderPattern, endpoint: &Endpoint) {
        if let Some(entry) = self.patterns.get_mut(&key) {
            entry.destinations.insert(endpoint);
            return;
        }
        let mut destinations = Destinations::default();
        destinations.insert(endpoint);
        self.patterns.insert_mut(key, Entry { pattern: Arc::new(pattern), destinations });
    }

    /// Takes a binding out.
    pub(crate) fn remove(&mut self, key: &MatchKey, endpoint: &Endpoint) {
        let Some(entry) = self.patterns.get_mut(key) else { return };
        entry.destinations.remove(endpoint);
        if entry.destinations.is_empty() {
            self.patterns.remove_mut(key);
        }
    }

    /// Calls `visit` with the destinations of every pattern that the headers match.
    pub(crate) fn visit<'a>(
        &'a self,
        headers: &FieldTable,
        mut visit: impl FnMut(&'a Destinations),
    ) {
        let headers = SortedHeaders::new(headers);
        for (_, entry) in self.patterns.iter() {
            if entry.pattern.matches(&headers) {
                visit(&entry.destinations);
            }
        }
    }
}

/// A message's headers, sorted once so that every pattern finds its names fast.
struct SortedHeaders<'a>(Vec<&'a (ShortStr, FieldValue)>);

impl<'a> SortedHeaders<'a> {
    fn new(table: &'a FieldTable) -> Self {
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by(|left, right| left.0.cmp(&right.0));
        Self(pairs)
    }

    fn get(&self, name: &ShortStr) -> Option<&'a FieldValue> {
        let at = self.0.partition_point(|(there, _)| there < name);
        self.0.get(at).filter(|(there, _)| there == name).map(|(_, value)| value)
    }
}
