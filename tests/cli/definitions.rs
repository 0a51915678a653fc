//! `definitions`: files that are written, read and refused.

use crate::harness::broker::Broker;
use crate::terminal::{Done, run};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A broker, and a directory for files.
struct Desk {
    directory: TempDir,
    admin: String,
    _data: TempDir,
    _broker: Broker,
}

impl Desk {
    fn new() -> Self {
        let (data, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let broker = Broker::start(data.path());
        let admin = broker.admin.to_string();
        Self { directory, admin, _data: data, _broker: broker }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn written(&self, name: &str, definitions: &Value) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, definitions.to_string()).unwrap();
        path
    }

    fn ask(&self, arguments: &[&str], file: &Path) -> Done {
        let file = file.to_str().unwrap();
        // A check asks no broker.
        let admin = ["--admin", &self.admin];
        let target: &[&str] = if arguments.contains(&"check") { &[] } else { &admin };
        run(&[&["definitions"], arguments, &[file], target].concat())
    }

    fn exported(&self, arguments: &[&str]) -> Value {
        let done =
            run(&[&["definitions", "export", "-", "--admin", &self.admin], arguments].concat());
        done.json()
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn names(objects: &Value) -> Vec<&str> {
    objects.as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect()
}

#[test]
fn an_export_is_for_its_owners_eyes() {
    let desk = Desk::new();
    let file = desk.file("new.json");
    desk.ask(&["export"], &file).success();
    assert_eq!(mode(&file), 0o600);
    let exported: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(exported["users"][0]["password_hash"].is_string(), "{exported}");
    // Also where there was a file that everybody could read, and more in it.
    let file = desk.file("old.json");
    std::fs::write(&file, vec![b'x'; 100_000]).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    desk.ask(&["export"], &file).success();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap(), exported);
}

#[test]
fn the_file_of_one_virtual_host_is_written_and_taken_for_another() {
    let desk = Desk::new();
    let whole = json!({
        "vhosts": [{ "name": "shop" }, { "name": "other/shop" }],
        "queues": [
            { "name": "orders", "vhost": "shop", "durable": true, "auto_delete": false, "arguments": {} },
            { "name": "here", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {} },
        ],
    });
    desk.ask(&["import"], &desk.written("whole.json", &whole)).success();
    let file = desk.file("shop.json");
    desk.ask(&["export", "--vhost", "shop"], &file).success();
    assert_eq!(mode(&file), 0o600);
    let shop: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(names(&shop["queues"]), ["orders"]);
    assert_eq!((&shop["queues"][0].get("vhost"), &shop.get("users")), (&None, &None));
    // Without --vhost nobody knows where it belongs.
    for command in ["check", "import"] {
        let done = desk.ask(&[command], &file);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.errors.contains("--vhost"), "{}", done.errors);
        let output = desk.ask(&[command, "--vhost", "other/shop"], &file).success();
        assert_eq!(output.is_empty(), command == "import", "{output}");
    }
    assert_eq!(names(&desk.exported(&["--vhost", "other/shop"])["queues"]), ["orders"]);
    let missing = desk.ask(&["export", "--vhost", "nowhere"], &desk.file("none.json"));
    assert!(missing.code == Some(1) && missing.errors.contains("nowhere"), "{missing:?}");
    assert!(!desk.file("none.json").exists());
}

#[test]
fn what_has_no_meaning_here_is_refused_all_at_once_or_passed_over_by_name() {
    let desk = Desk::new();
    let file = desk.written(
        "rabbitmq.json",
        &json!({
            "queues": [
                { "name": "log", "vhost": "/", "durable": true, "auto_delete": false,
                  "arguments": { "x-queue-type": "stream" } },
                { "name": "orders", "vhost": "/", "durable": true, "auto_delete": false,
                  "arguments": {} },
            ],
            "policies": [
                { "name": "federate", "vhost": "/", "pattern": ".*", "apply-to": "queues",
                  "priority": 0, "definition": { "federation-upstream-set": "all" } },
            ],
            "topic_permissions": [
                { "user": "guest", "vhost": "/", "exchange": "x", "write": "a", "read": "b" },
            ],
        }),
    );
    for command in ["check", "import"] {
        let done = desk.ask(&[command], &file);
        assert_eq!(done.code, Some(1), "{done:?}");
        for place in ["queues[0]", "policies[0]", "topic_permissions[0]"] {
            assert!(done.errors.contains(place), "{command} {place}: {}", done.errors);
        }
    }
    assert_eq!(names(&desk.exported(&[])["queues"]), [""; 0]);
    for command in ["check", "import"] {
        let done = desk.ask(&[command, "--skip-unsupported"], &file);
        assert_eq!(done.code, Some(0), "{done:?}");
        for thing in ["log", "federat", "topic"] {
            assert!(done.errors.contains(thing), "{command} {thing}: {}", done.errors);
        }
    }
    assert_eq!(names(&desk.exported(&[])["queues"]), ["orders"]);
}
