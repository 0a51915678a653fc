//! `forebay man`: manual pages of all commands.

use super::target::{self, Fault, print};
use clap::{Args, Command};
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write manual pages: forebay(1), and one for each command
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  forebay man /usr/local/share/man/man1\n  \
    mkdir pages && forebay man pages")]
pub(crate) struct ManPages {
    /// A directory that exists; pages that are there are replaced
    directory: PathBuf,
}

impl ManPages {
    /// Writes the pages of this command line.
    pub(crate) fn run(self, command: Command) -> ExitCode {
        target::end(self.write(command))
    }

    fn write(&self, command: Command) -> Result<ExitCode, Fault> {
        let mut root = command.disable_help_subcommand(true);
        root.build();
        let pages = write_pages(&root, &self.directory)?;
        print(format_args!("{}: {pages} pages", self.directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A page for the command and one for each that it has. Their number.
fn write_pages(command: &Command, directory: &Path) -> Result<u64, Fault> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    Man::new(command.clone()).title(name.to_owned()).render(&mut page).map_err(fault)?;
    fs::write(&path, with_examples(&String::from_utf8_lossy(&page))).map_err(fault)?;
    let mut pages = 1;
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages += write_pages(subcommand, directory)?;
    }
    Ok(pages)
}

/// What a help text ends with are examples: lines that stay as they are, under a heading of that name.
fn with_examples(page: &str) -> String {
    let Some((before, rest)) = page.split_once("\n.SH EXTRA\n") else { return page.to_owned() };
    let (examples, after) = match rest.find("\n.SH ") {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let lines = examples.trim_end().lines().skip_while(|line| line.starts_with("Example"));
    let examples: Vec<_> = lines.map(str::trim_start).collect();
    format!("{before}\n.SH EXAMPLES\n.nf\n{}\n.fi{}\n", examples.join("\n"), after.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_lines_of_their_own() {
        let page = ".SH NAME\nx\n.SH EXTRA\nExamples:\n  x one\n  x two\n.SH VERSION\nv1\n";
        let expected = ".SH NAME\nx\n.SH EXAMPLES\n.nf\nx one\nx two\n.fi\n.SH VERSION\nv1\n";
        assert_eq!(with_examples(page), expected);
        assert_eq!(with_examples(".SH NAME\nx\n"), ".SH NAME\nx\n");
    }
}
