//! Contexts: several brokers by name.

use crate::ground::Ground;
use crate::terminal::{Done, command};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;

/// A user with a home, and no variable that names a broker.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Done {
        let mut command = command(arguments);
        command.env_remove("AMQP_URL").env("XDG_CONFIG_HOME", self.0.path());
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        Done::of(command)
    }

    fn says(&self, arguments: &[&str]) -> Done {
        self.run(arguments, &[])
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("forebay").join("contexts.json")
    }
}

#[test]
fn a_context_names_a_broker_for_every_command() {
    let (ground, home) = (Ground::open(), Home::new());
    ground.add_user("app", &["management"]);
    ground.ask(&["permission", "set", "app", "--all"]).success();
    let password = ground.file("app.password", "pw\n");
    let (url, admin, password) = (&*ground.url, &*ground.admin, password.to_str().unwrap());
    let save = ["context", "save", "shop", "--url", url, "--admin", admin, "--user", "app"];
    home.says(&[&save[..], &["--password-file", password]].concat()).success();
    home.says(&["queue", "declare", "orders", "--context", "shop"]).success();
    let who = home.says(&["user", "whoami", "--context", "shop", "--json"]).json();
    assert_eq!(who["name"], "app", "the password goes to both listeners");
    let who = home.run(&["user", "whoami", "--json"], &[("FOREBAY_CONTEXT", "shop")]).json();
    assert_eq!(who["name"], "app");
    let shown = home.run(&["context", "show", "--json"], &[("FOREBAY_CONTEXT", "shop")]).json();
    assert_eq!((&shown["name"], &shown["selected"]), (&json!("shop"), &json!(false)));
    home.says(&["context", "select", "shop"]).success();
    assert_eq!(home.says(&["user", "whoami", "--json"]).json()["name"], "app");
    home.says(&["publish", "--queue", "orders", "x"]).success();
    // An address that is named goes before it, and gets nothing of it.
    let named = home.says(&["user", "whoami", "--admin", admin, "--json"]).json();
    assert_eq!(named["name"], "guest");
    let named = home.run(&["user", "whoami", "--json"], &[("FOREBAY_ADMIN", admin)]).json();
    assert_eq!(named["name"], "guest");
    // The flag goes before variables.
    let flag = ["user", "whoami", "--json", "--context", "shop"];
    let nowhere = [("FOREBAY_ADMIN", "127.0.0.1:1"), ("AMQP_URL", "amqp://127.0.0.1:1")];
    assert_eq!(home.run(&flag, &nowhere).json()["name"], "app");
    home.run(&["publish", "--queue", "orders", "x", "--context", "shop"], &nowhere).success();
    home.says(&["context", "select", "--none"]).success();
    assert_eq!(home.says(&["context", "show"]).code, Some(1));
}

#[test]
fn what_is_kept_is_for_its_owner_and_passwords_are_not_shown() {
    let home = Home::new();
    let save = [
        "context",
        "save",
        "prod",
        "--url",
        "amqp://app:secret@broker",
        "--admin",
        "https://broker",
    ];
    assert_eq!(home.says(&save).success(), "prod: made\n");
    assert_eq!(
        home.says(&["context", "save", "prod", "--description", "d"]).success(),
        "prod: changed\n"
    );
    assert_eq!(home.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for output in ["table", "json", "csv"] {
        for list in [&["context", "list"][..], &["context", "show", "prod"]] {
            let shown = home.says(&[list, &["--output", output]].concat()).success();
            assert!(
                shown.contains("amqp://app:***@broker") && !shown.contains("secret"),
                "{shown}"
            );
        }
    }
    let listed = home.says(&["context", "list", "--json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["selected"]), (&json!("prod"), &json!(false)));
    std::fs::set_permissions(home.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = home.says(&["context", "list"]).failure();
    assert!(readable.contains("chmod 600"), "{readable}");
}

#[test]
fn a_password_is_kept_on_demand() {
    let home = Home::new();
    let mut save = command(&[
        "context",
        "save",
        "prod",
        "--admin",
        "broker",
        "--user",
        "app",
        "--ask-password",
    ]);
    save.env("XDG_CONFIG_HOME", home.0.path());
    Done::with_input(save, "pw\n").success();
    let shown = home.says(&["context", "show", "prod", "--json"]).json();
    assert_eq!(shown["password"], "kept in the file of contexts");
    assert!(std::fs::read_to_string(home.file()).unwrap().contains("\"pw\""));
}

#[test]
fn what_is_not_there_is_named() {
    let home = Home::new();
    let missing = home.says(&["queue", "list", "--context", "prod"]).failure();
    assert_eq!(missing, "no context `prod`; `forebay context save prod` makes one");
    home.says(&["context", "save", "amqp-only", "--url", "amqp://broker"]).success();
    let missing = home.says(&["context", "select", "prod"]).failure();
    assert_eq!(missing, "no context `prod`; there are `amqp-only`");
    assert_eq!(home.says(&["context", "remove", "prod"]).failure(), missing);
    home.says(&["context", "remove", "prod", "--if-exists"]).success();
    // The default is another broker than the one that is meant.
    let half = home.says(&["queue", "list", "--context", "amqp-only"]).failure();
    assert!(half.contains("context save amqp-only --admin ADDRESS"), "{half}");
    for wrong in [
        &["context", "save", "a b", "--url", "amqp://x"][..],
        &["context", "save", "x", "--url", "http://x"],
        &["context", "save", "x", "--admin", "amqp://x"],
        &["context", "select"],
    ] {
        assert_eq!(home.says(wrong).code, Some(2), "{wrong:?}");
    }
    let empty = home.says(&["context", "save", "x", "--user", "app"]).failure();
    assert!(empty.contains("needs an address"), "{empty}");
    home.says(&["context", "remove", "amqp-only"]).success();
    assert_eq!(home.says(&["context", "list", "--json"]).json(), json!([]));
}
