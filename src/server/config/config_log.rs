//! What is logged, and how, as people write it in settings.

use super::config_value::{Value, ValueError, ValueVisitor, read_everywhere};
use serde::{Deserialize, Deserializer};
use std::marker::PhantomData;
use std::str::FromStr;

read_everywhere!(LogFilter, LogFormat);

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

/// The levels by their names here and in RabbitMQ.
const LOG_LEVELS: [(&str, &str); 9] = [
    ("error", "error"),
    ("critical", "error"),
    ("warn", "warn"),
    ("warning", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
    ("off", "off"),
    ("none", "off"),
];

impl Value for LogFilter {
    const EXPECTED: &'static str = "error, warn, info, debug, trace or off, and behind it others for \
                                    parts of the program, as info,forebay_server=debug";

    fn from_text(text: &str) -> Option<Self> {
        let level = |name: &str| {
            let name = name.trim().to_ascii_lowercase();
            LOG_LEVELS.iter().find(|(there, _)| *there == name).map(|(_, level)| *level)
        };
        let directive = |directive: &str| match directive.split_once('=') {
            None => level(directive).map(str::to_owned),
            Some((part, name)) => {
                let part = part.trim();
                let is_word = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
                let is_part = !part.is_empty() && part.chars().all(is_word);
                is_part.then(|| level(name).map(|level| format!("{part}={level}")))?
            }
        };
        let directives = text.split(',').map(directive).collect::<Option<Vec<_>>>()?;
        Some(Self(directives.join(",")))
    }
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "text" | "plaintext" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
