//! `forebay user`: who may log in.

use super::admin::{AdminTarget, segment};
use super::confirmation::Deletion;
use super::listing::{self, Column, json as json_column, text, words};
use super::output::Output;
use super::password::NewPassword;
use super::subject::Subject;
use super::target::{self, Fault};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay user list
  forebay user add app --new-password-file app.password
  forebay user password app
  forebay user tags monitor monitoring";

/// List, make, change and delete users
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum User {
    /// List the users with their tags
    #[command(after_help = "Example:\n  forebay user list --output csv")]
    List(List),
    /// Show one user: tags, limits, and whether it has a password
    #[command(after_help = "Example:\n  forebay user show app --json")]
    Show(Named),
    /// Show who a command with the same options logs in as
    #[command(after_help = "Example:\n  forebay user whoami --context prod")]
    Whoami(List),
    /// Make a user; without a permission it may enter no virtual host
    ///
    /// The password is asked for in a terminal, and read from standard input otherwise; a line feed at its end does not
    /// belong to it.
    #[command(
        after_help = "Examples:\n  forebay user add app --new-password-file app.password\n  \
        forebay user add monitor --tag monitoring --password-hash '$argon2id$v=19$...'\n  \
        forebay user add service --no-password                    # logs in by a certificate"
    )]
    Add(Add),
    /// Change a user's password
    ///
    /// It is asked for in a terminal, and read from standard input otherwise. Open connections stay.
    #[command(
        after_help = "Example:\n  forebay user password app --new-password-file app.password"
    )]
    Password(Password),
    /// Set a user's tags; without any, all are taken away
    ///
    /// `administrator`, `monitoring`, `policymaker` and `management` admit to the admin listener and to the page.
    #[command(after_help = "Example:\n  forebay user tags monitor monitoring")]
    Tags(Tags),
    /// Delete a user and close its connections; asks first in a terminal
    #[command(after_help = "Example:\n  forebay user delete app --yes")]
    Delete(Delete),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    admin: AdminTarget,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    admin: AdminTarget,
    /// Name of the user
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    password: NewPassword,
    /// The password's hash, as `forebay hash-password` or a file of definitions has it
    #[arg(long, value_name = "HASH", conflicts_with = "new_password_file")]
    password_hash: Option<String>,
    /// How the hash was made [default: forebay_argon2id for one that begins with $argon2id$, otherwise
    /// rabbit_password_hashing_sha256]
    #[arg(long, value_name = "NAME", requires = "password_hash")]
    hashing_algorithm: Option<String>,
    /// No password: no log-in with one
    #[arg(long, conflicts_with_all = ["new_password_file", "password_hash"])]
    no_password: bool,
    /// A tag; may be repeated
    #[arg(long)]
    tag: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Password {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    password: NewPassword,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Tags {
    #[command(flatten)]
    named: Named,
    /// The tags
    tags: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    deletion: Deletion,
}

const LIST: [Column; 2] = [text("name", "/name"), words("tags", "/tags")];

const SHOW: [Column; 4] = [
    text("name", "/name"),
    words("tags", "/tags"),
    text("password", "/password"),
    json_column("limits", "/limits"),
];

impl User {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match self {
            Self::List(list) => list.print("/api/users"),
            Self::Whoami(list) => list.print_one("/api/whoami"),
            Self::Show(named) => named.print(),
            Self::Add(add) => add.carry_out(),
            Self::Password(password) => password.carry_out(),
            Self::Tags(tags) => tags.carry_out(),
            Self::Delete(delete) => delete.carry_out(),
        })
    }
}

impl List {
    fn print(&self, path: &str) -> Result<ExitCode, Fault> {
        let users: Vec<_> = self.admin.list(path)?.into_iter().map(with_tag_list).collect();
        listing::print_list(&LIST, &users, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print_one(&self, path: &str) -> Result<ExitCode, Fault> {
        listing::print_object(&LIST, &with_tag_list(self.admin.get(path)?), &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn subject(&self) -> Subject {
        Subject {
            kind: "user",
            name: self.name.clone(),
            vhost: None,
            path: format!("/api/users/{}", segment(&self.name)),
            list: "forebay user list",
        }
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        let mut user = with_tag_list(self.subject().get(&self.admin)?);
        let algorithm = match user.get("password_hash").and_then(Value::as_str) {
            Some("") => "none, or kept in the configuration".to_owned(),
            _ => user.get("hashing_algorithm").and_then(Value::as_str).unwrap_or("-").to_owned(),
        };
        if let Some(members) = user.as_object_mut() {
            members.insert("password".to_owned(), algorithm.into());
        }
        listing::print_object(&SHOW, &user, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Replaces one member and keeps the others: the listener sets password and tags together.
    fn change(
        &self,
        done: &str,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<ExitCode, Fault> {
        let subject = self.subject();
        let user = with_tag_list(subject.get(&self.admin)?);
        let mut body = Map::new();
        for member in ["password_hash", "hashing_algorithm", "tags"] {
            body.extend(user.get(member).map(|value| (member.to_owned(), value.clone())));
        }
        change(&mut body);
        self.admin.put(&subject.path, &body.into())?;
        subject.answer(done, true).print(&self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let subject = self.named.subject();
        if self.named.admin.find(&subject.path)?.is_some() {
            let text = format!(
                "{subject} exists already; change it with `forebay user password` and `forebay user tags`"
            );
            return Err(text.into());
        }
        let mut body = Map::from_iter([("tags".to_owned(), json!(self.tag))]);
        if let Some(hash) = &self.password_hash {
            body.insert("password_hash".to_owned(), json!(hash));
            let is_ours = hash.starts_with("$argon2id$");
            let ours = is_ours.then(|| "forebay_argon2id".to_owned());
            let algorithm = self.hashing_algorithm.clone().or(ours);
            body.extend(algorithm.map(|name| ("hashing_algorithm".to_owned(), json!(name))));
        } else if self.no_password {
            body.insert("password_hash".to_owned(), json!(""));
        } else {
            body.insert("password".to_owned(), json!(self.password.read_text()?));
        }
        self.named.admin.put(&subject.path, &body.into())?;
        subject.answer("made", true).print(&self.named.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Password {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        // Before it is asked for: a slip in the name should cost no typing.
        self.named.subject().get(&self.named.admin)?;
        let password = self.password.read_text()?;
        self.named.change("password changed", |body| {
            body.remove("password_hash");
            body.remove("hashing_algorithm");
            body.insert("password".to_owned(), password.into());
        })
    }
}

impl Tags {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let done = match self.tags.as_slice() {
            [] => "no tags".to_owned(),
            tags => format!("tags {}", tags.join(", ")),
        };
        self.named.change(&done, |body| {
            body.insert("tags".to_owned(), json!(self.tags));
        })
    }
}

impl Delete {
    fn carry_out(&self) -> Result<ExitCode, Fault> {
        let Named { admin, output, .. } = &self.named;
        let loss =
            "the user, its permissions and limits will be deleted, and its connections closed";
        self.named.subject().delete(admin, &self.deletion, loss)?.print(output)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// RabbitMQ before 3.9 writes tags as one text with commas.
fn with_tag_list(mut user: Value) -> Value {
    if let Some(tags) = user.get_mut("tags")
        && let Some(text) = tags.as_str()
    {
        *tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_list_whatever_the_broker_says() {
        for tags in [json!("administrator, monitoring"), json!(["administrator", "monitoring"])] {
            let user = with_tag_list(json!({ "tags": tags }));
            assert_eq!(user["tags"], json!(["administrator", "monitoring"]));
        }
        assert_eq!(with_tag_list(json!({ "tags": "" }))["tags"], json!([]));
    }
}
