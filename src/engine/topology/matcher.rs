//! How each exchange type finds the destinations of a message: one value per exchange of a
//! [`super::routes::Routes`] snapshot, changed by the topology, read by the routes.

use super::arguments::{Arguments, BadArgument};
use super::consistent_hash::{HashedBindings, HashedBy};
use super::delayed_type::delayed_type;
use super::destinations::{Destinations, Endpoint};
use super::exchange_kind::ExchangeKind;
use super::headers::{HeaderPattern, HeaderPatterns};
use super::match_key::MatchKey;
use super::persistent::Map;
use super::topic::TopicTrie;
use crate::model::Fault;
use forebay_wire::{FieldTable, ShortStr};

/// The bindings of one exchange in the form that its type matches by.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Direct(Map<ShortStr, Destinations>),
    Fanout(Destinations),
    Topic(TopicTrie),
    Headers(HeaderPatterns),
    ConsistentHash(HashedBindings),
}

/// Which bindings with the same ends the matcher cannot tell apart: it holds one entry for all of
/// them, which goes with the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granularity {
    /// All that have the same ends.
    Ends,
    /// All that have the same ends and routing key.
    RoutingKey,
    /// None.
    Binding,
}

impl Matcher {
    /// No bindings yet.
    ///
    /// # Errors
    /// When the exchange's arguments are not what its type understands.
    pub(crate) fn new(kind: ExchangeKind, arguments: Arguments<'_>) -> Result<Self, BadArgument> {
        Ok(match kind {
            ExchangeKind::Direct => Self::Direct(Map::default()),
            ExchangeKind::Fanout => Self::Fanout(Destinations::default()),
            ExchangeKind::Topic => Self::Topic(TopicTrie::default()),
            ExchangeKind::Headers => Self::Headers(HeaderPatterns::default()),
            ExchangeKind::ConsistentHash => Self::ConsistentHash(HashedBindings::parse(arguments)?),
            ExchangeKind::Delayed => Self::new(delayed_type(arguments)?, arguments)?,
        })
    }

    /// What it tells apart.
    pub(crate) fn granularity(&self) -> Granularity {
        match self {
            Self::Fanout(_) => Granularity::Ends,
            Self::Direct(_) | Self::Topic(_) => Granularity::RoutingKey,
            Self::Headers(_) | Self::ConsistentHash(_) => Granularity::Binding,
        }
    }

    /// Whether messages with equal routing keys may go different ways.
    pub(crate) fn asks_for_headers(&self) -> bool {
        match self {
            Self::Headers(_) => true,
            Self::ConsistentHash(bindings) => *bindings.by() != HashedBy::RoutingKey,
            Self::Direct(_) | Self::Fanout(_) | Self::Topic(_) => false,
        }
    }

    /// Adds a binding; again: no change.
    ///
    /// # Errors
    /// 406 when the arguments are not what the type understands. Nothing has changed then.
    pub(crate) fn insert(
        &mut self,
        key: &MatchKey,
        arguments: &FieldTable,
        endpoint: &Endpoint,
    ) -> Result<(), Fault> {
        match self {
            Self::Direct(bindings) => insert_direct(bindings, &key.routing_key, endpoint),
            Self::Fanout(destinations) => destinations.insert(endpoint),
            Self::Topic(trie) => trie.insert(&key.routing_key, endpoint),
            Self::Headers(patterns) => {
                patterns.insert(key.clone(), HeaderPattern::parse(arguments)?, endpoint);
            }
            Self::ConsistentHash(bindings) => bindings.insert(key, endpoint)?,
        }
        Ok(())
    }

    /// Takes out the entry of a binding, as told apart by [`Self::granularity`].
    pub(crate) fn remove(&mut self, key: &MatchKey, endpoint: &Endpoint) {
        match self {
            Self::Direct(bindings) => {
                let Some(destinations) = bindings.get_mut(key.routing_key.as_bytes()) else {
                    return;
                };
                destinations.remove(endpoint);
                if destinations.is_empty() {
                    bindings.remove_mut(key.routing_key.as_bytes());
                }
            }
            Self::Fanout(destinations) => destinations.remove(endpoint),
            Self::Topic(trie) => trie.remove(&key.routing_key, endpoint),
            Self::Headers(patterns) => patterns.remove(key, endpoint),
            Self::ConsistentHash(bindings) => bindings.remove(key, endpoint),
        }
    }

    /// Calls `visit` with everything that a message matches, by any of its routing keys.
    pub(crate) fn visit<'a>(
        &'a self,
        routing_keys: &[ShortStr],
        headers: &dyn Fn() -> Option<FieldTable>,
        mut visit: impl FnMut(&'a Destinations),
    ) {
        match self {
            Self::Direct(bindings) => {
                routing_keys.iter().filter_map(|key| bindings.get(key.as_bytes())).for_each(visit);
            }
            Self::Fanout(destinations) => visit(destinations),
            Self::Topic(trie) => {
                for key in routing_keys {
                    trie.visit(key.as_bytes(), &mut visit);
                }
            }
            Self::Headers(patterns) => patterns.visit(&headers().unwrap_or_default(), visit),
            Self::ConsistentHash(bindings) => {
                let chosen = routing_keys.iter().map(|key| bindings.choose(key, headers));
                chosen.flatten().for_each(visit);
            }
        }
    }
}

fn insert_direct(bindings: &mut Map<ShortStr, Destinations>, key: &ShortStr, endpoint: &Endpoint) {
    if let Some(destinations) = bindings.get_mut(key.as_bytes()) {
        destinations.insert(endpoint);
        return;
    }
    let mut destinations = Destinations::default();
    destinations.insert(endpoint);
    bindings.insert_mut(key.clone(), destinations);
}
