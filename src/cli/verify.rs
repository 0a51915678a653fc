//! `forebay verify`: whether a data directory is sound.

use super::data_directory::{DataDirectory, Watch, report};
use super::target::{self, FAILED, Fault};
use clap::Args;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay verify --data-dir /var/lib/forebay
  forebay verify --json | jq '.damages[] | {queue, first_offset, end_offset, messages}'";

/// Read a whole data directory and say what is damaged or missing in it
///
/// The broker must be stopped; nothing is changed. Succeeds when the directory is sound. What is
/// missing is named by queue, offsets and number of messages.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    #[command(flatten)]
    directory: DataDirectory,
}

impl Verify {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.verify())
    }

    fn verify(&self) -> Result<ExitCode, Fault> {
        let path = self.directory.path()?;
        let watch = Watch::new();
        let found = forebay_store::verify(&path, |progress| watch.show(progress));
        watch.clear();
        let found = found?;
        let is_sound = found.damages.is_empty();
        let more = if is_sound {
            String::new()
        } else {
            format!(
                "restore a backup, or go on without what is missing: forebay repair --accept-loss \
                 --data-dir {}",
                path.display()
            )
        };
        report(&path, &found, &more).print(&self.directory.output)?;
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}
