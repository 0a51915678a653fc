//! Schedules at work: which are due, what they publish, and how far each has come. The message and the record
//! of its due time go into one commit.
//!
//! They go by the wall clock. A shard with schedules looks at it twice a second at least, so that a jump is
//! noticed; a due time that is dealt with does not come again when the clock is set back.

use super::Shard;
use super::traces::Publisher;
use crate::limits::{CALENDAR_CHECK_INTERVAL_MS, SCHEDULE_LISTING_STEP_MAX, SCHEDULES_FIRED_MAX};
use crate::model::{Fault, Monotonic, WallClock};
use crate::operation::Operation;
use crate::queue::Instants;
use crate::schedules::{
    DueTimes, Firing, FiringOutcome, Schedule, ScheduleKey, ScheduleProgress, ScheduledMessage,
};
use forebay_wire::{RawProperties, ReplyCode, ShortStr};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// All schedules of all virtual hosts.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    states: BTreeMap<ScheduleKey, ScheduleState>,
    /// When each is due next.
    due: BTreeSet<(WallClock, ScheduleKey)>,
    /// Those that the store has without saying how far they have come: they begin now.
    unbegun: Vec<ScheduleKey>,
    /// The moment at which they were looked at last; nothing before the first input.
    looked_at: Option<Instants>,
    totals: ScheduleTotals,
}

/// How far one has come, and when it is due next.
#[derive(Clone, Debug, Default)]
struct ScheduleState {
    progress: ScheduleProgress,
    next_due: Option<WallClock>,
    problem: Option<String>,
}

/// What schedules did since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleTotals {
    /// Schedules that there are.
    pub schedules: u64,
    /// Messages that reached their queues.
    pub fired: u64,
    /// Due times without a message.
    pub missed: u64,
    /// Messages that a queue refused or that reached none.
    pub failed: u64,
}

/// A schedule, for people.
#[derive(Clone, Debug)]
pub struct ScheduleReport {
    /// Which.
    pub key: ScheduleKey,
    /// When it is due next; `None`: it stands still.
    pub next_due: Option<WallClock>,
    /// Why it stands still though it is not paused: another version set it, and this one can't read it.
    pub problem: Option<String>,
    /// How far it has come.
    pub progress: ScheduleProgress,
}

/// A list of schedules that is being made, some at a time.
#[derive(Debug, Default)]
pub struct ScheduleListing {
    after: Option<ScheduleKey>,
    found: Vec<ScheduleReport>,
}

impl Schedules {
    /// Those of a topology, with what the store tells of them. What it tells of others is to be removed.
    pub(super) fn recover<'a>(
        schedules: impl Iterator<Item = (ScheduleKey, &'a Schedule)>,
        progress: Vec<(ScheduleKey, ScheduleProgress)>,
    ) -> (Self, Vec<Operation>) {
        let mut progress: BTreeMap<_, _> = progress.into_iter().collect();
        let mut recovered = Self::default();
        for (key, schedule) in schedules {
            match progress.remove(&key) {
                Some(progress) => recovered.set(key, schedule, progress),
                None => recovered.unbegun.push(key),
            }
        }
        (recovered, progress.keys().map(ScheduleProgress::remove).collect())
    }

    /// When they want to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Monotonic> {
        let (due, _) = self.due.first()?;
        let Some(at) = self.looked_at else { return Some(Monotonic::AT_ONCE) };
        let wait = due.0.saturating_sub(at.wall.0).min(CALENDAR_CHECK_INTERVAL_MS);
        Some(at.monotonic.plus(wait))
    }

    /// Whether some are due that were not dealt with for want of time.
    pub(super) fn has_work(&self) -> bool {
        let is_due = |at: Instants| self.due.first().is_some_and(|(due, _)| *due <= at.wall);
        !self.unbegun.is_empty() || self.looked_at.is_some_and(is_due)
    }

    pub(super) fn totals(&self) -> ScheduleTotals {
        ScheduleTotals { schedules: self.states.len() as u64, ..self.totals }
    }

    /// A schedule is there, or says something else than before.
    fn set(&mut self, key: ScheduleKey, schedule: &Schedule, progress: ScheduleProgress) {
        self.remove(&key);
        let mut state = ScheduleState { progress, ..ScheduleState::default() };
        if !schedule.is_paused() {
            match schedule.timetable() {
                Ok(timetable) => state.next_due = timetable.next_after(progress.handled_to),
                Err(error) => state.problem = Some(error.to_string()),
            }
        }
        self.due.extend(state.next_due.map(|due| (due, key.clone())));
        self.states.insert(key, state);
    }

    fn remove(&mut self, key: &ScheduleKey) {
        if let Some(due) = self.states.remove(key).and_then(|state| state.next_due) {
            self.due.remove(&(due, key.clone()));
        }
    }

    /// The first that is due by a clock.
    fn pop_due(&mut self, now: WallClock) -> Option<ScheduleKey> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        self.due.pop_first().map(|(_, key)| key)
    }

    fn of_vhost(&self, vhost: &ShortStr) -> Vec<ScheduleKey> {
        let first = ScheduleKey { vhost: vhost.clone(), name: ShortStr::EMPTY };
        let keys = self.states.range(first..).map(|(key, _)| key);
        keys.take_while(|key| key.vhost == *vhost).cloned().collect()
    }
}

impl Shard {
    /// Goes on with a list of all schedules, by at most [`SCHEDULE_LISTING_STEP_MAX`]; the list, once it is
    /// complete.
    pub fn advance_schedules(&self, list: &mut ScheduleListing) -> Option<Vec<ScheduleReport>> {
        let behind = list.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let states = self.schedules.states.range((behind, Bound::Unbounded));
        let before = list.found.len();
        list.found.extend(states.take(SCHEDULE_LISTING_STEP_MAX).map(|(key, state)| {
            ScheduleReport {
                key: key.clone(),
                next_due: state.next_due,
                problem: state.problem.clone(),
                progress: state.progress,
            }
        }));
        if list.found.len() - before < SCHEDULE_LISTING_STEP_MAX {
            return Some(std::mem::take(&mut list.found));
        }
        list.after = list.found.last().map(|report| report.key.clone());
        None
    }

    /// Publishes for what is due, as far as one input may.
    pub(super) fn fire_schedules(&mut self, at: Instants) {
        for key in std::mem::take(&mut self.schedules.unbegun) {
            if let Some(schedule) = self.topology.schedule(&key.vhost, &key.name).cloned() {
                self.begin_schedule(key, &schedule, ScheduleProgress::from_now(at.wall));
            }
        }
        self.schedules.looked_at = Some(at);
        let mut left = SCHEDULES_FIRED_MAX;
        while left > 0
            && let Some(key) = self.schedules.pop_due(at.wall)
        {
            left -= 1;
            self.fire_schedule(at, key);
        }
    }

    /// Adds a schedule, or replaces one. One that is new, is due at other times than before or stood still
    /// begins now.
    pub(super) fn set_schedule(
        &mut self,
        at: Instants,
        vhost: &ShortStr,
        schedule: Schedule,
    ) -> Result<(), Fault> {
        let key = ScheduleKey { vhost: vhost.detached(), name: schedule.name().clone() };
        let before = self.topology.schedule(vhost, schedule.name()).cloned();
        if before.as_ref().is_some_and(|before| **before == schedule) {
            return Ok(());
        }
        self.topology.put_schedule(vhost, schedule.clone())?;
        let goes_on = before.is_some_and(|before| {
            before.is_due_as(&schedule) && (schedule.is_paused() || !before.is_paused())
        });
        let known = self.schedules.states.get(&key).map(|state| state.progress);
        let mut progress = known.unwrap_or_default();
        if known.is_none() || !goes_on {
            progress.handled_to = at.wall;
        }
        self.begin_schedule(key, &schedule, progress);
        Ok(())
    }

    /// Lets a schedule stand still, or go on from now.
    pub(super) fn pause_schedule(
        &mut self,
        at: Instants,
        key: &ScheduleKey,
        is_paused: bool,
    ) -> Result<(), Fault> {
        let schedule = self.find_schedule(key)?.paused(is_paused);
        self.set_schedule(at, &key.vhost, schedule)
    }

    /// Publishes the message of a schedule because an operator asked for it.
    pub(super) fn run_schedule(
        &mut self,
        at: Instants,
        key: &ScheduleKey,
    ) -> Result<FiringOutcome, Fault> {
        let schedule = self.find_schedule(key)?;
        let number = self.schedules.states.get(key).map_or(0, |state| state.progress.runs);
        let firing = Firing::Run { at: at.wall, number };
        let outcome = self.publish_scheduled(at, &key.vhost, &schedule, firing);
        if let Some(state) = self.schedules.states.get_mut(key) {
            state.progress.runs += 1;
            state.progress.note(at.wall, outcome);
            self.commits.add_operations(vec![state.progress.put(key)]);
        }
        Ok(outcome)
    }

    /// Removes a schedule.
    pub(super) fn delete_schedule(&mut self, key: &ScheduleKey) -> Result<(), Fault> {
        if !self.topology.remove_schedule(&key.vhost, &key.name) {
            return Err(no_schedule(key));
        }
        self.schedules.remove(key);
        self.commits.add_operations(vec![ScheduleProgress::remove(key)]);
        Ok(())
    }

    /// A virtual host is gone, and its schedules with it.
    pub(super) fn forget_schedules(&mut self, vhost: &ShortStr) {
        let keys = self.schedules.of_vhost(vhost);
        keys.iter().for_each(|key| self.schedules.remove(key));
        self.commits.add_operations(keys.iter().map(ScheduleProgress::remove).collect());
    }

    fn find_schedule(&self, key: &ScheduleKey) -> Result<Arc<Schedule>, Fault> {
        self.topology.require_vhost(&key.vhost).map_err(|fault| not_found(fault.text))?;
        let schedule = self.topology.schedule(&key.vhost, &key.name);
        schedule.cloned().ok_or_else(|| no_schedule(key))
    }

    fn begin_schedule(
        &mut self,
        key: ScheduleKey,
        schedule: &Schedule,
        progress: ScheduleProgress,
    ) {
        self.commits.add_operations(vec![progress.put(&key)]);
        self.schedules.set(key, schedule, progress);
    }

    /// Publishes for the due times of one schedule that have passed.
    fn fire_schedule(&mut self, at: Instants, key: ScheduleKey) {
        let Some(schedule) = self.topology.schedule(&key.vhost, &key.name).cloned() else { return };
        let Some(state) = self.schedules.states.get(&key) else { return };
        let ScheduleState { mut progress, next_due: Some(first), .. } = *state else { return };
        // It was read when the schedule was set, or it would not be due.
        let Ok(timetable) = schedule.timetable() else { return };
        let since = (progress.handled_to, first);
        let DueTimes { fire, missed, to } =
            DueTimes::passed(&timetable, schedule.catch_up(), since, at.wall);
        for due in fire {
            let outcome = self.publish_scheduled(at, &key.vhost, &schedule, Firing::Due(due));
            progress.last_due = Some(due);
            progress.note(at.wall, outcome);
        }
        progress.missed += missed;
        self.schedules.totals.missed += missed;
        progress.handled_to = to;
        self.begin_schedule(key, &schedule, progress);
    }

    fn publish_scheduled(
        &mut self,
        at: Instants,
        vhost: &ShortStr,
        schedule: &Schedule,
        firing: Firing,
    ) -> FiringOutcome {
        let outcome = match ScheduledMessage::new(schedule, firing, at.wall) {
            Ok(message) => self.route_scheduled(at, vhost, schedule, message),
            Err(_) => FiringOutcome::Refused,
        };
        let totals = &mut self.schedules.totals;
        match outcome {
            FiringOutcome::Delivered { .. } => totals.fired += 1,
            _ => totals.failed += 1,
        }
        outcome
    }

    fn route_scheduled(
        &mut self,
        at: Instants,
        vhost: &ShortStr,
        schedule: &Schedule,
        scheduled: ScheduledMessage,
    ) -> FiringOutcome {
        let ScheduledMessage { routing_keys, message } = scheduled;
        let properties = RawProperties::parse(message.properties_bytes()).unwrap_or_default();
        let headers = || properties.headers();
        let routes = self.topology.routes();
        let targets = match routes.route(vhost, schedule.exchange(), &routing_keys, &headers) {
            Ok(targets) => targets,
            Err(Fault { code: ReplyCode::AccessRefused, .. }) => {
                return FiringOutcome::InternalExchange;
            }
            Err(_) => return FiringOutcome::NoExchange,
        };
        if targets.is_empty() {
            return FiringOutcome::NoRoute;
        }
        let queues = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        self.work.spend(targets.len());
        let by = Publisher::Schedule(schedule.name());
        // The record of the due time begins the commit that the message waits for.
        let (_, refused) = self.enqueue_all(at, &targets, vec![message], by, true);
        if refused.is_empty() {
            FiringOutcome::Delivered { queues }
        } else {
            FiringOutcome::Refused
        }
    }
}

fn no_schedule(key: &ScheduleKey) -> Fault {
    not_found(format!("no schedule '{}' in vhost '{}'", key.name, key.vhost))
}

fn not_found(text: String) -> Fault {
    Fault::channel(ReplyCode::NotFound, text)
}
