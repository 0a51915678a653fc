//! The bindings of an `x-consistent-hash` exchange: every message goes to exactly one of them,
//! equal keys to the same one, in proportion to the weights that the binding keys give.
//!
//! Rendezvous hashing: a message's key gives every binding a score, and the highest wins. A new
//! binding takes its share evenly from all others, and one that goes leaves its share evenly to
//! them; no other key moves. No ring is kept, weights are exact, and a route costs one logarithm
//! for each binding.

use super::arguments::{Arguments, BadArgument};
use super::destinations::{Destinations, Endpoint};
use super::field_equality::shown;
use super::limits::HASH_WEIGHT_MAX;
use super::match_key::MatchKey;
use crate::model::Fault;
use forebay_wire::{FieldTable, FieldValue, ReplyCode, ShortStr};
use rpds::RedBlackTreeMapSync;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The argument that names the header to hash instead of the routing key.
pub(crate) const HASH_HEADER: &str = "hash-header";
/// The argument that names the property to hash.
pub(crate) const HASH_PROPERTY: &str = "hash-property";

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HashedBy {
    RoutingKey,
    Header(ShortStr),
}

/// All bindings of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct HashedBindings {
    by: HashedBy,
    members: RedBlackTreeMapSync<(MatchKey, Endpoint), Member>,
}

#[derive(Clone, Debug)]
struct Member {
    seed: u64,
    weight: f64,
    destinations: Destinations,
}

impl HashedBindings {
    /// What the exchange's arguments ask for.
    ///
    /// # Errors
    /// An argument of a wrong type, and `hash-property`, which we don't have.
    pub(crate) fn parse(arguments: Arguments<'_>) -> Result<Self, BadArgument> {
        if arguments.has(HASH_PROPERTY) {
            let allowed = "'hash-header' or none, which means the routing key";
            return Err(arguments.refused(HASH_PROPERTY, allowed));
        }
        let by =
            arguments.short_string(HASH_HEADER)?.map_or(HashedBy::RoutingKey, HashedBy::Header);
        Ok(Self { by, members: RedBlackTreeMapSync::new_sync() })
    }

    /// What is hashed.
    pub(crate) fn by(&self) -> &HashedBy {
        &self.by
    }

    /// Adds a binding whose routing key is its weight.
    ///
    /// # Errors
    /// 406 when the key is no weight.
    pub(crate) fn insert(&mut self, key: &MatchKey, endpoint: &Endpoint) -> Result<(), Fault> {
        let weight = key.routing_key.as_str().and_then(|weight| weight.parse::<u16>().ok());
        let Some(weight) = weight.filter(|weight| (1..=HASH_WEIGHT_MAX).contains(weight)) else {
            let text = format!(
                "invalid binding key '{}' for an exchange of type 'x-consistent-hash': expected a \
                 weight, an integer from 1 to {}",
                key.routing_key, HASH_WEIGHT_MAX
            );
            return Err(Fault::channel(ReplyCode::PreconditionFailed, text));
        };
        let mut destinations = Destinations::default();
        destinations.insert(endpoint);
        let member = Member { seed: seed(key, endpoint), weight: weight.into(), destinations };
        self.members.insert_mut((key.clone(), endpoint.clone()), member);
        Ok(())
    }

    /// Takes a binding out.
    pub(crate) fn remove(&mut self, key: &MatchKey, endpoint: &Endpoint) {
        self.members.remove_mut(&(key.clone(), endpoint.clone()));
    }

    /// The one place that a message goes to; nothing only when there are no bindings. A message
    /// without the header that is asked for goes where an empty one would.
    pub(crate) fn choose(
        &self,
        routing_key: &ShortStr,
        headers: &dyn Fn() -> Option<FieldTable>,
    ) -> Option<&Destinations> {
        let hash = match &self.by {
            HashedBy::RoutingKey => xxh3_64(routing_key.as_bytes()),
            HashedBy::Header(name) => {
                let headers = headers().unwrap_or_default();
                headers.get(name).map_or_else(|| xxh3_64(b""), hash_of)
            }
        };
        let scored = self.members.values().map(|member| (member.score(hash), member));
        let best = scored.max_by(|(left, _), (right, _)| left.total_cmp(right));
        best.map(|(_, member)| &member.destinations)
    }
}

impl Member {
    /// `weight / -ln(u)` for a `u` in 0..1 that is drawn from the message's and the binding's
    /// hash: the highest of several such scores is each one's in proportion to its weight.
    fn score(&self, hash: u64) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        let drawn = xxh3_64_with_seed(&hash.to_be_bytes(), self.seed) >> 11;
        // Never 0 nor 1, whose logarithms are none.
        let drawn = (drawn as f64 + 0.5) / STEPS;
        self.weight / -drawn.ln()
    }
}

fn seed(key: &MatchKey, endpoint: &Endpoint) -> u64 {
    let hash = match endpoint {
        Endpoint::Queue(queue) => xxh3_64(&queue.0.to_be_bytes()),
        Endpoint::Exchange(exchange) => xxh3_64(exchange.as_bytes()),
    };
    xxh3_64_with_seed(&key.arguments, hash)
}

/// Equal for values that mean the same, as far as a message is likely to carry them.
fn hash_of(value: &FieldValue) -> u64 {
    match value {
        FieldValue::LongStr(bytes) | FieldValue::ByteArray(bytes) => xxh3_64(bytes),
        _ => match value.as_integer() {
            Some(value) => xxh3_64(&value.to_be_bytes()),
            None => xxh3_64(shown(value).as_bytes()),
        },
    }
}
