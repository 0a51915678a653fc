//! The `[queues]` table of the configuration file: what holds for queues that don't say
//! themselves, by argument or policy.

use crate::config::config_time::Milliseconds;
use crate::config::config_value::{DeliveryLimit, Flag};
use forebay_engine::shard::QueueDefaults;
use serde::Deserialize;
use std::str::FromStr;

/// The table as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of what holds for queues")]
pub struct ConfigQueues {
    /// Whose defaults the other keys change.
    pub defaults: Option<DefaultsOf>,
    /// Failed deliveries after which a message is given up.
    pub delivery_limit: Option<DeliveryLimit>,
    /// Whether what is given up goes to `<queue>.dlq`.
    pub dead_letter_queues: Option<Flag>,
    /// How long a consumer may hold a message.
    pub consumer_timeout_ms: Option<Milliseconds>,
}

/// Whose defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DefaultsOf {
    /// Ours.
    #[default]
    Forebay,
    /// RabbitMQ's.
    Rabbitmq,
}

impl FromStr for DefaultsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forebay" => Ok(Self::Forebay),
            "rabbitmq" => Ok(Self::Rabbitmq),
            other => Err(format!("{other:?} can't be used here; expected forebay or rabbitmq")),
        }
    }
}

impl TryFrom<String> for DefaultsOf {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl ConfigQueues {
    /// What this says, and what `below` says where this says nothing.
    #[must_use]
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            defaults: self.defaults.or(below.defaults),
            delivery_limit: self.delivery_limit.or(below.delivery_limit),
            dead_letter_queues: self.dead_letter_queues.or(below.dead_letter_queues),
            consumer_timeout_ms: self.consumer_timeout_ms.or(below.consumer_timeout_ms),
        }
    }

    /// What the table means.
    #[must_use]
    pub fn resolve(&self) -> QueueDefaults {
        let mut defaults = match self.defaults.unwrap_or_default() {
            DefaultsOf::Forebay => QueueDefaults::default(),
            DefaultsOf::Rabbitmq => QueueDefaults::rabbitmq(),
        };
        if let Some(DeliveryLimit(limit)) = self.delivery_limit {
            defaults.delivery_limit = limit;
            defaults.quorum_delivery_limit = limit;
        }
        if let Some(Flag(dead_letter_queues)) = self.dead_letter_queues {
            defaults.dead_letter_queues = dead_letter_queues;
        }
        if let Some(Milliseconds(timeout)) = self.consumer_timeout_ms {
            defaults.consumer_timeout = timeout.map(u64::from);
        }
        defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<QueueDefaults, String> {
        let queues: ConfigQueues = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(queues.resolve())
    }

    #[test]
    fn nothing_said_is_a_limit_and_a_dead_letter_queue() {
        let defaults = resolve("").unwrap();
        assert_eq!(defaults, QueueDefaults::default());
        assert_eq!((defaults.delivery_limit, defaults.dead_letter_queues), (Some(3), true));
        assert_eq!(defaults.consumer_timeout, Some(1_800_000));
    }

    #[test]
    fn rabbitmqs_defaults_are_one_word_and_can_be_changed() {
        let defaults = resolve("defaults = \"rabbitmq\"").unwrap();
        assert_eq!((defaults.delivery_limit, defaults.dead_letter_queues), (None, false));
        assert_eq!(defaults.quorum_delivery_limit, Some(20));
        let defaults = resolve("defaults = \"rabbitmq\"\ndelivery_limit = 5").unwrap();
        assert_eq!((defaults.delivery_limit, defaults.quorum_delivery_limit), (Some(5), Some(5)));
    }

    #[test]
    fn each_key_counts_and_minus_one_is_none() {
        let text = "delivery_limit = -1\ndead_letter_queues = false\nconsumer_timeout_ms = -1";
        let defaults = resolve(text).unwrap();
        assert_eq!((defaults.delivery_limit, defaults.quorum_delivery_limit), (None, None));
        assert_eq!((defaults.dead_letter_queues, defaults.consumer_timeout), (false, None));
        let defaults = resolve("consumer_timeout_ms = 60000").unwrap();
        assert_eq!(defaults.consumer_timeout, Some(60_000));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let text = resolve("delivery_limit = 0").unwrap_err();
        assert!(text.contains("delivery_limit = 0") && text.contains("failures from 1"), "{text}");
        let text = resolve("consumer_timeout_ms = -2").unwrap_err();
        assert!(text.contains("consumer_timeout_ms = -2") && text.contains("-1 for"), "{text}");
        assert!(resolve("defaults = \"kafka\"").unwrap_err().contains("forebay or rabbitmq"));
        assert!(resolve("limit = 1").unwrap_err().contains("delivery_limit"));
    }
}
