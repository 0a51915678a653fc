//! Users as RabbitMQ has them: a default user that is made once and can be deleted, users of the
//! configuration file, and what a request must say.

use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::http::Admin;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A launch with a configuration file of this text beside the data.
fn configured(directory: &Path, text: &str) -> Launch {
    let path = directory.join("forebay.toml");
    std::fs::write(&path, text).unwrap();
    Launch::on(&directory.join("data")).argument("--config").argument(path.to_str().unwrap())
}

fn user_of_file(name: &str, password: &str, more: &str) -> String {
    let hash = forebay_server::auth::user::hash_password(password.as_bytes()).unwrap();
    format!("[[users]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\n{more}\n")
}

/// The status of a request by this user.
fn login(broker: &Broker, name: &str, password: &str) -> u16 {
    Admin::user(broker, name, password).ask("GET", "/api/whoami", &Value::Null).status
}

fn names(admin: &Admin) -> Vec<String> {
    let users = admin.get("/api/users");
    let names = users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn the_default_user_that_is_deleted_stays_deleted() {
    let data = TempDir::new().unwrap();
    let mut broker = Broker::start(data.path());
    let guest = Admin::guest(&broker);
    assert_eq!(names(&guest), ["guest"]);
    guest.done("PUT", "/api/users/root", &json!({ "password": "r", "tags": "administrator" }));
    // What a changed password is worth before the deletion.
    guest.done("PUT", "/api/users/guest", &json!({ "password": "x", "tags": "management" }));
    assert_eq!((login(&broker, "guest", "guest"), login(&broker, "guest", "x")), (401, 200));
    let root = Admin::user(&broker, "root", "r");
    assert_eq!(root.ask("DELETE", "/api/users/guest", &Value::Null).status, 204);
    for _ in 0..2 {
        assert_eq!(names(&Admin::user(&broker, "root", "r")), ["root"]);
        assert_eq!((login(&broker, "guest", "guest"), login(&broker, "guest", "x")), (401, 401));
        broker.kill();
        broker = Broker::start(data.path());
    }
    // The environment names no user once that is decided.
    broker.kill();
    let launch = Launch::on(data.path())
        .variable("RABBITMQ_DEFAULT_USER", "guest")
        .variable("RABBITMQ_DEFAULT_PASS", "again");
    let broker = Broker::launch(&launch);
    assert_eq!(login(&broker, "guest", "again"), 401);
    broker.log_line(|line| line.contains("the default user is not made again"));
    // Nor is there one when nobody is left.
    Admin::user(&broker, "root", "r").done("DELETE", "/api/users/root", &Value::Null);
    broker.kill();
    let broker = Broker::start(data.path());
    assert_eq!((login(&broker, "guest", "guest"), login(&broker, "root", "r")), (401, 401));
    broker.log_line(|line| line.contains("there is no user, so nobody can log in"));
}

#[test]
fn the_default_user_that_was_changed_stays_changed() {
    let data = TempDir::new().unwrap();
    let launch = || {
        Launch::on(data.path())
            .variable("RABBITMQ_DEFAULT_USER", "ops")
            .variable("RABBITMQ_DEFAULT_PASS", "first")
            .variable("RABBITMQ_DEFAULT_VHOST", "shop")
    };
    let broker = Broker::launch(&launch());
    let ops = Admin::user(&broker, "ops", "first");
    assert_eq!(names(&ops), ["ops"]);
    let everything = json!({
        "user": "ops", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"
    });
    assert_eq!(ops.get("/api/permissions"), json!([everything]));
    ops.done("PUT", "/api/users/ops", &json!({ "password": "second", "tags": "administrator" }));
    broker.kill();
    let broker = Broker::launch(&launch());
    assert_eq!((login(&broker, "ops", "first"), login(&broker, "ops", "second")), (401, 200));
    broker.log_line(|line| line.contains("the stored password of the default user stays"));
}

#[test]
fn whoever_is_named_elsewhere_takes_the_place_of_the_default_user() {
    let directory = TempDir::new().unwrap();
    let file = user_of_file("root", "r", "tags = [\"administrator\"]");
    let broker = Broker::launch(&configured(directory.path(), &file));
    assert_eq!((login(&broker, "guest", "guest"), login(&broker, "root", "r")), (401, 200));
    broker.kill();
    // It is not made later either.
    let broker = Broker::launch(&configured(directory.path(), ""));
    assert_eq!((login(&broker, "guest", "guest"), login(&broker, "root", "r")), (401, 401));
    broker.kill();

    let directory = TempDir::new().unwrap();
    let definitions = directory.path().join("definitions.json");
    let text = r#"{"users":[{"name":"root","password":"r","tags":"administrator"}]}"#;
    std::fs::write(&definitions, text).unwrap();
    let file = format!("load_definitions = {definitions:?}\n");
    let broker = Broker::launch(&configured(directory.path(), &file));
    assert_eq!((login(&broker, "guest", "guest"), login(&broker, "root", "r")), (401, 200));
}

#[test]
fn a_default_user_without_a_password_is_refused_and_files_hold_secrets() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let launch = Launch::on(&data).variable("RABBITMQ_DEFAULT_USER", "ops");
    let refusal = Broker::try_launch(&launch).err().unwrap();
    assert!(refusal.log.contains("RABBITMQ_DEFAULT_PASS_FILE"), "{}", refusal.log);
    assert!(!data.exists());
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "pa ss\n").unwrap();
    let launch = launch.variable("RABBITMQ_DEFAULT_PASS_FILE", secret.to_str().unwrap());
    let broker = Broker::launch(&launch);
    assert_eq!((login(&broker, "ops", "pa ss"), login(&broker, "ops", "guest")), (200, 401));
}

#[test]
fn a_user_of_the_configuration_is_changed_there_only() {
    let directory = TempDir::new().unwrap();
    let file =
        user_of_file("root", "r", "tags = [\"administrator\"]") + &user_of_file("app", "old", "");
    let broker = Broker::launch(&configured(directory.path(), &file));
    let root = Admin::user(&broker, "root", "r");
    let before = root.get("/api/users/app");
    let change = json!({ "password": "new", "tags": "administrator" });
    for (method, body) in [("PUT", &change), ("DELETE", &Value::Null)] {
        for name in ["app", "root"] {
            let (status, reason) = root.refused(method, &format!("/api/users/{name}"), body);
            assert_eq!(status, 400);
            assert!(reason.contains("comes from the configuration file"), "{reason}");
        }
    }
    assert_eq!(root.get("/api/users/app"), before);
    // A file may name it as well: that is said.
    let file = r#"{"users":[{"name":"app","password":"imported","tags":"administrator"}]}"#;
    assert_eq!(root.send("POST", "/api/definitions", file.as_bytes()).status, 204);
    broker.log_line(|line| line.contains("users[0]: has no effect"));
    assert_eq!(root.get("/api/users/app"), before);
}

#[test]
fn a_request_for_a_user_says_what_rabbitmq_wants_to_hear() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/users/u", &json!({ "password": "x", "tags": "management" }));
    let before = admin.get("/api/users/u");
    for body in [json!({ "password": "y" }), json!({}), Value::Null] {
        let refused = admin.refused("PUT", "/api/users/u", &body);
        assert_eq!(refused, (400, "tags_not_present".to_owned()));
    }
    let both = json!({ "password": "y", "password_hash": "", "tags": "" });
    let refused = admin.refused("PUT", "/api/users/u", &both);
    assert_eq!(refused, (400, "both_password_and_password_hash_are_provided".to_owned()));
    assert_eq!(admin.get("/api/users/u"), before, "nothing was changed");
    // Without a password nobody can log in by it; RabbitMQ's first versions had one flag for tags.
    admin.done("PUT", "/api/users/u", &json!({ "tags": "monitoring" }));
    assert_eq!(admin.get("/api/users/u")["tags"], json!(["monitoring"]));
    assert_eq!(login(&broker, "u", "x"), 401);
    admin.done("PUT", "/api/users/u", &json!({ "password": "z", "administrator": "true" }));
    assert_eq!(admin.get("/api/users/u")["tags"], json!(["administrator"]));
    assert_eq!(login(&broker, "u", "z"), 200);
}

#[test]
fn whoever_makes_a_virtual_host_may_work_in_it() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    admin.done("PUT", "/api/users/root", &json!({ "password": "r", "tags": "administrator" }));
    let root = Admin::user(&broker, "root", "r");
    root.done("PUT", "/api/vhosts/v", &Value::Null);
    root.done("PUT", "/api/queues/v/q", &json!({}));
    assert_eq!(admin.refused("PUT", "/api/queues/v/q2", &json!({})).0, 401);
    // One that is there already gives nothing away.
    admin.done("PUT", "/api/vhosts/v", &Value::Null);
    assert_eq!(admin.refused("PUT", "/api/queues/v/q2", &json!({})).0, 401);
}

#[test]
fn a_file_with_a_password_that_everybody_knows_is_warned_of() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let admin = Admin::guest(&broker);
    // What an export of a broker with its default user looks like.
    let export = admin.get("/api/definitions");
    assert_eq!(export["users"][0]["name"], "guest", "{export}");
    admin.done("POST", "/api/definitions", &export);
    broker.log_line(|line| {
        line.contains("users[0]: the password of user 'guest' is 'guest'") && line.contains("WARN")
    });
}
