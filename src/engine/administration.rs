//! What an operator changes while the broker runs: virtual hosts, users, permissions, policies,
//! schedules, and whole files of definitions. Asked through [`crate::command::Command::Administer`] and
//! answered when durable, like every other change. Who may ask is the caller's to check.

use crate::access::{Limit, Permission, User};
use crate::definition::Definition;
use crate::schedules::{Schedule, ScheduleKey};
use crate::topology::{Pause, Policy, PolicyOwner, VhostUpdate};
use forebay_wire::ShortStr;

/// One change. Replied with `Done` unless it says otherwise, or with the fault that refuses it; nothing has changed then.
#[derive(Clone, Debug)]
pub enum Administration {
    /// Makes a virtual host, or changes what is said of one.
    PutVhost {
        /// Its name.
        name: ShortStr,
        /// What is to be said of it.
        update: VhostUpdate,
    },
    /// Deletes a virtual host with all that is in it. 404 when it is not there.
    DeleteVhost {
        /// Its name.
        name: ShortStr,
    },
    /// Makes the first user, with every permission in every virtual host that is there, or decides
    /// that there is none to be made. Either counts once: it is no request of an operator.
    DecideFirstUser(Option<(ShortStr, User)>),
    /// Adds a user, or replaces one.
    PutUser {
        /// Its name.
        name: ShortStr,
        /// Password and tags.
        user: User,
    },
    /// Deletes a user with its permissions. 404 when it is not there.
    DeleteUser {
        /// Its name.
        name: ShortStr,
    },
    /// Says what a user may do in a virtual host. 404 when the virtual host is not there.
    Grant {
        /// The user, which need not be there.
        user: ShortStr,
        /// The virtual host.
        vhost: ShortStr,
        /// What it may do.
        permission: Permission,
    },
    /// Takes a permission away. 404 when there was none.
    Revoke {
        /// The user.
        user: ShortStr,
        /// The virtual host.
        vhost: ShortStr,
    },
    /// Limits something of a virtual host or user, or no longer. 404 when the virtual host is not
    /// there.
    SetLimit {
        /// What.
        limit: Limit,
        /// The virtual host, or the user, which need not be there.
        owner: ShortStr,
        /// How many there may be.
        most: Option<u64>,
    },
    /// Adds a policy, or replaces one. 404 when the virtual host is not there.
    SetPolicy {
        /// The virtual host.
        vhost: ShortStr,
        /// The policy.
        policy: Box<Policy>,
    },
    /// Removes a policy. 404 when it was not there.
    ClearPolicy {
        /// The virtual host.
        vhost: ShortStr,
        /// Whose it is.
        owner: PolicyOwner,
        /// Its name.
        name: ShortStr,
    },
    /// Stops the deliveries of a queue, or lets them go on; once it is replied, no delivery follows.
    /// Everything else goes on. 404 when the queue is not there, 405 when it is exclusive to a connection.
    SetPause {
        /// The virtual host.
        vhost: ShortStr,
        /// The queue.
        queue: ShortStr,
        /// `None`: it is resumed. One that is paused stays as it is.
        pause: Option<Pause>,
    },
    /// Adds a schedule, or replaces one. 404 when the virtual host is not there, 406 when it has too many. One
    /// that is new, is due at other times than before or stood still begins now.
    SetSchedule {
        /// The virtual host.
        vhost: ShortStr,
        /// The schedule.
        schedule: Box<Schedule>,
    },
    /// Lets a schedule stand still, or go on from now. 404 when it is not there.
    PauseSchedule {
        /// Which.
        key: ScheduleKey,
        /// Whether it is to stand still.
        is_paused: bool,
    },
    /// Publishes the message of a schedule now, beside its due times and also when it stands still. 404 when
    /// it is not there. Replied with `ScheduleRun`.
    RunSchedule(ScheduleKey),
    /// Removes a schedule. 404 when it is not there.
    DeleteSchedule(ScheduleKey),
    /// All of them, or none: 406 with the path of the first that can't be. Other clients come in
    /// between; should one of them take away what a definition needs, the fault says that what stands
    /// before it is there.
    Import(Vec<Definition>),
}
