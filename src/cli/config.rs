//! `forebay config`: whether a configuration file can be used, without a broker.

use super::printable::printable_lines;
use clap::Subcommand;
use forebay_server::definitions::{self, ReadOptions};
use forebay_server::tls::TlsAcceptor;
use forebay_server::{Overrides, RabbitmqDefaults, Settings};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "Example:
  forebay config check /etc/forebay/forebay.toml";

/// Check configuration files
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Config {
    /// Check a file, and the certificates and definitions that it names; starts nothing
    #[command(after_help = EXAMPLES)]
    Check {
        /// The file
        file: PathBuf,
    },
}

impl Config {
    pub(crate) fn run(self) -> ExitCode {
        let Self::Check { file } = self;
        match check(&file) {
            Ok(warnings) => {
                for warning in warnings {
                    eprintln!("forebay: {warning}");
                }
                println!("{}: can be used", file.display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("forebay: {}", printable_lines(&error.to_string()));
                ExitCode::FAILURE
            }
        }
    }
}

/// What a broker would warn of.
fn check(file: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let overrides = Overrides { config: Some(file.to_owned()), ..Overrides::default() };
    let settings = Settings::resolve(overrides, &RabbitmqDefaults::default())?;
    if let Some(tls) = &settings.tls {
        TlsAcceptor::load(tls.files.clone())?;
    }
    let mut warnings = settings.warnings();
    if let Some(path) = &settings.load_definitions {
        let users: Vec<_> = settings.users.iter().map(|user| &user.name).collect();
        let named = definitions::check(path, ReadOptions::default())?;
        warnings.extend(definitions::warnings_of_users(&named.definitions, &users));
    }
    Ok(warnings)
}
