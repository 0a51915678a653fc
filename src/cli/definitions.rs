//! `forebay definitions`: files of definitions as RabbitMQ writes them, into a broker and out of
//! it.

use super::admin::AdminTarget;
use clap::{Args, Subcommand};
use forebay_server::definitions;
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay definitions check rabbitmq.json
  forebay definitions import rabbitmq.json --user admin --password-file admin.password
  forebay definitions export backup.json";

/// Import, export and check files of definitions (RabbitMQ 3.x and 4.x)
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Definitions {
    /// Take a file whole, or refuse it with the path of the field that is wrong
    #[command(after_help = "Example:\n  forebay definitions import rabbitmq.json")]
    Import(Transfer),
    /// Write what a broker has to a file; `-` is standard output
    #[command(after_help = "Example:\n  forebay definitions export - | jq .policies")]
    Export(Transfer),
    /// Check whether an empty broker could take a file; asks no broker
    #[command(after_help = "Example:\n  forebay definitions check rabbitmq.json")]
    Check {
        /// The file
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Transfer {
    #[command(flatten)]
    target: AdminTarget,
    /// The file
    file: PathBuf,
}

impl Definitions {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::Import(transfer) => transfer.import(),
            Self::Export(transfer) => transfer.export(),
            Self::Check { file } => check(&file),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("forebay: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Transfer {
    fn import(self) -> Result<(), Box<dyn Error>> {
        // What is wrong by itself is found here, with the file's name.
        warn_of_ignored(&definitions::read(&self.file)?.ignored);
        let file = std::fs::read(&self.file)?;
        let imported = self.target.request("POST", "/api/definitions", &file);
        imported.map_err(|error| {
            format!("definitions {}: {error}; nothing of it was taken", self.file.display())
        })?;
        Ok(())
    }

    fn export(self) -> Result<(), Box<dyn Error>> {
        let octets = self.target.request("GET", "/api/definitions", &[])?;
        let value: Value = serde_json::from_slice(&octets)?;
        let text = format!("{value:#}\n");
        if self.file == Path::new("-") {
            print!("{text}");
        } else {
            std::fs::write(&self.file, text).map_err(|error| {
                format!("cannot write {}: {error}; check the path", self.file.display())
            })?;
        }
        Ok(())
    }
}

fn check(file: &Path) -> Result<(), Box<dyn Error>> {
    let checked = definitions::check(file)?;
    warn_of_ignored(&checked.ignored);
    println!("{}: {} definitions, all can be taken", file.display(), checked.definitions.len());
    Ok(())
}

fn warn_of_ignored(ignored: &[String]) {
    for path in ignored {
        eprintln!("forebay: {path} has no meaning here and is passed over");
    }
}
