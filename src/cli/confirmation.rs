//! The question before something is lost.

use super::printable::printable;
use super::target::Fault;
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};

/// Flags of a command that deletes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Deletion {
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Succeed when it is not there
    #[arg(long)]
    pub(crate) if_exists: bool,
}

impl Deletion {
    /// In a terminal asks for the name of what is to be deleted, unless told not to ask. A script is not asked.
    ///
    /// # Errors
    /// When another name was typed.
    pub(crate) fn ask(&self, loss: &str, kind: &str, name: &str) -> Result<(), Fault> {
        if self.yes || !can_ask() || confirmed(loss, kind, name)? {
            return Ok(());
        }
        Err("nothing was deleted".into())
    }

    /// The same where a script has to say that it means it, since there is no way back.
    ///
    /// # Errors
    /// When another name was typed, or no question can be asked.
    pub(crate) fn insist(&self, loss: &str, kind: &str, name: &str) -> Result<(), Fault> {
        if !self.yes && !can_ask() {
            let text = format!(
                "{loss}, and standard input is no terminal, so no question can be asked; nothing was \
                                deleted; --yes deletes without a question"
            );
            return Err(text.into());
        }
        self.ask(loss, kind, name)
    }
}

/// Whether a question can be asked: standard input and standard error are terminals.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says what will be gone, and asks for the name of what it is taken from. True when it was typed.
pub(crate) fn confirmed(loss: &str, kind: &str, name: &str) -> io::Result<bool> {
    let shown = printable(name);
    eprint!("{}. Type the {kind}'s name, {shown}, to go on: ", printable(loss));
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']) == shown)
}
