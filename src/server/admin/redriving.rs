//! Goes on with redrives at a rate, each in a task of its own, step by step.

use super::api_error::ApiError;
use super::audit;
use super::caller::Caller;
use super::context::Admin;
use super::dead_letters::{count, skipped};
use super::redrives::{Counts, Redrive, State};
use crate::limits::{ADMIN_REDRIVE_ALARM_PAUSE, ADMIN_REDRIVE_STEPS_PER_SECOND};
use forebay_engine::browse::{Browse, RedriveOutcome};
use forebay_engine::limits::BROWSE_MESSAGES_MAX;
use forebay_wire::ShortStr;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Admin {
    /// Begins to send the `messages` of a queue back that a walk is for, so many a second at most.
    ///
    /// # Errors
    /// When one of this queue is under way, or as many as may be are.
    pub(super) fn begin_redrive(
        &self,
        caller: Caller,
        vhost: ShortStr,
        walk: Browse,
        rate: u64,
        messages: u64,
    ) -> Result<Value, ApiError> {
        let since = self.inner.clock.now().wall;
        let redrive = Arc::new(Redrive::new(rate, caller.name.clone(), since, messages));
        let key = (vhost.clone(), walk.queue.clone().into_short());
        self.inner.redrives.begin(key, Arc::clone(&redrive))?;
        let described = redrive.describe();
        tokio::spawn(self.clone().go_on_redriving(caller, vhost, walk, rate, redrive));
        Ok(described)
    }

    async fn go_on_redriving(
        self,
        caller: Caller,
        vhost: ShortStr,
        mut walk: Browse,
        rate: u64,
        redrive: Arc<Redrive>,
    ) {
        let step = usize::try_from(rate / ADMIN_REDRIVE_STEPS_PER_SECOND).unwrap_or(usize::MAX);
        walk.taken_max = step.clamp(1, BROWSE_MESSAGES_MAX);
        let mut due = Instant::now();
        let state = loop {
            if redrive.is_stopped_before(due).await {
                break State::Stopped;
            }
            if let Err(alarm) = self.check_may_publish() {
                redrive.set_state(State::Waiting(alarm.to_string()));
                due = Instant::now() + ADMIN_REDRIVE_ALARM_PAUSE;
                continue;
            }
            redrive.set_state(State::Running);
            let counts = match self.redrive_step(&caller, &vhost, &mut walk).await {
                Ok(counts) => counts,
                Err(error) => break State::Failed(error.to_string()),
            };
            redrive.count(counts);
            if walk.runs.as_ref().is_some_and(Vec::is_empty) {
                break State::Done;
            }
            // What an alarm or a busy broker held up is not made up for in a burst.
            let pause = Duration::from_secs_f64(counts.redriven as f64 / rate as f64);
            due = due.max(Instant::now()) + pause;
        };
        let redriven = redrive.end(state, self.inner.clock.now().wall);
        audit::tell_of_queue(&caller, "redrive", &vhost, &walk.queue, Some(redriven));
    }

    /// One step, by what the caller may do now. Leaves in `walk` what is to be done yet.
    async fn redrive_step(
        &self,
        caller: &Caller,
        vhost: &ShortStr,
        walk: &mut Browse,
    ) -> Result<Counts, ApiError> {
        self.check_may_redrive(caller, vhost, &walk.queue)?;
        let page = self.browse(caller, vhost.clone(), walk.clone()).await?;
        let redriven = count(&page, |outcome| outcome == RedriveOutcome::Redriven);
        let counts = Counts {
            examined: page.examined,
            redriven,
            stayed: page.taken() - redriven,
            skipped: skipped(&page),
        };
        walk.runs = Some(page.rest);
        Ok(counts)
    }
}
