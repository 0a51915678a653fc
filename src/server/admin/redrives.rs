//! Redrives at a rate: walks over dead-letter queues that the broker itself goes on with, so that whoever asked
//! may go. Known in memory only: when the broker ends, each message is in one of its two queues, and the rest
//! waits until somebody asks again.

use super::api_error::ApiError;
use crate::limits::{ADMIN_REDRIVES_AT_ONCE_MAX, ADMIN_REDRIVES_KEPT_MAX};
use forebay_engine::model::WallClock;
use forebay_wire::ShortStr;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The last redrive at a rate of each queue.
#[derive(Debug, Default)]
pub(super) struct Redrives(Mutex<BTreeMap<(ShortStr, ShortStr), Arc<Redrive>>>);

/// One of them.
#[derive(Debug)]
pub(super) struct Redrive {
    /// Messages a second at most.
    rate: u64,
    by: ShortStr,
    since: WallClock,
    /// Messages that were ready when it began: it looks at no others.
    messages: u64,
    progress: Mutex<Progress>,
    stop: Notify,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    state: State,
    counts: Counts,
    ended: Option<WallClock>,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Looked at.
    pub(super) examined: u64,
    pub(super) redriven: u64,
    pub(super) stayed: u64,
    /// Those among them of whose death only their header tells.
    pub(super) skipped: u64,
}

/// How a redrive stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Running,
    /// An alarm keeps it from moving messages, for this reason.
    Waiting(String),
    Done,
    Stopped,
    /// A step was refused, for this reason.
    Failed(String),
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting(_) => "waiting",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Waiting(reason) | Self::Failed(reason) => Some(reason),
            Self::Running | Self::Done | Self::Stopped => None,
        }
    }
}

impl Redrives {
    /// Takes note of one that begins.
    ///
    /// # Errors
    /// 400 while one of this queue is under way, 503 while as many are as may be.
    pub(super) fn begin(
        &self,
        key: (ShortStr, ShortStr),
        redrive: Arc<Redrive>,
    ) -> Result<(), ApiError> {
        let mut kept = self.kept();
        if kept.get(&key).is_some_and(|there| there.is_under_way()) {
            let (vhost, queue) = key;
            return Err(ApiError::bad(format!(
                "queue '{queue}' in vhost '{vhost}' is being redriven; stop that first"
            )));
        }
        if kept.values().filter(|there| there.is_under_way()).count() >= ADMIN_REDRIVES_AT_ONCE_MAX
        {
            return Err(ApiError::Unavailable(format!(
                "{ADMIN_REDRIVES_AT_ONCE_MAX} redrives are under way, as many as may be; stop one, or try \
                 again when one is done"
            )));
        }
        kept.insert(key, redrive);
        while kept.len() > ADMIN_REDRIVES_KEPT_MAX {
            let over = kept.iter().filter(|(_, there)| !there.is_under_way());
            let oldest = over.min_by_key(|(_, there)| there.since).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
        Ok(())
    }

    /// The last one of a queue.
    pub(super) fn of(&self, vhost: &ShortStr, queue: &ShortStr) -> Option<Arc<Redrive>> {
        self.kept().get(&(vhost.clone(), queue.clone())).map(Arc::clone)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(ShortStr, ShortStr), Arc<Redrive>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Redrive {
    /// One that begins, on behalf of a user: at most `rate` messages a second, of `messages` that are ready.
    pub(super) fn new(rate: u64, by: ShortStr, since: WallClock, messages: u64) -> Self {
        let (progress, stop) = (Mutex::default(), Notify::new());
        Self { rate, by, since, messages, progress, stop }
    }

    /// Waits until the next step is due; whether somebody stopped it.
    pub(super) async fn is_stopped_before(&self, due: Instant) -> bool {
        timeout_at(due, self.stop.notified()).await.is_ok()
    }

    /// It stands like this now.
    pub(super) fn set_state(&self, state: State) {
        self.progress().state = state;
    }

    /// A step was done.
    pub(super) fn count(&self, step: Counts) {
        let counts = &mut self.progress().counts;
        counts.examined += step.examined;
        counts.redriven += step.redriven;
        counts.stayed += step.stayed;
        counts.skipped += step.skipped;
    }

    /// It is over; how many messages went back.
    pub(super) fn end(&self, state: State, at: WallClock) -> u64 {
        let mut progress = self.progress();
        (progress.state, progress.ended) = (state, Some(at));
        progress.counts.redriven
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_under_way(&self) -> bool {
        self.progress().ended.is_none()
    }

    /// It ends before its next step.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// How far it is, for people.
    pub(super) fn describe(&self) -> Value {
        let Progress { state, counts, ended } = self.progress().clone();
        let Counts { examined, redriven, stayed, skipped } = counts;
        json!({
            "by": self.by.to_string(),
            "ended": ended.map(|at| at.0),
            "examined": examined,
            "messages": self.messages,
            "rate": self.rate,
            "reason": state.reason(),
            "redriven": redriven,
            "since": self.since.0,
            "skipped": skipped,
            "state": state.name(),
            "stayed": stayed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redrive(since: u64, is_over: bool) -> Arc<Redrive> {
        let since = WallClock(since);
        let redrive = Redrive::new(1, ShortStr::from_static("ops"), since, 1);
        if is_over {
            redrive.end(State::Done, since);
        }
        Arc::new(redrive)
    }

    fn key(number: usize) -> (ShortStr, ShortStr) {
        (ShortStr::from_static("/"), ShortStr::try_from(&*format!("q{number}")).unwrap())
    }

    #[test]
    fn one_of_a_queue_is_under_way_and_so_many_in_all() {
        let redrives = Redrives::default();
        for number in 0..ADMIN_REDRIVES_AT_ONCE_MAX {
            redrives.begin(key(number), redrive(1, false)).unwrap();
        }
        let again = redrives.begin(key(0), redrive(1, false)).unwrap_err().to_string();
        assert_eq!(again, "queue 'q0' in vhost '/' is being redriven; stop that first");
        let more = redrives.begin(key(99), redrive(1, false)).unwrap_err();
        assert!(matches!(more, ApiError::Unavailable(_)), "{more:?}");
    }

    #[test]
    fn the_oldest_that_are_over_are_forgotten() {
        let redrives = Redrives::default();
        redrives.begin(key(0), redrive(0, false)).unwrap();
        for number in 1..=ADMIN_REDRIVES_KEPT_MAX {
            redrives.begin(key(number), redrive(number as u64, true)).unwrap();
        }
        let is_kept = |number: usize| redrives.of(&key(number).0, &key(number).1).is_some();
        assert!(is_kept(0) && !is_kept(1) && is_kept(2) && is_kept(ADMIN_REDRIVES_KEPT_MAX));
        redrives.begin(key(2), redrive(500, false)).unwrap();
    }
}
