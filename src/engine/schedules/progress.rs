//! How far a schedule has come, as a record of the store: it stands in the same commit as the message, so that
//! a crash leaves both or neither.
//!
//! ```text
//! key    't' vhost:short name:short
//! value  version:u8 handled_to:u64 last_due:u64 fired_at:u64 outcome:u8 queues:u32
//!        fired:u64 missed:u64 failed:u64 runs:u64
//!
//! short: length:u8 bytes; times in ms since the epoch, NO_TIME: none; outcome: 0 none yet, 1 delivered,
//! 2 no route, 3 no exchange, 4 internal exchange, 5 refused; integers big endian
//! ```

use super::schedule::ScheduleKey;
use crate::model::WallClock;
use crate::operation::Operation;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay_wire::ShortStr;

const VERSION: u8 = 1;
const KIND: u8 = b't';
const NO_TIME: u64 = u64::MAX;

/// What became of a message that a schedule published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiringOutcome {
    /// So many queues have it.
    Delivered {
        /// At least one.
        queues: u32,
    },
    /// The exchange led to no queue.
    NoRoute,
    /// There was no such exchange.
    NoExchange,
    /// Clients can't publish to the exchange, and neither can schedules.
    InternalExchange,
    /// A queue refused it, for its length (`x-overflow`) or because it is set aside; or the message could not be
    /// made.
    Refused,
}

/// The last message that a schedule published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFiring {
    /// When.
    pub at: WallClock,
    /// What became of it.
    pub outcome: FiringOutcome,
}

/// How far a schedule has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleProgress {
    /// Every due time until then is dealt with, or was before the schedule began.
    pub handled_to: WallClock,
    /// The due time of the last message that was published for one.
    pub last_due: Option<WallClock>,
    /// The last message, for a due time or because an operator asked for it.
    pub last: Option<LastFiring>,
    /// Messages that reached their queues.
    pub fired: u64,
    /// Due times without a message.
    pub missed: u64,
    /// Messages that a queue refused or that reached none.
    pub failed: u64,
    /// Messages that an operator asked for.
    pub runs: u64,
}

/// A record of a schedule's progress that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record of the progress of a schedule {key}: {flaw}")]
pub struct ScheduleRecordError {
    /// The record's key, escaped for people.
    pub key: String,
    /// What is wrong with it.
    pub flaw: String,
}

impl FiringOutcome {
    /// The name as users see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::NoRoute => "no-route",
            Self::NoExchange => "no-exchange",
            Self::InternalExchange => "internal-exchange",
            Self::Refused => "refused",
        }
    }

    /// The queues that have the message; 0 when it did not reach any.
    #[must_use]
    pub const fn queues(self) -> u32 {
        match self {
            Self::Delivered { queues } => queues,
            _ => 0,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Delivered { .. } => 1,
            Self::NoRoute => 2,
            Self::NoExchange => 3,
            Self::InternalExchange => 4,
            Self::Refused => 5,
        }
    }

    fn from_number(number: u8, queues: u32) -> Option<Self> {
        let others = [Self::NoRoute, Self::NoExchange, Self::InternalExchange, Self::Refused];
        std::iter::once(Self::Delivered { queues })
            .chain(others)
            .find(|outcome| outcome.number() == number)
    }
}

impl ScheduleProgress {
    /// Of a schedule that begins now.
    pub(crate) fn from_now(now: WallClock) -> Self {
        Self { handled_to: now, ..Self::default() }
    }

    /// A message was published.
    pub(crate) fn note(&mut self, at: WallClock, outcome: FiringOutcome) {
        self.last = Some(LastFiring { at, outcome });
        match outcome {
            FiringOutcome::Delivered { .. } => self.fired += 1,
            _ => self.failed += 1,
        }
    }

    pub(crate) fn put(&self, key: &ScheduleKey) -> Operation {
        let time = |time: Option<WallClock>| time.map_or(NO_TIME, |time| time.0);
        let outcome = self.last.map(|last| last.outcome);
        let mut value = BytesMut::from_iter([VERSION]);
        value.put_u64(self.handled_to.0);
        value.put_u64(time(self.last_due));
        value.put_u64(time(self.last.map(|last| last.at)));
        value.put_u8(outcome.map_or(0, FiringOutcome::number));
        value.put_u32(outcome.map_or(0, FiringOutcome::queues));
        for count in [self.fired, self.missed, self.failed, self.runs] {
            value.put_u64(count);
        }
        Operation::PutRecord { key: record_key(key), value: value.freeze() }
    }

    pub(crate) fn remove(key: &ScheduleKey) -> Operation {
        Operation::RemoveRecord { key: record_key(key) }
    }

    fn read(mut value: &[u8]) -> Result<Self, String> {
        let damaged = |_| "damaged".to_owned();
        match value.try_get_u8().map_err(damaged)? {
            VERSION => {}
            found => {
                return Err(format!(
                    "has version {found}, expected {VERSION}: written by a newer version"
                ));
            }
        }
        let mut time = || -> Result<Option<WallClock>, String> {
            let time = value.try_get_u64().map_err(damaged)?;
            Ok((time != NO_TIME).then_some(WallClock(time)))
        };
        let (handled_to, last_due, fired_at) = (time()?, time()?, time()?);
        let number = value.try_get_u8().map_err(damaged)?;
        let queues = value.try_get_u32().map_err(damaged)?;
        let outcome = FiringOutcome::from_number(number, queues);
        let last = fired_at.zip(outcome).map(|(at, outcome)| LastFiring { at, outcome });
        let mut count = || value.try_get_u64().map_err(damaged);
        let (fired, missed, failed, runs) = (count()?, count()?, count()?, count()?);
        if value.has_remaining() || (number != 0) != last.is_some() {
            return Err("damaged".to_owned());
        }
        let handled_to = handled_to.unwrap_or_default();
        Ok(Self { handled_to, last_due, last, fired, missed, failed, runs })
    }
}

/// Whether a record of the store is one of these.
pub(crate) fn is_progress_record(key: &[u8]) -> bool {
    key.first() == Some(&KIND)
}

/// The progress that the store tells of, of schedules that are there or are gone.
///
/// # Errors
/// Names the first record that is damaged, or newer than this program.
pub(crate) fn recover_progress(
    records: &[(Bytes, Bytes)],
) -> Result<Vec<(ScheduleKey, ScheduleProgress)>, ScheduleRecordError> {
    let ours = records.iter().filter(|(key, _)| is_progress_record(key));
    let read = ours.map(|(key, value)| {
        let named = read_key(key).ok_or_else(|| "damaged".to_owned());
        let read = named.and_then(|named| Ok((named, ScheduleProgress::read(value)?)));
        read.map_err(|flaw| ScheduleRecordError { key: key.escape_ascii().to_string(), flaw })
    });
    read.collect()
}

fn record_key(key: &ScheduleKey) -> Bytes {
    let mut bytes = BytesMut::from_iter([KIND]);
    for name in [&key.vhost, &key.name] {
        bytes.put_u8(name.len() as u8);
        bytes.put_slice(name.as_bytes());
    }
    bytes.freeze()
}

fn read_key(key: &Bytes) -> Option<ScheduleKey> {
    let mut rest = key.get(1..)?;
    let mut name = || {
        let length = usize::from(rest.try_get_u8().ok()?);
        let (name, behind) = rest.split_at_checked(length)?;
        rest = behind;
        ShortStr::try_from(Bytes::copy_from_slice(name)).ok()
    };
    let (vhost, name) = (name()?, name()?);
    rest.is_empty().then_some(ScheduleKey { vhost, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcomes() -> impl Strategy<Value = FiringOutcome> {
        prop_oneof![
            (1..9_u32).prop_map(|queues| FiringOutcome::Delivered { queues }),
            Just(FiringOutcome::NoRoute),
            Just(FiringOutcome::NoExchange),
            Just(FiringOutcome::InternalExchange),
            Just(FiringOutcome::Refused),
        ]
    }

    prop_compose! {
        fn progress()(
            handled_to in 0..1_u64 << 50,
            last_due in proptest::option::of(0..1_u64 << 50),
            last in proptest::option::of((0..1_u64 << 50, outcomes())),
            (fired, missed, failed, runs) in any::<(u64, u64, u64, u64)>(),
        ) -> ScheduleProgress {
            let last = last.map(|(at, outcome)| LastFiring { at: WallClock(at), outcome });
            let last_due = last_due.map(WallClock);
            let handled_to = WallClock(handled_to);
            ScheduleProgress { handled_to, last_due, last, fired, missed, failed, runs }
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            vhost in "[a-z/]{1,255}",
            name in "[a-z]{1,200}",
            progress in progress(),
        ) {
            let short = |text: &str| ShortStr::try_from(text).unwrap();
            let key = ScheduleKey { vhost: short(&vhost), name: short(&name) };
            let Operation::PutRecord { key: record, value } = progress.put(&key) else { panic!() };
            prop_assert_eq!(recover_progress(&[(record, value)]), Ok(vec![(key, progress)]));
        }

        #[test]
        fn no_record_makes_reading_panic(key: Vec<u8>, value: Vec<u8>) {
            let key: Vec<u8> = std::iter::once(KIND).chain(key).collect();
            let _ = recover_progress(&[(key.into(), value.into())]);
        }
    }
}
