//! What is damaged or missing in a store, said so that an operator knows what is concerned.

use crate::error::StoreError;
use forebay_engine::model::{Level, Offset, QueueId};
use std::fmt;
use std::path::PathBuf;

/// What is damaged or missing, as exactly as can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The level it belongs to, when it belongs to one.
    pub level: Option<(QueueId, Level)>,
    /// The level's queue, when its record can be read.
    pub queue: Option<QueueName>,
    /// The offsets concerned: the first, and the one after the last when that is known.
    pub offsets: Option<(Offset, Option<Offset>)>,
    /// Messages that are missing, when that can be told: not settled, and nowhere to be found.
    pub messages: Option<u64>,
    /// How well that is known.
    pub certainty: Certainty,
    /// The file it was found in, from the data directory on.
    pub file: Option<PathBuf>,
    /// What was found, and what was expected.
    pub what: String,
}

/// How well it is known what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// So many messages, no more and no fewer.
    #[default]
    Exact,
    /// So many messages or fewer.
    AtMost,
    /// There may be more that nothing counts.
    Unknown,
}

/// What is missing in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Messages, as far as they are counted.
    pub messages: u64,
    /// How well that is known.
    pub certainty: Certainty,
}

impl Missing {
    /// By everything that was found.
    #[must_use]
    pub fn by(damages: &[Damage]) -> Self {
        Self {
            messages: damages.iter().filter_map(|damage| damage.messages).sum(),
            certainty: damages.iter().map(|damage| damage.certainty).max().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.messages == 1 { "message" } else { "messages" };
        match (self.certainty, self.messages) {
            (Certainty::Unknown, 0) => formatter.write_str("an unknown number of messages"),
            (Certainty::Unknown, counted) => {
                write!(formatter, "{counted} {noun} and an unknown number more")
            }
            (Certainty::AtMost, counted) if counted > 0 => {
                write!(formatter, "at most {counted} {noun}")
            }
            (_, counted) => write!(formatter, "{counted} {noun}"),
        }
    }
}

/// A queue as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueName {
    /// Its virtual host.
    pub vhost: String,
    /// Its name.
    pub name: String,
}

impl Damage {
    pub(crate) fn of_level(
        queue: QueueId,
        level: Level,
        offsets: Option<(Offset, Option<Offset>)>,
        what: impl Into<String>,
    ) -> StoreError {
        let level = Some((queue, level));
        Self { level, offsets, what: what.into(), ..Self::default() }.into()
    }

    /// Messages that no page holds and nothing settles.
    pub(crate) fn missing(queue: QueueId, level: Level, first: Offset, end: Offset) -> Self {
        Self {
            level: Some((queue, level)),
            offsets: Some((first, Some(end))),
            messages: Some(end.0.saturating_sub(first.0)),
            what: "missing: they are not settled, but no page holds them".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn elsewhere(what: impl Into<String>) -> StoreError {
        Self { what: what.into(), ..Self::default() }.into()
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some((id, level)) = self.level {
            match &self.queue {
                Some(QueueName { vhost, name }) => {
                    write!(formatter, "queue '{name}' in vhost '{vhost}'")?;
                }
                None => write!(formatter, "queue id {id}")?,
            }
            if level != Level(0) {
                write!(formatter, ", level {level}")?;
            }
            separator = ", ";
        }
        if let Some(file) = &self.file {
            write!(formatter, "{separator}file {}", file.display())?;
            separator = ", ";
        }
        match self.offsets {
            Some((first, Some(end))) => {
                write!(formatter, "{separator}offsets {first} to below {end}")?;
                separator = ", ";
            }
            Some((first, None)) => {
                write!(formatter, "{separator}offsets from {first}")?;
                separator = ", ";
            }
            None => {}
        }
        match self.messages {
            Some(messages) => {
                let missing = Missing { messages, certainty: self.certainty };
                write!(formatter, "{separator}{missing}")?;
            }
            None if separator.is_empty() => {}
            None => return write!(formatter, ": {}", self.what),
        }
        if self.messages.is_some() {
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_is_known() {
        let mut damage = Damage::missing(QueueId(7), Level(0), Offset(5), Offset(9));
        damage.what = "gone".to_owned();
        assert_eq!(damage.to_string(), "queue id 7, offsets 5 to below 9, 4 messages: gone");
        damage.queue = Some(QueueName { vhost: "/".to_owned(), name: "orders".to_owned() });
        damage.level = Some((QueueId(7), Level(2)));
        damage.messages = None;
        let text = "queue 'orders' in vhost '/', level 2, offsets 5 to below 9: gone";
        assert_eq!(damage.to_string(), text);
        let damage = Damage {
            file: Some("fjall/0.jnl".into()),
            what: "gone".to_owned(),
            ..Damage::default()
        };
        assert_eq!(damage.to_string(), "file fjall/0.jnl: gone");
        let damage = Damage { what: "gone".to_owned(), ..Damage::default() };
        assert_eq!(damage.to_string(), "gone");
    }

    #[test]
    fn what_is_not_known_is_never_said_to_be_nothing() {
        let damage = |messages, certainty| Damage { messages, certainty, ..Damage::default() };
        let said = |damages: &[Damage]| Missing::by(damages).to_string();
        assert_eq!(said(&[]), "0 messages");
        let one = damage(Some(1), Certainty::Exact);
        assert_eq!(said(&[one.clone(), damage(None, Certainty::Exact)]), "1 message");
        let most = damage(Some(4), Certainty::AtMost);
        assert_eq!(said(&[one.clone(), most]), "at most 5 messages");
        let unknown = damage(None, Certainty::Unknown);
        assert_eq!(said(std::slice::from_ref(&unknown)), "an unknown number of messages");
        assert_eq!(said(&[unknown, one]), "1 message and an unknown number more");
    }
}
