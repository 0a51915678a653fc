//! `forebay dlq purge`.

use super::{Named, number, segment};
use clap::Args;
use serde_json::Value;
use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    named: Named,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let Named { target, vhost, queue } = &self.named;
        let (there, name) = (segment(vhost), segment(queue));
        let path = format!("/api/forebay/dead-letters/{there}/{name}");
        let state: Value = serde_json::from_slice(&target.request("GET", &path, &[])?)?;
        let messages = number(&state, "messages");
        if !self.yes && !confirmed(queue, messages)? {
            return Err("nothing was dropped".into());
        }
        target.request("DELETE", &format!("/api/queues/{there}/{name}/contents"), &[])?;
        println!("{queue}: dropped the {messages} messages that were ready");
        Ok(())
    }
}

/// Whoever drops messages types the queue's name.
fn confirmed(queue: &str, messages: u64) -> Result<bool, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return Err(
            "nobody is there to be asked; use --yes to drop the messages all the same".into()
        );
    }
    print!("{messages} messages of {queue} will be gone for good. Type the queue's name: ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']) == queue)
}
