//! Passwords come from files too, so that they are neither arguments nor variables.

use crate::harness::broker::Broker;
use crate::terminal::{command, run};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// A file with this in it.
fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Declares a queue where the variable says, without AMQP_URL.
fn declared_by(variable: &Path) -> Output {
    let mut command = command(&["queue", "declare", "q"]);
    command.env_remove("AMQP_URL").env("AMQP_URL_FILE", variable).output().unwrap()
}

#[test]
fn the_url_of_a_broker_can_stand_in_a_file() {
    let (data, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let broker = Broker::start(data.path());
    let directory = directory.path();
    let url = format!("amqp://guest:guest@{}", broker.address);
    let good = file(directory, "good", &format!("{url}\n"));
    let wrong = file(directory, "wrong", &format!("amqp://guest:other@{}\n", broker.address));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    run(&["queue", "declare", "q", "--url-file", &path(&good)]).success();
    // It is the file that counts, and not what else is named.
    let refused =
        run(&["queue", "count", "q", "--url-file", &path(&wrong), "--url", &url]).failure();
    assert!(refused.contains("refused user `guest`"), "{refused}");
    let done = declared_by(&good);
    assert!(done.status.success(), "{done:?}");
    let refused = declared_by(&wrong);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refused user"), "{refused:?}");
    // A flag goes before the environment.
    let mut flag = command(&["queue", "count", "q", "--url", &url]);
    let done = flag.env_remove("AMQP_URL").env("AMQP_URL_FILE", &wrong).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_file_that_holds_no_url_is_named() {
    let directory = TempDir::new().unwrap();
    let empty = file(directory.path(), "empty", "\n");
    let missing = directory.path().join("missing");
    for path in [&empty, &missing] {
        let text = path.to_str().unwrap();
        let failure = run(&["queue", "count", "q", "--url-file", text]).failure();
        assert!(failure.contains("--url-file") && failure.contains(text), "{failure}");
        let failure = declared_by(path);
        let failure = String::from_utf8_lossy(&failure.stderr).into_owned();
        assert!(failure.contains("AMQP_URL_FILE") && failure.contains(text), "{failure}");
    }
}

#[test]
fn the_password_for_the_admin_listener_can_stand_in_a_file() {
    let (data, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let broker = Broker::start(data.path());
    let admin = broker.admin.to_string();
    let asked = |text: &str| {
        let path = file(directory.path(), "password", text);
        let mut command = command(&["status", "--admin", &admin]);
        command.env("FOREBAY_ADMIN_PASSWORD_FILE", path).output().unwrap().status.code()
    };
    assert_eq!((asked("guest\n"), asked("other\n")), (Some(0), Some(1)));
}
