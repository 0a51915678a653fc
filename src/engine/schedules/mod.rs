//! A recurring schedule of a virtual host: what it says, when it is due, the message that it publishes, and
//! how far it has come. Values and pure functions of time: the shard publishes, and says what time it is.

mod catch_up;
mod due_times;
mod progress;
mod schedule;
mod schedule_error;
mod schedule_record;
mod scheduled_message;
mod timetable;

pub use catch_up::CatchUp;
pub(crate) use due_times::DueTimes;
pub use progress::{FiringOutcome, LastFiring, ScheduleProgress, ScheduleRecordError};
pub(crate) use progress::{is_progress_record, recover_progress};
pub use schedule::{Schedule, ScheduleKey, ScheduleRequest};
pub use schedule_error::ScheduleError;
pub(crate) use schedule_record::{KIND_SCHEDULE, put_schedule, read_schedule, remove_schedule};
pub(crate) use scheduled_message::{Firing, ScheduledMessage};
pub use timetable::Timetable;
