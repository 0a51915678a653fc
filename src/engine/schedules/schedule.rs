//! What a schedule says: when, where to, and which message.

use super::catch_up::CatchUp;
use super::schedule_error::ScheduleError;
use super::timetable::Timetable;
use crate::limits::{SCHEDULE_MESSAGE_BYTES_MAX, SCHEDULE_NAME_BYTES_MAX};
use crate::model::{ObjectName, WallClock};
use crate::published_delay::delay;
use crate::published_properties::{check_delivery_mode, copies, expiration};
use bytes::Bytes;
use forebay_wire::{Properties, RawProperties, ShortStr};

/// The header with the name of the schedule.
pub(super) const NAME_HEADER: &str = "x-schedule";

/// The header with the due time, in ms since the epoch.
pub(super) const DUE_HEADER: &str = "x-due-at";

/// The header with the time at which an operator had the schedule run, in ms since the epoch.
pub(super) const RUN_HEADER: &str = "x-run-at";

/// Which schedule: its virtual host and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleKey {
    /// The virtual host.
    pub vhost: ShortStr,
    /// The name, unique in it.
    pub name: ShortStr,
}

/// A schedule as its author wrote it.
#[derive(Clone, Debug)]
pub struct ScheduleRequest<'a> {
    /// Its name, unique in the virtual host.
    pub name: &'a ShortStr,
    /// When: a cron expression, as [`Timetable::new`] reads it.
    pub cron: &'a str,
    /// By the wall clock of this time zone.
    pub time_zone: &'a str,
    /// The exchange to publish to; empty for the default exchange. It need not be there.
    pub exchange: &'a ObjectName,
    /// The routing key.
    pub routing_key: &'a ShortStr,
    /// The properties of the message. `message_id`, `timestamp`, `user_id` and the headers that say what the message
    /// is for are the schedule's own.
    pub properties: &'a Properties,
    /// The body of the message.
    pub body: Bytes,
    /// What of missed due times is made good.
    pub catch_up: CatchUp,
    /// Whether it stands still.
    pub is_paused: bool,
}

/// A schedule that was checked when it was set. Should a later version not know its zone or understand its
/// expression any more, it stays, stands still and says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(super) name: ShortStr,
    pub(super) cron: ShortStr,
    pub(super) time_zone: ShortStr,
    pub(super) exchange: ObjectName,
    pub(super) routing_key: ShortStr,
    pub(super) properties: RawProperties,
    pub(super) body: Bytes,
    pub(super) catch_up: CatchUp,
    pub(super) is_paused: bool,
}

impl Schedule {
    /// Checks a schedule. Its message is persistent unless its properties say otherwise.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what is allowed.
    pub fn new(request: ScheduleRequest<'_>) -> Result<Self, ScheduleError> {
        let length = request.name.len();
        if !(1..=SCHEDULE_NAME_BYTES_MAX).contains(&length) {
            let reason = format!("{length} bytes long, expected 1 to {SCHEDULE_NAME_BYTES_MAX}");
            return Err(ScheduleError::new("name", reason));
        }
        let text = |field, text: &str| {
            ShortStr::try_from(text).map_err(|_| {
                let reason = format!("{} bytes long, at most 255 are allowed", text.len());
                ScheduleError::new(field, reason)
            })
        };
        let (cron, time_zone) =
            (text("cron", request.cron)?, text("time_zone", request.time_zone)?);
        Timetable::new(request.cron, request.time_zone)?;
        let properties = checked_properties(request.properties)?;
        let size = properties.as_bytes().len() + request.body.len();
        if size > SCHEDULE_MESSAGE_BYTES_MAX {
            let reason = format!(
                "{size} bytes with the properties, at most {SCHEDULE_MESSAGE_BYTES_MAX} are allowed"
            );
            return Err(ScheduleError::new("payload", reason));
        }
        Ok(Self {
            name: request.name.detached(),
            cron,
            time_zone,
            exchange: request.exchange.detached(),
            routing_key: request.routing_key.detached(),
            properties,
            body: request.body,
            catch_up: request.catch_up,
            is_paused: request.is_paused,
        })
    }

    /// The same, standing still or not.
    #[must_use]
    pub fn paused(&self, is_paused: bool) -> Self {
        Self { is_paused, ..self.clone() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ShortStr {
        &self.name
    }

    /// When: the cron expression as it was written.
    #[must_use]
    pub fn cron(&self) -> &ShortStr {
        &self.cron
    }

    /// By the wall clock of this time zone.
    #[must_use]
    pub fn time_zone(&self) -> &ShortStr {
        &self.time_zone
    }

    /// The exchange that it publishes to; empty for the default exchange.
    #[must_use]
    pub fn exchange(&self) -> &ObjectName {
        &self.exchange
    }

    /// The routing key.
    #[must_use]
    pub fn routing_key(&self) -> &ShortStr {
        &self.routing_key
    }

    /// The properties, without what is the schedule's own.
    #[must_use]
    pub fn properties(&self) -> &RawProperties {
        &self.properties
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What of missed due times is made good.
    #[must_use]
    pub fn catch_up(&self) -> CatchUp {
        self.catch_up
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// When it is due. Read anew each time: it takes some kilobytes, and is needed once for each due time.
    ///
    /// # Errors
    /// When it was stored by another version, which could read it.
    pub fn timetable(&self) -> Result<Timetable, ScheduleError> {
        Timetable::new(&self.cron.to_string(), &self.time_zone.to_string())
    }

    /// Whether another one is due at the same times.
    #[must_use]
    pub(crate) fn is_due_as(&self, other: &Self) -> bool {
        (&self.cron, &self.time_zone) == (&other.cron, &other.time_zone)
    }
}

fn checked_properties(properties: &Properties) -> Result<RawProperties, ScheduleError> {
    let own = [
        ("message_id", properties.message_id.is_some()),
        ("timestamp", properties.timestamp.is_some()),
        ("user_id", properties.user_id.is_some()),
    ];
    let wrong = |reason: String| ScheduleError::new("properties", reason);
    if let Some((name, _)) = own.into_iter().find(|(_, is_set)| *is_set) {
        return Err(wrong(format!("{name} is given to each message by the broker, expected none")));
    }
    let headers = properties.headers.as_ref();
    let is_set = |name: &&str| headers.is_some_and(|headers| headers.get(*name).is_some());
    if let Some(name) = [NAME_HEADER, DUE_HEADER, RUN_HEADER].iter().find(|name| is_set(name)) {
        let text = format!("header '{name}' is given to each message by the broker, expected none");
        return Err(wrong(text));
    }
    let mut properties = properties.clone();
    properties.delivery_mode.get_or_insert(2);
    let encoded = properties.encode();
    // What a publish would be refused for is refused now, and not each time.
    let checked = check_delivery_mode(&encoded)
        .and_then(|()| expiration(&encoded))
        .and_then(|_| copies(&encoded))
        .and_then(|_| delay(&encoded, WallClock(0)));
    match checked {
        Ok(_) => Ok(encoded),
        Err(fault) => Err(wrong(fault.text)),
    }
}
