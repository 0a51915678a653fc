//! The question before messages are dropped.

use super::printable::printable;
use std::io::{self, BufRead, IsTerminal, Write};

/// Whether a question can be asked: standard input and standard error are terminals.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says what will be gone, and asks for the name of the queue. True when it was typed.
pub(crate) fn confirmed(queue: &str, messages: u64) -> io::Result<bool> {
    let shown = printable(queue);
    eprint!("{messages} messages of {shown} will be dropped. Type the queue's name to go on: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']) == shown)
}
