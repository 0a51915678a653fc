//! What the store does, next to a plain file that takes the same bytes with the same syncs.
//!
//! `cargo bench --bench store` prints a table; the absolute figures are the machine's, the ratios
//! are the store's. The directory is made in `TMPDIR`: let it be on the disk that matters.
#![allow(clippy::expect_used)]

use bytes::{Bytes, BytesMut};
use forebay_engine::model::{
    CommitId, Envelope, Epoch, Level, Message, Offset, QueueId, WallClock,
};
use forebay_engine::operation::{Commit, Durability, Operation, Watermark};
use forebay_engine::page::{Page, Record};
use forebay_store::{FjallStore, Store};
use forebay_wire::{RawProperties, ShortStr};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUEUE: QueueId = QueueId(1);
const LANE: Level = Level(0);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    commits("1 page × 1000 × 1 KiB, synced", 1000, 1024, 300, Durability::Synced);
    commits("1 page × 1000 × 100 B, synced", 1000, 100, 300, Durability::Synced);
    commits("1 page × 1 × 100 B, synced", 1, 100, 2000, Durability::Synced);
    commits("1 page × 1000 × 1 KiB, written", 1000, 1024, 300, Durability::Written);
    commits("1 page × 1 × 100 B, written", 1, 100, 50_000, Durability::Written);
    steady("publish and ack, 100 B", 100);
    steady("publish and ack, 1 KiB", 1024);
    backlog();
    reopen();
}

/// Makes the pages of one level, one after another.
struct Publisher {
    template: Message,
    end: u64,
    bytes: u64,
    commits: u64,
}

impl Publisher {
    fn new(body_size: usize) -> Self {
        let envelope = Envelope {
            exchange: &ShortStr::default(),
            routing_key: &ShortStr::from_static("orders"),
            properties: &RawProperties::empty(),
            published_at: WallClock(1),
            expiration: None,
        };
        let body = Bytes::from(vec![b'x'; body_size]);
        let template = Message::new(envelope, body, &mut BytesMut::new());
        Self { template, end: 0, bytes: 0, commits: 0 }
    }

    fn put(&mut self, messages: u64) -> Operation {
        let (first, bytes_before) = (self.end, self.bytes);
        self.end += messages;
        self.bytes += messages * self.template.size() as u64;
        let records = (first..self.end)
            .map(|offset| Record { offset: Offset(offset), message: self.template.clone() })
            .collect();
        let page = Page {
            first: Offset(first),
            end: Offset(self.end),
            bytes_before,
            bytes_after: self.bytes,
            bounds: None,
            records,
        };
        Operation::PutPage { queue: QUEUE, level: LANE, page: Arc::new(page) }
    }

    /// Settles the page that begins at `first`.
    fn settle(&self, first: u64, messages: u64) -> [Operation; 2] {
        let low = Offset(first + messages);
        let bytes_settled = low.0 * self.template.size() as u64;
        let watermark = Watermark { low, bytes_settled };
        [
            Operation::PutWatermark { queue: QUEUE, level: LANE, watermark },
            Operation::RemovePage { queue: QUEUE, level: LANE, first: Offset(first) },
        ]
    }

    fn commit(&mut self, operations: Vec<Operation>, durability: Durability) -> Commit {
        self.commits += 1;
        Commit { id: CommitId(self.commits), epoch: Epoch(0), operations, durability }
    }
}

fn open(directory: &Path) -> FjallStore {
    FjallStore::open(directory).expect("the store opens")
}

fn commits(name: &str, messages: u64, body_size: usize, rounds: u32, durability: Durability) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let mut publisher = Publisher::new(body_size);
    let began = Instant::now();
    for _ in 0..rounds {
        let operations = vec![publisher.put(messages)];
        let commit = publisher.commit(operations, durability);
        store.apply(&[commit]).expect("the store takes a commit");
    }
    let taken = began.elapsed();
    let bytes = store.statistics().bytes_written / u64::from(rounds);
    let plain = plain_file(directory.path(), bytes, rounds, durability);
    let rate = f64::from(rounds) * messages as f64 / taken.as_secs_f64();
    println!(
        "{name:36} {rate:10.0} msgs/s  {:7.3} ms/commit  plain file {:7.3} ms  ratio {:.2}",
        milliseconds(taken) / f64::from(rounds),
        milliseconds(plain) / f64::from(rounds),
        plain.as_secs_f64() / taken.as_secs_f64(),
    );
}

fn plain_file(directory: &Path, bytes: u64, rounds: u32, durability: Durability) -> Duration {
    let block = vec![b'x'; bytes as usize];
    let mut file = File::create(directory.join("plain")).expect("a file");
    let began = Instant::now();
    for _ in 0..rounds {
        file.write_all(&block).expect("the file takes bytes");
        if durability == Durability::Synced {
            file.sync_data().expect("the file syncs");
        }
    }
    began.elapsed()
}

/// Each commit adds a page and settles the one before.
fn steady(name: &str, body_size: usize) {
    const MESSAGES: u64 = 1000;
    const ROUNDS: u64 = 2000;
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let mut publisher = Publisher::new(body_size);
    let began = Instant::now();
    for round in 0..ROUNDS {
        let mut operations = vec![publisher.put(MESSAGES)];
        if let Some(before) = round.checked_sub(1) {
            operations.extend(publisher.settle(before * MESSAGES, MESSAGES));
        }
        let commit = publisher.commit(operations, Durability::Written);
        store.apply(&[commit]).expect("the store takes a commit");
    }
    let taken = began.elapsed();
    let bytes = store.statistics().bytes_written / ROUNDS;
    let plain = plain_file(directory.path(), bytes, ROUNDS as u32, Durability::Written);
    println!(
        "{name:36} {:10.0} msgs/s  plain file {:10.0} msgs/s  ratio {:.2}  disk {} MB",
        (ROUNDS * MESSAGES) as f64 / taken.as_secs_f64(),
        (ROUNDS * MESSAGES) as f64 / plain.as_secs_f64(),
        plain.as_secs_f64() / taken.as_secs_f64(),
        disk_bytes(&directory.path().join("fjall")) / 1_000_000,
    );
}

/// A backlog of 500 MB is read, then drained.
fn backlog() {
    const MESSAGES: u64 = 1000;
    const PAGES: u64 = 500;
    let directory = tempfile::tempdir().expect("a directory");
    let mut publisher = Publisher::new(1024);
    let store = open(directory.path());
    for _ in 0..PAGES {
        let operations = vec![publisher.put(MESSAGES)];
        let commit = publisher.commit(operations, Durability::Written);
        store.apply(&[commit]).expect("the store takes a commit");
    }
    drop(store);
    let store = open(directory.path());
    println!(
        "backlog of 500 × 1000 × 1 KiB        disk {} MB",
        disk_bytes(directory.path()) / 1_000_000
    );
    let began = Instant::now();
    let mut from = Offset(0);
    while let Some(end) = read(&store, from).last().map(|page| page.end) {
        from = end;
    }
    let rate = from.0 as f64 / began.elapsed().as_secs_f64();
    println!("  read                               {rate:10.0} msgs/s");
    let began = Instant::now();
    for first in (0..PAGES).map(|page| page * MESSAGES) {
        read(&store, Offset(first));
        let operations = publisher.settle(first, MESSAGES).to_vec();
        let commit = publisher.commit(operations, Durability::Written);
        store.apply(&[commit]).expect("the store takes a commit");
    }
    let taken = began.elapsed();
    println!(
        "  drain                              {:10.0} msgs/s",
        from.0 as f64 / taken.as_secs_f64()
    );
    let left = disk_bytes(directory.path()) / 1_000_000;
    std::thread::sleep(Duration::from_secs(25));
    let later = disk_bytes(directory.path()) / 1_000_000;
    println!("  disk after the drain {left} MB, 25 s later {later} MB");
    drop(store);
    let began = Instant::now();
    let store = open(directory.path());
    store.recover().expect("the store recovers");
    println!("  open and recover after the drain   {:10.1} ms", milliseconds(began.elapsed()));
}

fn read(store: &FjallStore, from: Offset) -> Vec<Page> {
    store.read(QUEUE, LANE, from, 1).expect("the store reads")
}

fn reopen() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut publisher = Publisher::new(100);
    let store = open(directory.path());
    for _ in 0..1000 {
        let operations = vec![publisher.put(1000)];
        let commit = publisher.commit(operations, Durability::Written);
        store.apply(&[commit]).expect("the store takes a commit");
    }
    drop(store);
    let began = Instant::now();
    let store = open(directory.path());
    let opened = began.elapsed();
    let recovered = store.recover().expect("the store recovers");
    println!(
        "1 M messages in 1000 pages           open {:.1} ms, recover {:.1} ms ({} level)",
        milliseconds(opened),
        milliseconds(began.elapsed() - opened),
        recovered.levels.len(),
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Bytes that are allocated: a fresh journal is a sparse file.
fn disk_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
            Ok(data) => std::os::unix::fs::MetadataExt::blocks(&data) * 512,
            Err(_) => 0,
        })
        .sum()
}
