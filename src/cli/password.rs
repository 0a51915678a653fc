//! Passwords: typed in without being shown, or read from a file or from standard input. None needs to be an argument,
//! since everybody on the machine can read those.

use super::fault::Fault;
use clap::Args;
use console::Term;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Bytes of a password: more is no password.
pub(crate) const PASSWORD_BYTES_MAX: u64 = 1_024;

/// Where a password that is to be set comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewPassword {
    /// A file whose content is the new password; without it the password is asked for in a terminal and read from
    /// standard input otherwise
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl NewPassword {
    /// A line feed at its end does not belong to it.
    ///
    /// # Errors
    /// When the file or standard input can't be read, is empty or longer than [`PASSWORD_BYTES_MAX`], or when
    /// what was typed the second time differs.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Fault> {
        match &self.new_password_file {
            Some(path) => from_file("--new-password-file", path),
            None => typed_or_piped(),
        }
    }

    /// The password as text, as JSON needs it.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is no UTF-8.
    pub(crate) fn read_text(&self) -> Result<String, Fault> {
        String::from_utf8(self.read()?).map_err(|_| "the password is no UTF-8".into())
    }
}

/// A password that is to be set: the content of a file but for the line feeds at its end.
///
/// # Errors
/// When the file can't be read, which names the option, or the password is empty or too long.
pub(crate) fn from_file(option: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |error: io::Error| format!("{option} {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fault)?;
    checked(bounded(file).map_err(fault)?)
}

/// A password for a log-in, the first line of a file.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn first_line(option: &str, path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{option} {}: {error}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Asks for a password that exists already, once; `None` when nobody can be asked.
///
/// # Errors
/// When the terminal fails.
pub(crate) fn ask(prompt: &str) -> io::Result<Option<String>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    typed(prompt).map(Some)
}

/// Asked for twice in a terminal, and otherwise read from standard input.
///
/// # Errors
/// When it is empty, too long, or was typed in two ways.
pub(crate) fn typed_or_piped() -> Result<Vec<u8>, Fault> {
    if !io::stdin().is_terminal() {
        return checked(bounded(io::stdin())?);
    }
    let (password, again) = (typed("Password: ")?, typed("Again: ")?);
    if password != again {
        return Err("the two passwords differ: nothing was changed".into());
    }
    checked(password.into_bytes())
}

fn typed(prompt: &str) -> io::Result<String> {
    let terminal = Term::stderr();
    terminal.write_str(prompt)?;
    terminal.read_secure_line()
}

fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Two more for the line feed and a byte that is too much.
    source.take(PASSWORD_BYTES_MAX + 2).read_to_end(&mut bytes)?;
    while let Some(b'\n' | b'\r') = bytes.last() {
        bytes.pop();
    }
    Ok(bytes)
}

fn checked(password: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if password.is_empty() {
        return Err(
            "the password is empty; expected one in the terminal, on standard input or in a file"
                .into(),
        );
    }
    if password.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes").into());
    }
    Ok(password)
}
