//! Who the broker says it is, to clients and tools that branch on it: a name and a version that
//! belong together.

use std::fmt;

/// The cluster's name, as clients and the HTTP API see it. The cluster is this one broker.
pub const CLUSTER_NAME: &str = "forebay";

/// What is said when nothing else is configured.
const NAME_DEFAULT: &str = "Forebay";

/// The name that tools know, and the version whose protocol and HTTP API we speak: of a RabbitMQ of
/// version 0.1 clients would expect the habits of 2007.
const RABBITMQ: &str = "RabbitMQ";
const RABBITMQ_VERSION: &str = "3.13.0";

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// `product`.
    pub name: String,
    /// `version`: dotted numbers, which clients parse.
    pub version: String,
}

impl Default for Product {
    fn default() -> Self {
        Self { name: NAME_DEFAULT.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl Product {
    /// `NAME`, or `NAME VERSION`; nothing when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let starts_with_digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
        let (name, version) = match text.trim().rsplit_once(' ') {
            Some((name, version)) if starts_with_digit(version) => (name.trim(), Some(version)),
            _ => (text.trim(), None),
        };
        if name.is_empty() || starts_with_digit(name) {
            return None;
        }
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let version = match version {
            Some(version) if version.split('.').all(is_number) => version,
            Some(_) => return None,
            None if name == RABBITMQ => RABBITMQ_VERSION,
            None => env!("CARGO_PKG_VERSION"),
        };
        Some(Self { name: name.to_owned(), version: version.to_owned() })
    }
}

impl Product {
    /// RabbitMQ's version, which tools compare before they use the HTTP API, definitions or metrics: the
    /// configured version when the name is RabbitMQ, otherwise the version whose API this broker speaks.
    #[must_use]
    pub fn rabbitmq_version(&self) -> &str {
        if self.name == RABBITMQ { &self.version } else { RABBITMQ_VERSION }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_brings_a_version_that_fits_it() {
        let ours = env!("CARGO_PKG_VERSION");
        for (text, name, version) in [
            ("Forebay", "Forebay", ours),
            ("RabbitMQ", "RabbitMQ", "3.13.0"),
            ("RabbitMQ 3.10.8", "RabbitMQ", "3.10.8"),
            ("Our Broker", "Our Broker", ours),
            ("Our Broker 7", "Our Broker", "7"),
        ] {
            let expected = Product { name: name.to_owned(), version: version.to_owned() };
            assert_eq!(Product::parse(text), Some(expected), "{text}");
        }
        for (text, spoken) in [
            ("Forebay", "3.13.0"),
            ("Our Broker 7", "3.13.0"),
            ("RabbitMQ", "3.13.0"),
            ("RabbitMQ 3.10.8", "3.10.8"),
        ] {
            assert_eq!(Product::parse(text).unwrap().rabbitmq_version(), spoken, "{text}");
        }
        for text in
            ["", " ", "3.13.0", "RabbitMQ 3.x", "RabbitMQ 3..1", "RabbitMQ 3.", " 3.1", "7 8"]
        {
            assert_eq!(Product::parse(text), None, "{text}");
        }
    }
}
