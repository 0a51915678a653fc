//! `forebay hash-password`: a hash for the configuration file, of a password that stands in no argument.

use super::password;
use super::target::{self, Fault, print};
use clap::Args;
use forebay_server::auth::user::hash_password;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay hash-password
  forebay hash-password --password-file /etc/forebay/app.password
  printf %s \"$PASSWORD\" | forebay hash-password";

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
        target::end(self.hash())
    }

    fn hash(&self) -> Result<ExitCode, Fault> {
        let password = match &self.password_file {
            Some(path) => password::from_file("--password-file", path)?,
            None => password::typed_or_piped()?,
        };
        let hash = hash_password(&password);
        print(hash.map_err(|error| format!("cannot hash the password: {error}"))?)?;
        Ok(ExitCode::SUCCESS)
    }
}
