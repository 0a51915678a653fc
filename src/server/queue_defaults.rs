//! The `[queues]` table of the configuration file: what holds for queues that don't say
//! themselves, by argument or policy.

use forebay_engine::shard::QueueDefaults;
use serde::Deserialize;

/// The table as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigQueues {
    /// Whose defaults the other keys change.
    #[serde(default)]
    pub defaults: DefaultsOf,
    /// Failed deliveries after which a message is given up; -1: none.
    pub delivery_limit: Option<i64>,
    /// Whether what is given up goes to `<queue>.dlq`.
    pub dead_letter_queues: Option<bool>,
    /// How long a consumer may hold a message, in ms; -1: for ever.
    pub consumer_timeout_ms: Option<i64>,
}

/// Whose defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultsOf {
    /// Ours.
    #[default]
    Forebay,
    /// RabbitMQ's.
    Rabbitmq,
}

/// A value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queues.{key}: {value}; expected {expected}")]
pub struct QueueDefaultsError {
    key: &'static str,
    value: i64,
    expected: &'static str,
}

impl ConfigQueues {
    /// What the table means.
    ///
    /// # Errors
    /// Names the key with a value that is not allowed.
    pub fn resolve(&self) -> Result<QueueDefaults, QueueDefaultsError> {
        let mut defaults = match self.defaults {
            DefaultsOf::Forebay => QueueDefaults::default(),
            DefaultsOf::Rabbitmq => QueueDefaults::rabbitmq(),
        };
        if let Some(limit) = self.delivery_limit {
            let limit = or_none("delivery_limit", limit, "a number of failures from 1, or -1")?;
            defaults.delivery_limit = limit;
            defaults.quorum_delivery_limit = limit;
        }
        if let Some(dead_letter_queues) = self.dead_letter_queues {
            defaults.dead_letter_queues = dead_letter_queues;
        }
        if let Some(timeout) = self.consumer_timeout_ms {
            let timeout = or_none("consumer_timeout_ms", timeout, "milliseconds from 1, or -1")?;
            defaults.consumer_timeout = timeout.map(u64::from);
        }
        Ok(defaults)
    }
}

/// A number from 1; -1 is none.
fn or_none(
    key: &'static str,
    value: i64,
    expected: &'static str,
) -> Result<Option<u32>, QueueDefaultsError> {
    match (value, u32::try_from(value)) {
        (-1, _) => Ok(None),
        (1.., Ok(value)) => Ok(Some(value)),
        _ => Err(QueueDefaultsError { key, value, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<QueueDefaults, String> {
        let queues: ConfigQueues = toml::from_str(text).map_err(|error| error.to_string())?;
        queues.resolve().map_err(|error| error.to_string())
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
        assert_eq!(text, "queues.delivery_limit: 0; expected a number of failures from 1, or -1");
        let text = resolve("consumer_timeout_ms = -2").unwrap_err();
        assert!(text.contains("consumer_timeout_ms: -2"), "{text}");
        assert!(resolve("defaults = \"kafka\"").unwrap_err().contains("`rabbitmq`"));
        assert!(resolve("limit = 1").unwrap_err().contains("delivery_limit"));
    }
}
