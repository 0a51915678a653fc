//! Which messages of a queue a command works on.

use clap::Args;
use serde_json::{Map, Value, json};

/// Conditions that a message meets; without any, every message does.
#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    /// Only those that died in this queue
    #[arg(long, value_name = "QUEUE")]
    from: Option<String>,
    /// Only those that died of this
    #[arg(long, value_parser = ["rejected", "expired", "maxlen", "delivery_limit"])]
    reason: Option<String>,
    /// Only those that had this routing key when they died
    #[arg(long, short = 'k', value_name = "KEY")]
    routing_key: Option<String>,
    /// Only those with this header
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Option<(String, String)>,
    /// Only the messages at these positions, as `peek` shows them; may be repeated
    #[arg(long, value_name = "PRIORITY:OFFSET", value_parser = position)]
    position: Vec<(u8, u64)>,
}

impl Filter {
    /// What was asked for, for a message that says that it is not there; `None` when all are.
    pub(super) fn text(&self) -> Option<String> {
        let option = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("--{name} {value}"))
        };
        let header = self.header.as_ref().map(|(name, value)| format!("--header {name}={value}"));
        let options = [
            option("from", &self.from),
            option("reason", &self.reason),
            option("routing-key", &self.routing_key),
            header,
        ];
        let positions =
            self.position.iter().map(|(priority, at)| format!("--position {priority}:{at}"));
        let all: Vec<_> = options.into_iter().flatten().chain(positions).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// The body of a first step.
    pub(super) fn body(&self) -> Map<String, Value> {
        let header = self.header.as_ref().map(|(name, value)| json!({ (name): value }));
        let mut body = Map::new();
        for (key, value) in [
            ("queue", self.from.as_ref().map(|queue| json!(queue))),
            ("reason", self.reason.as_ref().map(|reason| json!(reason))),
            ("routing_key", self.routing_key.as_ref().map(|key| json!(key))),
            ("header", header),
        ] {
            body.extend(value.map(|value| (key.to_owned(), value)));
        }
        if !self.position.is_empty() {
            let runs = self.position.iter().map(|(level, offset)| json!([level, offset, offset]));
            body.insert("runs".to_owned(), runs.collect());
        }
        body
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn position(text: &str) -> Result<(u8, u64), String> {
    let parse = |(level, offset): (&str, &str)| Some((level.parse().ok()?, offset.parse().ok()?));
    let position = text.split_once(':').and_then(parse);
    position.ok_or_else(|| "expected PRIORITY:OFFSET, as 0:17".to_owned())
}
