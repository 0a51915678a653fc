//! A data directory with something in each kind of file, and what was confirmed of it.

use crate::commands::{Done, forebay};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What each queue holds, by its name: the bodies that were confirmed and not acknowledged.
pub(crate) type Queues = BTreeMap<String, BTreeSet<String>>;

/// A directory that no broker has open.
pub(crate) struct Ground {
    pub(crate) directory: PathBuf,
    pub(crate) queues: Queues,
}

/// Filled once; the tests take copies.
pub(crate) fn ground() -> &'static Ground {
    static GROUND: OnceLock<(TempDir, Ground)> = OnceLock::new();
    let (_, ground) = GROUND.get_or_init(|| {
        let parent = TempDir::new().unwrap();
        let directory = parent.path().join("data");
        let queues = fill(&directory);
        (parent, Ground { directory, queues })
    });
    ground
}

/// A copy of it in a new directory.
pub(crate) fn copy() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("data");
    copy_directory(&ground().directory, &directory);
    (parent, directory)
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// All files below a directory that are not empty.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The queue that makes the store move its memory to tables.
const BALLAST: &str = "ballast";

/// The user of the commands, for a broker that may have lost the record of it: a password that everybody knows is
/// not made again.
const ADMINISTRATOR: &str = r#"
[[users]]
name = "guest"
password_hash = "$argon2id$v=19$m=7168,t=5,p=1$poCoD4UkzSi6dyJiUlrd6A$UjeYQh3m4ZMIAk+eEckWtBaDvbljHEQPZbZHB8cYPi8"
tags = ["administrator"]
permissions = [{ vhost = "/", configure = ".*", write = ".*", read = ".*" }]
"#;

/// Takes everything out of every queue of a directory, but for the ballast: it is back where the end of
/// the journal is lost, in which it was deleted, and one message of it is like another.
pub(crate) fn drain(directory: &Path) -> Queues {
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), ADMINISTRATOR).unwrap();
    let settings = settings.path().to_str().unwrap();
    let launch = Launch::on(directory).argument("--config").argument(settings);
    let broker = Broker::launch(&launch);
    let mut queues = Queues::new();
    let list = forebay(&["queue", "list", "--json"], &broker).success();
    let list: Value = serde_json::from_str(&list).unwrap();
    for queue in list.as_array().unwrap() {
        let name = queue["name"].as_str().unwrap();
        if name == BALLAST {
            continue;
        }
        let ready = queue["ready"].as_u64().unwrap();
        let bodies = queues.entry(name.to_owned()).or_default();
        if ready > 0 {
            let count = ready.to_string();
            let taken = forebay(&["consume", name, "--ack", "--count", &count, "--json"], &broker);
            for line in taken.success().lines() {
                let message: Value = serde_json::from_str(line).unwrap();
                assert!(bodies.insert(message["body"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(bodies.len() as u64, ready, "{name}");
    }
    queues
}

/// Pages, bodies, settled states and records, in tables and in the journal.
fn fill(directory: &Path) -> Queues {
    let broker = Broker::start(directory);
    let mut queues = Queues::new();
    let declare = |arguments: &[&str]| -> Done {
        forebay(&[&["queue", "declare"], arguments].concat(), &broker)
    };
    declare(&["orders"]).success();
    declare(&["parcels", "--argument", "x-max-priority=2"]).success();
    declare(&[BALLAST]).success();
    forebay(&["exchange", "declare", "shop", "--kind", "topic"], &broker).success();
    let binding = ["queue", "bind", "orders", "--exchange", "shop", "--routing-key", "order.#"];
    forebay(&binding, &broker).success();
    let mut publish = |queue: &str, round: u32, count: u32, size: usize| {
        let bodies: BTreeSet<String> =
            (0..count).map(|n| format!("{queue} {round} {n} {}", "x".repeat(size))).collect();
        let words: Vec<&str> = bodies.iter().map(String::as_str).collect();
        forebay(&[&["publish", "--queue", queue], &*words].concat(), &broker).success();
        queues.entry(queue.to_owned()).or_default().extend(bodies);
    };
    for round in 0..12 {
        publish("orders", round, 10, 100);
        publish("parcels", round, 5, 1000);
    }
    publish("parcels", 100, 1, 70_000);
    let taken = forebay(&["consume", "orders", "--ack", "--count", "25", "--json"], &broker);
    let orders = queues.entry("orders".to_owned()).or_default();
    for line in taken.success().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert!(orders.remove(message["body"].as_str().unwrap()));
    }
    move_memory_to_tables(&broker, directory);
    let mut publish = |queue: &str, round: u32| {
        let body = format!("{queue} {round}");
        forebay(&["publish", "--queue", queue, &body], &broker).success();
        queues.entry(queue.to_owned()).or_default().insert(body);
    };
    for round in 200..210 {
        publish("orders", round);
        publish("parcels", round);
    }
    forebay(&["queue", "delete", BALLAST], &broker).success();
    broker.kill();
    // Started again, the journal loses the zeros at its end.
    let mut broker = Broker::start(directory);
    broker.terminate();
    assert!(broker.wait().success());
    queues
}

/// So much is written that the store makes tables of what it has in memory.
fn move_memory_to_tables(broker: &Broker, directory: &Path) {
    let body = directory.with_extension("ballast");
    fs::write(&body, vec![b'x'; 60_000]).unwrap();
    let file = body.to_str().unwrap();
    let has_table = |id: u64| {
        let tables = fs::read_dir(directory.join(format!("fjall/keyspaces/{id}/tables")));
        tables.is_ok_and(|mut tables| tables.next().is_some())
    };
    let has_tables = || (1..=4).all(has_table);
    while !has_tables() {
        let publish = ["publish", "--queue", BALLAST, "--file", file, "--count", "100"];
        forebay(&publish, broker).success();
        forebay(&["queue", "purge", BALLAST], broker).success();
    }
}
