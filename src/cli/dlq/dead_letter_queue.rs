//! Which queue a command works on.

use super::super::admin::{AdminTarget, segment};
use clap::Args;
use serde_json::{Map, Value};
use std::error::Error;

/// A queue of dead letters, and the broker that has it.
#[derive(Clone, Debug, Args)]
pub(super) struct DeadLetterQueue {
    #[command(flatten)]
    pub(super) target: AdminTarget,
    /// Virtual host
    #[arg(long, default_value = "/")]
    pub(super) vhost: String,
    /// Name of the queue
    pub(super) queue: String,
}

impl DeadLetterQueue {
    /// Messages that are ready in it, where the broker says so.
    pub(super) fn messages(&self) -> Option<u64> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        self.target.get(&path).ok()?.get("messages_ready")?.as_u64()
    }

    /// How far the last redrive at a rate is, with which the broker goes on by itself; null when there was none.
    pub(super) fn redrive(&self) -> Result<Value, Box<dyn Error>> {
        Ok(self.target.get(&self.path("redrive"))?)
    }

    /// It ends before its next step.
    pub(super) fn stop_redrive(&self) -> Result<(), Box<dyn Error>> {
        self.target.request("DELETE", &self.path("redrive"), &[])?;
        Ok(())
    }

    fn path(&self, action: &str) -> String {
        let (vhost, queue) = (segment(&self.vhost), segment(&self.queue));
        format!("/api/forebay/dead-letters/{vhost}/{queue}/{action}")
    }

    /// Asks for one step of a walk over the queue.
    pub(super) fn step(
        &self,
        action: &str,
        body: &Map<String, Value>,
    ) -> Result<Value, Box<dyn Error>> {
        let path = self.path(action);
        let body = Value::Object(body.clone()).to_string();
        let answer = self.target.request("POST", &path, body.as_bytes())?;
        serde_json::from_slice(&answer).map_err(|_| self.target.nonsense(&path).into())
    }
}
