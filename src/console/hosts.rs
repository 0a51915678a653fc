//! The names that a browser may call the broker by.
//!
//! A page from elsewhere can let its own name lead to this machine (DNS rebinding) and would then be of
//! the same origin as the broker's page. It can't do so with an address, nor with a name that is not
//! its own: these are let in, and the names that the configuration lists.

use std::net::IpAddr;

/// The names that are let in beside addresses and `localhost`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// Lets in these names.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let lower = |name: N| name.into().trim_end_matches('.').to_ascii_lowercase();
        Self { names: names.into_iter().map(lower).collect() }
    }

    /// Whether a `Host` header names this broker.
    #[must_use]
    pub fn lets_in(&self, host: &str) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(&name).parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
    }
}

/// The port of a `Host` header, when it names one.
#[must_use]
pub fn port(host: &str) -> Option<u16> {
    host.get(without_port(host).len()..)?.strip_prefix(':')?.parse().ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Colons within brackets are of an address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_let_in() {
        let hosts = Hosts::default();
        for host in [
            "127.0.0.1",
            "127.0.0.1:15672",
            "10.1.2.3:80",
            "[::1]:15672",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:15672",
            "mq.localhost:1",
        ] {
            assert!(hosts.lets_in(host), "{host}");
        }
    }

    #[test]
    fn other_names_are_let_in_when_they_are_listed() {
        let hosts = Hosts::new(["mq.example.com", "Broker"]);
        for host in ["mq.example.com", "MQ.example.com.:15672", "broker:15672"] {
            assert!(hosts.lets_in(host), "{host}");
        }
        for host in [
            "",
            ":15672",
            "evil.example",
            "evil.example:15672",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "mq.example.com.evil.example",
            "mq.example.com@evil.example",
            "[::1",
            "[mq.example.com]",
        ] {
            assert!(!hosts.lets_in(host), "{host}");
        }
    }

    #[test]
    fn the_port_stands_behind_the_last_colon() {
        assert_eq!(port("127.0.0.1:15672"), Some(15672));
        assert_eq!(port("[::1]:15672"), Some(15672));
        assert_eq!(port("[::1]"), None);
        assert_eq!(port("mq"), None);
    }
}
