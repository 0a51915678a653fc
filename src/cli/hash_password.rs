//! `forebay hash-password`: a hash for the configuration file, of a password that stands in no argument.

use clap::Args;
use console::Term;
use forebay_server::auth::user::hash_password;
use std::error::Error;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay hash-password
  forebay hash-password --password-file /etc/forebay/app.password
  printf %s \"$PASSWORD\" | forebay hash-password";

/// Bytes of a password: more is no password.
const PASSWORD_BYTES_MAX: u64 = 1_024;

/// Hash a password with argon2id, for `password_hash` in the configuration file
///
/// The password is asked for on a terminal, and read from standard input otherwise; a line feed at its
/// end does not belong to it. Everybody on this machine can read arguments, so it is none.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HashPassword {
    /// A file whose content is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl HashPassword {
    pub(crate) fn run(self) -> ExitCode {
        match self.password().and_then(|password| hash(&password)) {
            Ok(hash) => {
                println!("{hash}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("forebay: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn password(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut bytes = Vec::new();
        if let Some(path) = &self.password_file {
            let file = std::fs::File::open(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            file.take(PASSWORD_BYTES_MAX + 2).read_to_end(&mut bytes)?;
        } else if std::io::stdin().is_terminal() {
            return ask();
        } else {
            std::io::stdin().take(PASSWORD_BYTES_MAX + 2).read_to_end(&mut bytes)?;
        }
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        Ok(bytes)
    }
}

fn ask() -> Result<Vec<u8>, Box<dyn Error>> {
    let terminal = Term::stderr();
    let typed = |prompt: &str| {
        terminal.write_str(prompt)?;
        terminal.read_secure_line()
    };
    let (password, again) = (typed("Password: ")?, typed("Again: ")?);
    if password != again {
        return Err("the two passwords differ: nothing was hashed".into());
    }
    Ok(password.into_bytes())
}

fn hash(password: &[u8]) -> Result<String, Box<dyn Error>> {
    if password.is_empty() {
        return Err("the password is empty; expected one on standard input".into());
    }
    if password.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes").into());
    }
    hash_password(password).map_err(|error| format!("cannot hash the password: {error}").into())
}
