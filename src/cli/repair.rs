//! `forebay repair`: makes a damaged data directory usable again.

use super::data_directory::{DataDirectory, Watch, report};
use super::target::{self, FAILED, Fault};
use clap::Args;
use rustix::fs::Mode;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay repair --data-dir /var/lib/forebay                  # says what would be lost
  forebay repair --data-dir /var/lib/forebay --accept-loss
  forebay repair --accept-loss --json | jq .messages_missing";

/// Make a damaged data directory usable again, without what can't be read any more
///
/// The broker must be stopped. Everything that can still be read is copied to a new database,
/// which takes as much room on the disk as the data; the damaged one is put aside, never deleted,
/// with a report of what is missing. Killed at any time, it can be run again.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Repair {
    #[command(flatten)]
    directory: DataDirectory,
    /// Do it; without this it is only said what would be lost
    #[arg(long)]
    accept_loss: bool,
}

impl Repair {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.repair())
    }

    fn repair(&self) -> Result<ExitCode, Fault> {
        let path = self.directory.path()?;
        if self.accept_loss { self.carry_out(&path) } else { self.foretell(&path) }
    }

    fn foretell(&self, path: &Path) -> Result<ExitCode, Fault> {
        let watch = Watch::new();
        let found = forebay_store::verify(path, |progress| watch.show(progress));
        watch.clear();
        let found = found?;
        let is_sound = found.damages.is_empty();
        let more = if is_sound {
            "nothing is to be repaired".to_owned()
        } else {
            "nothing was changed; with --accept-loss the damaged files are put aside, and what is \
             readable is kept"
                .to_owned()
        };
        let mut answer = report(path, &found, &more);
        note(&mut answer.json, false, None);
        answer.print(&self.directory.output)?;
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn carry_out(&self, path: &Path) -> Result<ExitCode, Fault> {
        refuse_foreign_owner(path)?;
        // Whatever is written is for this user only.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let watch = Watch::new();
        let repair = forebay_store::repair_accepting_loss(path, |progress| watch.show(progress));
        watch.clear();
        let repair = repair?;
        let aside = repair.damaged_files.as_deref();
        let more = match aside {
            None => "nothing was damaged, nothing was changed".to_owned(),
            Some(aside) => format!(
                "repaired: the broker can be started; the damaged files and this report are in {}",
                aside.display()
            ),
        };
        let mut answer = report(path, &repair.kept, &more);
        note(&mut answer.json, aside.is_some(), aside);
        answer.print(&self.directory.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn note(json: &mut Value, is_repaired: bool, aside: Option<&Path>) {
    if let Value::Object(members) = json {
        members.insert("repaired".to_owned(), json!(is_repaired));
        let aside = aside.map(|path| path.display().to_string());
        members.insert("damaged_files".to_owned(), json!(aside));
    }
}

/// What root makes, the broker's user can't read.
fn refuse_foreign_owner(path: &Path) -> Result<(), Fault> {
    // What is wrong with the path is said when it is opened.
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let (path, owner) = (path.display(), metadata.uid());
    let text = format!(
        "data directory {path} belongs to user id {owner}: run this as that user, or the broker \
         can't read what is made"
    );
    Err(text.into())
}
