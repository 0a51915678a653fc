//! Which context counts for a command, and where each setting of a target comes from.

use super::context_file::{Context, ContextFile};
use crate::cli::password;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use std::path::PathBuf;

/// The variable that names a context.
const VARIABLE: &str = "FOREBAY_CONTEXT";

/// The flag. A command with two targets has it once.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContextChoice {
    name: Option<String>,
}

impl FromArgMatches for ContextChoice {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self { name: matches.get_one("context").cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ContextChoice {
    fn augment_args(command: Command) -> Command {
        if command.get_arguments().any(|argument| argument.get_id() == "context") {
            return command;
        }
        let help = "Broker by a name that `forebay context save` gave it; goes before variables of the environment \
                    [env: FOREBAY_CONTEXT, after those that name an address]";
        command.arg(Arg::new("context").long("context").value_name("NAME").help(help))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The context that counts for a target, if one does.
#[derive(Debug)]
pub(crate) struct Sources {
    chosen: Option<(String, Context)>,
}

impl ContextChoice {
    /// A context counts for a target whose address is not named in a more specific way: by a flag, or, unless a flag
    /// names the context, by a variable. So a password goes to no other address than the one that it was kept for.
    ///
    /// # Errors
    /// When the context that is named does not exist, or the file of contexts can't be used.
    pub(crate) fn sources(
        &self,
        has_address_flag: bool,
        variables: &[&str],
    ) -> Result<Sources, String> {
        if has_address_flag {
            return Ok(Sources { chosen: None });
        }
        if let Some(name) = &self.name {
            return Sources::named(name.clone(), &ContextFile::load()?);
        }
        if variables.iter().any(|name| variable(name).is_some()) {
            return Ok(Sources { chosen: None });
        }
        let file = ContextFile::load()?;
        match named_by_environment().or_else(|| file.selected.clone()) {
            Some(name) => Sources::named(name, &file),
            None => Ok(Sources { chosen: None }),
        }
    }
}

impl Sources {
    fn named(name: String, file: &ContextFile) -> Result<Self, String> {
        let context = file.get(&name)?.clone();
        Ok(Self { chosen: Some((name, context)) })
    }

    /// The flag's value, or the context's, or the variable's.
    pub(crate) fn text(&self, flag: Option<&str>, setting: &str, name: &str) -> Option<String> {
        let kept = || self.context()?.get(setting);
        flag.or_else(kept).map(str::to_owned).or_else(|| variable(name))
    }

    /// The same of a path.
    pub(crate) fn path(
        &self,
        flag: Option<&PathBuf>,
        setting: &str,
        name: &str,
    ) -> Option<PathBuf> {
        let kept = || self.context()?.get(setting).map(PathBuf::from);
        let set = || std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        flag.cloned().or_else(kept).or_else(set)
    }

    /// An address. A context that counts names it: the default is another broker than the one that is meant.
    ///
    /// # Errors
    /// When the context does not have it.
    pub(crate) fn address(
        &self,
        flag: Option<&str>,
        setting: &str,
        name: &str,
    ) -> Result<Option<String>, String> {
        match &self.chosen {
            Some((context, settings)) => match settings.get(setting) {
                Some(address) => Ok(Some(address.to_owned())),
                None => Err(format!(
                    "context `{context}` does not say where the broker is for this: add it with `forebay context \
                     save {context} --{setting} ADDRESS`, or give --{setting} here"
                )),
            },
            None => Ok(self.text(flag, setting, name)),
        }
    }

    /// The context that counts.
    pub(crate) fn context(&self) -> Option<&Context> {
        self.chosen.as_ref().map(|(_, context)| context)
    }
}

impl Context {
    /// The user's password, from the file that it names or kept in it; `None` when it keeps none.
    ///
    /// # Errors
    /// When that file can't be read.
    pub(crate) fn password(&self) -> Result<Option<String>, String> {
        match self.get("password_file") {
            Some(path) => password::first_line("password_file", path.as_ref()).map(Some),
            None => Ok(self.get("password").map(str::to_owned)),
        }
    }
}

/// The context that FOREBAY_CONTEXT names.
pub(crate) fn named_by_environment() -> Option<String> {
    variable(VARIABLE)
}

/// A variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
