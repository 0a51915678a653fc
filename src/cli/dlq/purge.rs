//! `forebay dlq purge`.

use super::super::admin::segment;
use super::super::confirmation;
use super::super::printable::printable;
use super::answer::number;
use super::dead_letter_queue::DeadLetterQueue;
use clap::Args;
use serde_json::Value;
use std::error::Error;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    queue: DeadLetterQueue,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let DeadLetterQueue { target, vhost, queue } = &self.queue;
        let (there, name) = (segment(vhost), segment(queue));
        let path = format!("/api/forebay/dead-letters/{there}/{name}");
        let state: Value = serde_json::from_slice(&target.request("GET", &path, &[])?)?;
        let messages = number(&state, "messages");
        // Dead letters have no other copy: a script says that it means it.
        if !self.yes && !confirmation::can_ask() {
            return Err(
                "standard input is no terminal, so no question can be asked; no message was dropped; \
                        --yes drops the messages without a question"
                    .into(),
            );
        }
        let loss = format!("{messages} messages of {queue} will be dropped");
        if !self.yes && !confirmation::confirmed(&loss, "queue", queue)? {
            return Err("no message was dropped".into());
        }
        target.request("DELETE", &format!("/api/queues/{there}/{name}/contents"), &[])?;
        println!("{}: dropped the {messages} messages that were ready", printable(queue));
        Ok(())
    }
}
