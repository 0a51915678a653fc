//! What is damaged or missing in a store, said so that an operator knows what is concerned.

use crate::error::StoreError;
use forebay_engine::ids::{Lane, Offset, QueueId};
use std::fmt;
use std::path::PathBuf;

/// What is damaged or missing, as exactly as can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The lane it belongs to, when it belongs to one.
    pub lane: Option<(QueueId, Lane)>,
    /// The lane's queue, when its record can be read.
    pub queue: Option<QueueName>,
    /// The offsets concerned: the first, and the one after the last when that is known.
    pub offsets: Option<(Offset, Option<Offset>)>,
    /// Messages that are missing, when that can be told: not settled, and nowhere to be found.
    pub messages: Option<u64>,
    /// The file it was found in, from the data directory on.
    pub file: Option<PathBuf>,
    /// What was found, and what was expected.
    pub what: String,
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
    pub(crate) fn of_lane(
        queue: QueueId,
        lane: Lane,
        offsets: Option<(Offset, Option<Offset>)>,
        what: impl Into<String>,
    ) -> StoreError {
        let lane = Some((queue, lane));
        Self { lane, offsets, what: what.into(), ..Self::default() }.into()
    }

    /// Messages that no page holds and nothing settles.
    pub(crate) fn missing(queue: QueueId, lane: Lane, first: Offset, end: Offset) -> Self {
        Self {
            lane: Some((queue, lane)),
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
        if let Some((id, lane)) = self.lane {
            match &self.queue {
                Some(QueueName { vhost, name }) => {
                    write!(formatter, "queue '{name}' in vhost '{vhost}'")?;
                }
                None => write!(formatter, "queue id {id}")?,
            }
            if lane != Lane(0) {
                write!(formatter, ", lane {lane}")?;
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
            Some(1) => write!(formatter, "{separator}1 message")?,
            Some(messages) => write!(formatter, "{separator}{messages} messages")?,
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
        let mut damage = Damage::missing(QueueId(7), Lane(0), Offset(5), Offset(9));
        damage.what = "gone".to_owned();
        assert_eq!(damage.to_string(), "queue id 7, offsets 5 to below 9, 4 messages: gone");
        damage.queue = Some(QueueName { vhost: "/".to_owned(), name: "orders".to_owned() });
        damage.lane = Some((QueueId(7), Lane(2)));
        damage.messages = None;
        let text = "queue 'orders' in vhost '/', lane 2, offsets 5 to below 9: gone";
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
}
