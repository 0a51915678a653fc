//! A broker of a test's own, asked over its admin listener and over AMQP.

use crate::harness::broker::Broker;
use crate::terminal::{Done, run};
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) struct Ground {
    directory: TempDir,
    _data: TempDir,
    pub(crate) admin: String,
    pub(crate) url: String,
    _broker: Broker,
}

impl Ground {
    pub(crate) fn open() -> Self {
        let data = TempDir::new().unwrap();
        let broker = Broker::start(data.path());
        let (admin, url) = (broker.admin.to_string(), format!("amqp://{}", broker.address));
        Self { directory: TempDir::new().unwrap(), _data: data, admin, url, _broker: broker }
    }

    /// Asks the admin listener as an administrator.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Done {
        run(&[arguments, &["--admin", &self.admin]].concat())
    }

    /// Asks the admin listener as a user whose password is `pw`.
    pub(crate) fn ask_as(&self, user: &str, arguments: &[&str]) -> Done {
        let password = self.file("as.password", "pw\n");
        let password = password.to_str().unwrap();
        self.ask(&[arguments, &["--user", user, "--password-file", password]].concat())
    }

    /// Speaks AMQP.
    pub(crate) fn say(&self, arguments: &[&str]) -> Done {
        run(&[arguments, &["--url", &self.url]].concat())
    }

    /// A file with this in it.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Makes a user with the password `pw`.
    pub(crate) fn add_user(&self, name: &str, tags: &[&str]) {
        let password = self.file("new.password", "pw\n");
        let tags: Vec<_> = tags.iter().flat_map(|tag| ["--tag", tag]).collect();
        let add = ["user", "add", name, "--new-password-file", password.to_str().unwrap()];
        self.ask(&[&add[..], &tags].concat()).success();
    }
}
