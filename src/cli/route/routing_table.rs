//! Routing worked out from what RabbitMQ's listener says of exchanges and bindings.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The exchanges and bindings of one virtual host.
pub(super) struct RoutingTable<'a> {
    exchanges: BTreeMap<&'a str, Exchange<'a>>,
    bindings: BTreeMap<&'a str, Vec<Binding<'a>>>,
    /// By exchange, from policies.
    alternates: BTreeMap<String, String>,
}

struct Exchange<'a> {
    kind: &'a str,
    arguments: Option<&'a Map<String, Value>>,
}

struct Binding<'a> {
    destination: &'a str,
    is_to_queue: bool,
    routing_key: &'a str,
    arguments: Option<&'a Map<String, Value>>,
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn arguments(value: &Value) -> Option<&Map<String, Value>> {
    value.get("arguments").and_then(Value::as_object)
}

impl<'a> RoutingTable<'a> {
    pub(super) fn new(
        exchanges: &'a [Value],
        bindings: &'a [Value],
        alternates: BTreeMap<String, String>,
    ) -> Self {
        let exchange = |value| {
            (
                text(value, "name"),
                Exchange { kind: text(value, "type"), arguments: arguments(value) },
            )
        };
        let mut by_source: BTreeMap<&str, Vec<Binding<'_>>> = BTreeMap::new();
        for value in bindings {
            let binding = Binding {
                destination: text(value, "destination"),
                is_to_queue: text(value, "destination_type") == "queue",
                routing_key: text(value, "routing_key"),
                arguments: arguments(value),
            };
            by_source.entry(text(value, "source")).or_default().push(binding);
        }
        Self {
            exchanges: exchanges.iter().map(exchange).collect(),
            bindings: by_source,
            alternates,
        }
    }

    /// The queues that a message with this key and these headers goes to, by name.
    ///
    /// # Errors
    /// When it comes to an exchange of a type whose rules are not known here.
    pub(super) fn route(
        &self,
        exchange: &str,
        key: &str,
        headers: &Map<String, Value>,
    ) -> Result<Vec<String>, String> {
        let mut queues = BTreeSet::new();
        // An exchange that a message comes to twice passes it on once.
        let (mut seen, mut open) = (BTreeSet::new(), vec![exchange.to_owned()]);
        while let Some(name) = open.pop() {
            // A binding or an argument may name an exchange that is gone.
            let Some(exchange) = self.exchanges.get(name.as_str()) else { continue };
            if !seen.insert(name.clone()) {
                continue;
            }
            let mut is_passed_on = false;
            for binding in self.bindings.get(name.as_str()).into_iter().flatten() {
                if !exchange.matches(&name, binding, key, headers)? {
                    continue;
                }
                is_passed_on = true;
                match binding.is_to_queue {
                    true => {
                        queues.insert(binding.destination.to_owned());
                    }
                    false => open.push(binding.destination.to_owned()),
                }
            }
            if !is_passed_on {
                open.extend(self.alternate(&name, exchange));
            }
        }
        Ok(queues.into_iter().collect())
    }

    /// Where an exchange sends what it passes on to nobody.
    fn alternate(&self, name: &str, exchange: &Exchange<'_>) -> Option<String> {
        let own = exchange.arguments.and_then(|it| it.get("alternate-exchange")?.as_str());
        own.map(str::to_owned).or_else(|| self.alternates.get(name).cloned())
    }
}

impl Exchange<'_> {
    fn matches(
        &self,
        name: &str,
        binding: &Binding<'_>,
        key: &str,
        headers: &Map<String, Value>,
    ) -> Result<bool, String> {
        // A delayed message is routed when its time has come.
        let delayed = self.arguments.and_then(|it| it.get("x-delayed-type")?.as_str());
        let kind = match self.kind {
            "x-delayed-message" => delayed.unwrap_or_default(),
            kind => kind,
        };
        match kind {
            "direct" => Ok(binding.routing_key == key),
            "fanout" => Ok(true),
            "topic" => Ok(is_topic_match(binding.routing_key, key)),
            "headers" => Ok(are_headers_matched(binding.arguments, headers)),
            kind => Err(format!(
                "where exchange `{name}` of type `{kind}` sends a message can't be told from its bindings, and the broker \
                 has no call that tells it"
            )),
        }
    }
}

/// `*` stands for one word, `#` for any number of words.
fn is_topic_match(pattern: &str, key: &str) -> bool {
    let words: Vec<&str> = key.split('.').collect();
    // Numbers of words of the key that the pattern so far can stand for.
    let mut reached = vec![false; words.len() + 1];
    let none_in_key = key.is_empty();
    let words = if none_in_key { &[][..] } else { &words[..] };
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let parts = pattern.split('.').filter(|_| !pattern.is_empty());
    for part in parts {
        let mut next = vec![false; reached.len()];
        for (at, is_reached) in reached.iter().enumerate().filter(|(_, is_reached)| **is_reached) {
            debug_assert!(is_reached);
            if part == "#" {
                next.iter_mut().skip(at).for_each(|it| *it = true);
            } else if words.get(at).is_some_and(|word| part == "*" || part == *word)
                && let Some(it) = next.get_mut(at + 1)
            {
                *it = true;
            }
        }
        reached = next;
    }
    reached.get(words.len()).copied().unwrap_or(false)
}

/// As the argument `x-match` says: all of the binding's arguments (the default) or any. Those that begin with `x-` count
/// only where its name ends in `-with-x`. One without a value asks for the header alone.
fn are_headers_matched(
    arguments: Option<&Map<String, Value>>,
    headers: &Map<String, Value>,
) -> bool {
    let none = Map::new();
    let arguments = arguments.unwrap_or(&none);
    let rule = arguments.get("x-match").and_then(Value::as_str).unwrap_or("all");
    let counts =
        |name: &str| name != "x-match" && (rule.ends_with("-with-x") || !name.starts_with("x-"));
    let mut wanted = arguments.iter().filter(|(name, _)| counts(name));
    let is_there = |(name, value): (&String, &Value)| {
        headers.get(name).is_some_and(|header| value.is_null() || header == value)
    };
    if rule.starts_with("any") { wanted.any(is_there) } else { wanted.all(is_there) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn binding(source: &str, destination: &str, key: &str, arguments: Value) -> Value {
        let (kind, name) = destination.split_once(':').unwrap();
        json!({
            "source": source, "destination": name, "destination_type": kind, "routing_key": key,
            "arguments": arguments,
        })
    }

    fn route(exchange: &str, key: &str, headers: Value) -> Result<Vec<String>, String> {
        let exchanges = [
            json!({ "name": "", "type": "direct" }),
            json!({ "name": "events", "type": "topic", "arguments": { "alternate-exchange": "rest" } }),
            json!({ "name": "rest", "type": "fanout" }),
            json!({ "name": "notices", "type": "headers" }),
            json!({ "name": "shares", "type": "x-consistent-hash" }),
            json!({ "name": "later", "type": "x-delayed-message", "arguments": { "x-delayed-type": "direct" } }),
            json!({ "name": "by-policy", "type": "direct" }),
        ];
        let bindings = [
            binding("", "queue:orders", "orders", json!({})),
            binding("events", "queue:orders", "order.*", json!({})),
            binding("events", "exchange:rest", "order.placed", json!({})),
            binding("events", "exchange:events", "#.loop", json!({})),
            binding("events", "exchange:gone", "gone", json!({})),
            binding("rest", "queue:audit", "", json!({})),
            binding("notices", "queue:mails", "", json!({ "kind": "mail", "x-ours": 1 })),
            binding(
                "notices",
                "queue:any",
                "",
                json!({ "x-match": "any", "kind": "mail", "urgent": true }),
            ),
            binding("shares", "queue:one", "10", json!({})),
            binding("later", "queue:orders", "orders", json!({})),
        ];
        let alternates = BTreeMap::from([("by-policy".to_owned(), "rest".to_owned())]);
        let headers = headers.as_object().cloned().unwrap_or_default();
        RoutingTable::new(&exchanges, &bindings, alternates).route(exchange, key, &headers)
    }

    #[test]
    fn a_message_goes_where_bindings_lead() {
        let to =
            |exchange: &str, key: &str, headers| route(exchange, key, headers).unwrap().join(" ");
        assert_eq!(to("", "orders", json!({})), "orders");
        assert_eq!(to("events", "order.placed", json!({})), "audit orders");
        assert_eq!(to("events", "order.paid", json!({})), "orders");
        assert_eq!(to("events", "payment", json!({})), "audit", "the alternate exchange");
        assert_eq!(to("events", "a.loop", json!({})), "", "it comes back to where it was");
        assert_eq!(to("events", "gone", json!({})), "");
        assert_eq!(to("notices", "", json!({ "kind": "mail" })), "any mails");
        assert_eq!(to("notices", "", json!({ "urgent": true })), "any");
        assert_eq!(to("notices", "", json!({ "kind": "sms" })), "");
        assert_eq!(to("later", "orders", json!({})), "orders");
        assert_eq!(to("by-policy", "x", json!({})), "audit");
        assert_eq!(to("nowhere", "x", json!({})), "");
    }

    #[test]
    fn what_bindings_do_not_tell_is_said() {
        let unknown = route("shares", "x", json!({})).unwrap_err();
        assert!(unknown.contains("`shares`") && unknown.contains("x-consistent-hash"), "{unknown}");
    }

    /// As the standard says it, without a thought for time.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => (0..=key.len()).any(|from| naive(rest, &key[from..])),
            ([part, rest @ ..], [word, words @ ..]) => {
                (*part == "*" || part == word) && naive(rest, words)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn topics_match_as_the_standard_says(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..6),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..6),
        ) {
            prop_assert_eq!(is_topic_match(&pattern.join("."), &key.join(".")), naive(&pattern, &key));
        }
    }
}
