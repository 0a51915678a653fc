//! A message as one JSON object: what `consume --format ndjson` prints and `publish --ndjson` reads.

use super::field_json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay_client::{FieldTable, Incoming, Properties, ShortStr};
use serde_json::{Map, Value, json};

/// A body and its properties with where the message came from.
pub(crate) fn of(message: &Incoming) -> Value {
    let (body, encoding) = match message.text() {
        Some(text) => (text.to_owned(), "string"),
        None => (STANDARD.encode(message.body()), "base64"),
    };
    let mut object = Map::new();
    object.insert("body".to_owned(), body.into());
    object.insert("body_encoding".to_owned(), encoding.into());
    object.insert("exchange".to_owned(), message.exchange().to_string().into());
    object.insert("routing_key".to_owned(), message.routing_key().to_string().into());
    object.insert("redelivered".to_owned(), message.is_redelivered().into());
    object.extend(of_properties(message.properties(), &message.headers()));
    Value::Object(object)
}

/// Properties as members of an object; those that a message has not are null.
pub(crate) fn of_properties(properties: Properties, headers: &FieldTable) -> Map<String, Value> {
    let short = |value: Option<ShortStr>| value.map(|value| value.to_string());
    let members = json!({
        "content_type": short(properties.content_type),
        "content_encoding": short(properties.content_encoding),
        "app_id": short(properties.app_id),
        "user_id": short(properties.user_id),
        "message_id": short(properties.message_id),
        "correlation_id": short(properties.correlation_id),
        "reply_to": short(properties.reply_to),
        "type": short(properties.kind),
        "priority": properties.priority,
        "delivery_mode": properties.delivery_mode,
        "expiration": short(properties.expiration),
        "timestamp": properties.timestamp,
        "headers": field_json::object(headers),
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The members of such an object.
const MEMBERS: [&str; 18] = [
    "body",
    "body_encoding",
    "exchange",
    "routing_key",
    "redelivered",
    "content_type",
    "content_encoding",
    "app_id",
    "user_id",
    "message_id",
    "correlation_id",
    "reply_to",
    "type",
    "priority",
    "delivery_mode",
    "expiration",
    "timestamp",
    "headers",
];

/// What a line of NDJSON says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct MessageLine {
    pub(crate) exchange: Option<String>,
    pub(crate) routing_key: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Properties,
}

impl MessageLine {
    /// Members that are null count as left out. `redelivered` says nothing of a message to be published.
    ///
    /// # Errors
    /// Names the member, and what is allowed.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let members: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| format!("{error}; expected one JSON object"))?;
        if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(format!(
                "`{name}` is no member of a message, those are {}",
                MEMBERS.join(", ")
            ));
        }
        let members = Members(members);
        let body = members.text("body")?.ok_or("body: missing, expected a text")?;
        let body = match members.text("body_encoding")? {
            None | Some("string") => body.as_bytes().to_vec(),
            Some("base64") => {
                STANDARD.decode(body).map_err(|error| format!("body: no base64: {error}"))?
            }
            Some(other) => {
                return Err(format!("body_encoding: `{other}`, expected string or base64"));
            }
        };
        let headers = match members.get("headers") {
            None => None,
            Some(Value::Object(headers)) if headers.is_empty() => None,
            Some(Value::Object(headers)) => {
                Some(field_json::table(headers).map_err(|reason| format!("headers: {reason}"))?)
            }
            Some(_) => return Err("headers: expected an object".to_owned()),
        };
        Ok(Self {
            exchange: members.text("exchange")?.map(str::to_owned),
            routing_key: members.text("routing_key")?.map(str::to_owned),
            body,
            properties: Properties {
                content_type: members.short("content_type")?,
                content_encoding: members.short("content_encoding")?,
                headers,
                delivery_mode: members.byte("delivery_mode")?,
                priority: members.byte("priority")?,
                correlation_id: members.short("correlation_id")?,
                reply_to: members.short("reply_to")?,
                expiration: members.short("expiration")?,
                message_id: members.short("message_id")?,
                timestamp: members.number("timestamp")?,
                kind: members.short("type")?,
                user_id: members.short("user_id")?,
                app_id: members.short("app_id")?,
                ..Properties::default()
            },
        })
    }
}

struct Members(Map<String, Value>);

impl Members {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let text = |value: &'_ Value| value.as_str().map(str::len);
        match self.get(name) {
            Some(value) if text(value).is_none() => Err(format!("{name}: expected a text")),
            value => Ok(value.and_then(Value::as_str)),
        }
    }

    fn short(&self, name: &str) -> Result<Option<ShortStr>, String> {
        let text = self.text(name)?;
        text.map(|text| ShortStr::try_from(text).map_err(|error| format!("{name}: {error}")))
            .transpose()
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let number = |value: &Value| {
            value.as_u64().ok_or_else(|| {
                format!("{name}: expected a number, 0 at least and without a fraction")
            })
        };
        self.get(name).map(number).transpose()
    }

    fn byte(&self, name: &str) -> Result<Option<u8>, String> {
        let number = self.number(name)?;
        number
            .map(|number| {
                u8::try_from(number).map_err(|_| format!("{name}: {number}, expected 255 at most"))
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(line: &str) -> String {
        MessageLine::parse(line.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_in_a_line_is_named() {
        for (line, expected) in [
            ("", "one JSON object"),
            ("[]", "one JSON object"),
            ("{}", "body: missing"),
            (r#"{"body": 1}"#, "body: expected a text"),
            (r#"{"body": "", "bdoy": 1}"#, "`bdoy` is no member"),
            (r#"{"body": "%", "body_encoding": "base64"}"#, "no base64"),
            (r#"{"body": "", "body_encoding": "hex"}"#, "expected string or base64"),
            (r#"{"body": "", "priority": 256}"#, "priority: 256"),
            (r#"{"body": "", "timestamp": -1}"#, "timestamp: expected a number"),
            (r#"{"body": "", "headers": []}"#, "headers: expected an object"),
        ] {
            assert!(reason(line).contains(expected), "{line}: {}", reason(line));
        }
        assert!(
            reason(&format!(r#"{{"body": "", "type": "{}"}}"#, "x".repeat(256)))
                .starts_with("type: ")
        );
    }

    #[test]
    fn a_line_is_a_message() {
        let line = r#"{"body": "//4=", "body_encoding": "base64", "exchange": "events", "routing_key": "a.b",
            "redelivered": true, "priority": 3, "headers": {"n": 1}, "type": "t", "app_id": null}"#;
        let line = MessageLine::parse(line.as_bytes()).unwrap();
        assert_eq!(line.body, [255, 254]);
        assert_eq!(
            (line.exchange.as_deref(), line.routing_key.as_deref()),
            (Some("events"), Some("a.b"))
        );
        assert_eq!((line.properties.priority, line.properties.app_id), (Some(3), None));
        assert_eq!(
            line.properties.headers.unwrap().get("n").and_then(|it| it.as_integer()),
            Some(1)
        );
    }

    proptest! {
        #[test]
        fn no_line_can_do_harm(line in ".{0,200}") {
            let _ = MessageLine::parse(line.as_bytes());
        }
    }
}
