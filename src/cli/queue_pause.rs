//! `forebay queue pause` and `resume`: whether a queue delivers.

use super::admin::{AdminTarget, segment};
use super::output::Output;
use super::target::{Answer, Fault};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// A queue, and the broker that has it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Pausing {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    output: Output,
}

impl Pausing {
    pub(crate) fn pause(&self) -> Result<ExitCode, Fault> {
        self.ask("pause")?;
        let text = format!("{}: paused; it delivers nothing until it is resumed", self.queue);
        self.answer(text, true)
    }

    pub(crate) fn resume(&self) -> Result<ExitCode, Fault> {
        self.ask("resume")?;
        self.answer(format!("{}: resumed", self.queue), false)
    }

    fn ask(&self, act: &str) -> Result<(), Fault> {
        let path = format!("/api/queues/{}/{}", segment(&self.vhost), segment(&self.queue));
        self.admin.request("POST", &format!("{path}/{act}"), b"{}")?;
        Ok(())
    }

    fn answer(&self, text: String, is_paused: bool) -> Result<ExitCode, Fault> {
        let json = json!({ "vhost": self.vhost, "name": self.queue, "paused": is_paused });
        Answer { text, json }.print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
