//! An object of the admin listener that a command names: finding it, deleting it, and saying that it is not there.

use super::admin::AdminTarget;
use super::confirmation::Deletion;
use super::target::{Answer, Fault};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};

/// What a command is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What it is called: `user`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Where it is in; `None` for what is in no virtual host.
    pub(crate) vhost: Option<String>,
    /// Its path at the listener.
    pub(crate) path: String,
    /// The command that lists such objects.
    pub(crate) list: &'static str,
}

impl Display for Subject {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)?;
        match &self.vhost {
            Some(vhost) => write!(formatter, " in vhost `{vhost}`"),
            None => Ok(()),
        }
    }
}

impl Subject {
    /// The object as the listener describes it.
    ///
    /// # Errors
    /// When it is not there, which names the command that shows what is, or the listener can't be asked.
    pub(crate) fn get(&self, admin: &AdminTarget) -> Result<Value, Fault> {
        admin.find(&self.path)?.ok_or_else(|| self.missing())
    }

    /// That it is not there.
    pub(crate) fn missing(&self) -> Fault {
        format!("no {self}; `{}` shows what there is", self.list).into()
    }

    /// Asks in a terminal and deletes it. `loss` says what is gone then.
    ///
    /// # Errors
    /// When it is not there and `--if-exists` was not given, the question was answered otherwise, or the listener
    /// refuses.
    pub(crate) fn delete(
        &self,
        admin: &AdminTarget,
        deletion: &Deletion,
        loss: &str,
    ) -> Result<Answer, Fault> {
        let is_there = admin.find(&self.path)?.is_some();
        self.end(deletion, is_there, "deleted", || {
            deletion.ask(loss, self.kind, &self.name)?;
            Ok(admin.request("DELETE", &self.path, &[]).map(drop)?)
        })
    }

    /// Does what ends it if it is there.
    ///
    /// # Errors
    /// When it is not there and `--if-exists` was not given, or `end` fails.
    pub(crate) fn end(
        &self,
        deletion: &Deletion,
        is_there: bool,
        done: &str,
        end: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<Answer, Fault> {
        match is_there {
            true => end().map(|()| self.answer(done, true)),
            false if deletion.if_exists => Ok(self.answer("there was none", false)),
            false => Err(self.missing()),
        }
    }

    /// What was done, with whether it changed anything.
    pub(crate) fn answer(&self, done: &str, is_changed: bool) -> Answer {
        Answer {
            text: format!("{self}: {done}"),
            json: json!({
                "kind": self.kind,
                "name": self.name,
                "vhost": self.vhost,
                "done": done,
                "changed": is_changed,
            }),
        }
    }
}
