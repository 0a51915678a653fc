//! `forebay definitions`: files of definitions as RabbitMQ writes them, into a broker and out of
//! it.

use super::admin::{AdminTarget, segment};
use super::printable::{printable, printable_lines};
use clap::{Args, Subcommand};
use forebay_server::definitions::{self, ReadOptions};
use forebay_wire::ShortStr;
use serde_json::Value;
use std::error::Error;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay definitions check rabbitmq.json
  forebay definitions import rabbitmq.json --user admin --password-file admin.password
  forebay definitions import shop.json --vhost shop --skip-unsupported
  forebay definitions export backup.json";

/// Import, export and check files of definitions (RabbitMQ 3.x and 4.x)
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Definitions {
    /// Take a file whole, or refuse it with the paths of all that is wrong
    #[command(after_help = "Example:\n  forebay definitions import rabbitmq.json")]
    Import(Import),
    /// Write what a broker has to a file; `-` is standard output
    #[command(after_help = "Example:\n  forebay definitions export - | jq .policies")]
    Export(Export),
    /// Check whether an empty broker could take a file; asks no broker
    #[command(after_help = "Example:\n  forebay definitions check rabbitmq.json")]
    Check(Check),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    target: AdminTarget,
    #[command(flatten)]
    reading: Reading,
    /// The file
    file: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    target: AdminTarget,
    /// Only what is in this virtual host; the file names it nowhere
    #[arg(long)]
    vhost: Option<String>,
    /// The file
    file: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    reading: Reading,
    /// The file
    file: PathBuf,
}

/// How a file is read.
#[derive(Clone, Debug, Args)]
struct Reading {
    /// The file is an export of one virtual host: take its objects for this one
    #[arg(long)]
    vhost: Option<String>,
    /// Pass over what there is in RabbitMQ and not here, each named: streams, topic permissions,
    /// settings of plugins
    #[arg(long)]
    skip_unsupported: bool,
}

impl Reading {
    fn with<T>(
        &self,
        read: impl FnOnce(ReadOptions<'_>) -> Result<T, definitions::DefinitionsFileError>,
    ) -> Result<T, Box<dyn Error>> {
        let vhost = self.vhost.as_deref().map(ShortStr::try_from).transpose();
        let vhost = vhost.map_err(|_| "--vhost: longer than 255 bytes")?;
        let skip_unsupported = self.skip_unsupported;
        Ok(read(ReadOptions { vhost: vhost.as_ref(), skip_unsupported })?)
    }
}

impl Definitions {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::Import(import) => import.run(),
            Self::Export(export) => export.run(),
            Self::Check(check) => check.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("forebay: {}", printable_lines(&error.to_string()));
                ExitCode::FAILURE
            }
        }
    }
}

/// Where the definitions of a virtual host are, or all.
fn path(vhost: Option<&str>) -> String {
    match vhost {
        None => "/api/definitions".to_owned(),
        Some(vhost) => format!("/api/definitions/{}", segment(vhost)),
    }
}

impl Import {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let Self { target, reading, file } = self;
        // What is wrong by itself is found here, with the file's name.
        let read = reading.with(|options| definitions::read(&file, options))?;
        warn_of_ignored(&read.ignored);
        let body = std::fs::read(&file)?;
        let query = if reading.skip_unsupported { "?skip_unsupported=true" } else { "" };
        let path = format!("{}{query}", path(reading.vhost.as_deref()));
        let imported = target.request("POST", &path, &body);
        imported.map_err(|error| format!("definitions {}: {error}", file.display()))?;
        Ok(())
    }
}

impl Export {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let path = path(self.vhost.as_deref());
        let bytes = self.target.request("GET", &path, &[])?;
        let value: Value = serde_json::from_slice(&bytes)?;
        let text = format!("{value:#}\n");
        if self.file == Path::new("-") {
            print!("{text}");
        } else {
            write_private(&self.file, &text).map_err(|error| {
                format!("cannot write {}: {error}; check the path", self.file.display())
            })?;
        }
        Ok(())
    }
}

/// The hashes of passwords are in it: for its owner's eyes, also when the file was there before.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}

impl Check {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let Self { reading, file } = self;
        let checked = reading.with(|options| definitions::check(&file, options))?;
        warn_of_ignored(&checked.ignored);
        let count = checked.definitions.len();
        println!("{}: {count} definitions, all can be taken", file.display());
        Ok(())
    }
}

fn warn_of_ignored(ignored: &[String]) {
    for thing in ignored {
        eprintln!("forebay: {} has no meaning here and is passed over", printable(thing));
    }
}
