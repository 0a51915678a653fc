//! Damage under a running broker: found by the scrub before the message is wanted, and when it is read.

use crate::commands::{forebay_command, found};
use crate::ground::{copy, drain, ground};
use crate::harness::broker::{Broker, Refusal};
use crate::harness::launch::Launch;
use crate::harness::must;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The tables of pages, and where in each a message of `orders` stands.
fn tables_with_orders(directory: &Path) -> Vec<(PathBuf, u64)> {
    let tables = fs::read_dir(directory.join("fjall/keyspaces/1/tables")).unwrap();
    let paths = tables.map(|entry| entry.unwrap().path());
    let place = |path: &PathBuf| {
        let octets = fs::read(path).unwrap();
        let needle = b"orders 5 3 xx";
        octets.windows(needle.len()).position(|window| window == needle)
    };
    paths.filter_map(|path| place(&path).map(|at| (path, at as u64))).collect()
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).unwrap();
    file.write_all_at(&[octet[0] ^ 4], at).unwrap();
}

#[tokio::test]
async fn a_bit_that_flips_under_a_running_broker_is_named_by_the_scrub() {
    let (_parent, directory) = copy();
    let broker = Broker::launch(&Launch::on(&directory).argument("--scrub-rate").argument("1GB"));
    let a_round = async {
        while broker.metric("forebay_scrub_rounds_total") < 1.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    must("a round of the scrub", a_round).await;
    assert_eq!(broker.metric("forebay_store_files_damaged"), 0.0);
    let tables = tables_with_orders(&directory);
    assert!(!tables.is_empty());
    for (table, at) in &tables {
        flip(table, *at);
    }
    broker.await_metric("forebay_store_files_damaged", tables.len() as f64).await;
    broker.log_line(|line| {
        line.contains("stored data is damaged: queue 'orders' in vhost '/'")
            && line.contains("offsets")
            && line.contains("forebay repair")
    });
    assert!(broker.metric("forebay_scrub_bytes_total") > 0.0);
}

/// Starts a broker and reads `orders`, a page of which is damaged; what it says at its end.
fn meet_damage(directory: &Path) -> String {
    let mut broker = Broker::launch(&Launch::on(directory).argument("--scrub-rate").argument("0"));
    let count = ground().queues["orders"].len().to_string();
    let mut consumer = forebay_command(&["consume", "orders", "--count", &count], &broker)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(broker.wait().code(), Some(1));
    // It would wait for the broker to come back.
    consumer.kill().unwrap();
    consumer.wait().unwrap();
    broker.log()
}

fn flip_orders(directory: &Path) {
    for (table, at) in tables_with_orders(directory) {
        flip(&table, at);
    }
}

#[test]
fn a_damaged_page_ends_the_broker_when_it_is_read_and_names_it() {
    let (_parent, directory) = copy();
    flip_orders(&directory);
    let log = meet_damage(&directory);
    assert!(log.contains("queue 'orders' in vhost '/'"), "{log}");
    assert!(log.contains("offsets") && log.contains("forebay repair --accept-loss"), "{log}");
    assert!(!found(&["verify"], &directory).0);
}

/// Otherwise it would come up and end again with each consumer that comes back.
#[test]
fn what_ended_a_broker_on_a_read_keeps_the_next_one_from_starting() {
    let (_parent, directory) = copy();
    let places = tables_with_orders(&directory);
    flip_orders(&directory);
    meet_damage(&directory);
    for _ in 0..2 {
        let Err(Refusal { status, log }) = Broker::try_launch(&Launch::on(&directory)) else {
            panic!("it started on a page that it can't read")
        };
        assert_eq!(status.code(), Some(1));
        assert!(log.contains("the broker does not start"), "{log}");
        assert!(log.contains("queue 'orders' in vhost '/', offsets "), "{log}");
        assert!(log.contains("messages are missing in all"), "{log}");
        assert!(log.contains("forebay repair --accept-loss --data-dir"), "{log}");
    }
    // As if the files came from a backup.
    for (table, at) in &places {
        flip(table, *at);
    }
    assert_eq!(drain(&directory), ground().queues);
}

#[test]
fn after_a_repair_of_what_ended_a_broker_the_next_one_starts() {
    let (_parent, directory) = copy();
    flip_orders(&directory);
    meet_damage(&directory);
    assert!(found(&["repair", "--accept-loss"], &directory).0);
    let left = drain(&directory);
    assert!(left["orders"].len() < ground().queues["orders"].len());
    assert_eq!(left["parcels"], ground().queues["parcels"]);
}
