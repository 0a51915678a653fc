//! What this machine takes for what no broker can leave out: bytes come from a socket, go to a
//! file, are synced, and leave by another socket. No protocol, no queue: the floor under the
//! figures of `docs/reference/performance.md`.
//!
//! `cargo bench --bench floor` prints processor time for each KiB (of the thread that does it, so
//! not what a disk or the other end of a socket takes), and latencies. The file is made in
//! `TMPDIR`: let it be on the disk that matters.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that meets what it did not expect has nothing to report"
)]

use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// As the broker reads a socket.
const READ_SIZE: usize = 128 * KIB;
/// As the store's journals are.
const FILE_SIZE: usize = 64 * MIB;
const TOTAL: usize = 512 * MIB;
const SYNCS: usize = 2000;

fn main() {
    // `cargo test --benches` runs benchmarks without this; it only wants to see that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = TempDir::new().unwrap();
    println!("| part | µs of processor time a KiB |\n|---|---|");
    row("received from a loopback socket, 128 KiB a read", receive());
    row("sent to one, 128 pieces of 1 KiB a write", send());
    row("copied in memory, out of the caches", copy());
    row("checksum (XXH3), out of the caches", checksum());
    row("appended to files of 64 MiB, 256 KiB a write", append(&directory));
    row("received, appended, sent: a relay, 128 KiB at a time", relay(&directory, None));
    row("the same, synced every MiB", relay(&directory, Some(MIB)));
    row("the same, synced every 128 KiB", relay(&directory, Some(READ_SIZE)));
    println!("\n| part | p50 µs | p99 µs | µs of processor time |\n|---|---|---|---|");
    syncs(&directory);
    wake_ups();
}

fn row(part: &str, (used, bytes): (Duration, usize)) {
    println!("| {part} | {:.3} |", micros(used) / (bytes / KIB) as f64);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn pour(mut into: TcpStream) {
    let block = vec![1; 64 * KIB];
    for _ in 0..TOTAL / block.len() {
        into.write_all(&block).unwrap();
    }
}

fn swallow(mut from: TcpStream) {
    let mut block = vec![0; READ_SIZE];
    while from.read(&mut block).unwrap() > 0 {}
}

fn receive() -> (Duration, usize) {
    let (source, mut input) = pair();
    let source = thread::spawn(move || pour(source));
    let (mut block, mut bytes, begin) = (vec![0; READ_SIZE], 0, used());
    loop {
        match input.read(&mut block).unwrap() {
            0 => break,
            count => bytes += count,
        }
    }
    source.join().unwrap();
    (used() - begin, bytes)
}

fn send() -> (Duration, usize) {
    let (mut output, sink) = pair();
    let sink = thread::spawn(move || swallow(sink));
    let (block, begin, mut bytes) = (vec![1; READ_SIZE], used(), 0);
    while bytes < TOTAL {
        bytes += write_pieces(&mut output, &block);
    }
    let used = used() - begin;
    drop(output);
    sink.join().unwrap();
    (used, bytes)
}

fn write_pieces(output: &mut TcpStream, block: &[u8]) -> usize {
    let pieces: Vec<IoSlice<'_>> = block.chunks(KIB).map(IoSlice::new).collect();
    output.write_vectored(&pieces).unwrap()
}

fn copy() -> (Duration, usize) {
    let (source, mut target) = (vec![1_u8; FILE_SIZE], vec![0_u8; FILE_SIZE]);
    target.copy_from_slice(&source);
    let begin = used();
    for _ in 0..TOTAL / FILE_SIZE {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
    }
    (used() - begin, TOTAL)
}

fn checksum() -> (Duration, usize) {
    let source = vec![1_u8; FILE_SIZE];
    let begin = used();
    for _ in 0..TOTAL / FILE_SIZE {
        for block in source.chunks(MIB) {
            black_box(xxh3_64(block));
        }
    }
    (used() - begin, TOTAL)
}

/// Files one after another, as journals are.
struct Journal<'a> {
    directory: &'a TempDir,
    file: File,
    size: usize,
}

impl<'a> Journal<'a> {
    fn new(directory: &'a TempDir) -> Self {
        let path = directory.path().join("journal");
        // The one before is no longer needed.
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().create_new(true).write(true).open(path).unwrap();
        file.set_len(FILE_SIZE as u64).unwrap();
        Self { directory, file, size: 0 }
    }

    fn append(&mut self, block: &[u8]) {
        if self.size + block.len() > FILE_SIZE {
            *self = Self::new(self.directory);
        }
        self.file.write_all(block).unwrap();
        self.size += block.len();
    }
}

fn append(directory: &TempDir) -> (Duration, usize) {
    let (mut journal, block, begin) = (Journal::new(directory), vec![1; 256 * KIB], used());
    for _ in 0..TOTAL / block.len() {
        journal.append(&block);
    }
    (used() - begin, TOTAL)
}

/// Everything that must happen to bytes that are to be durable before they are passed on, in one
/// thread: no hand-over to another one.
fn relay(directory: &TempDir, synced_every: Option<usize>) -> (Duration, usize) {
    let ((source, mut input), (mut output, sink)) = (pair(), pair());
    let source = thread::spawn(move || pour(source));
    let sink = thread::spawn(move || swallow(sink));
    let mut journal = Journal::new(directory);
    let (mut block, mut bytes, mut unsynced, begin) = (vec![0; READ_SIZE], 0, 0, used());
    loop {
        let count = input.read(&mut block).unwrap();
        if count == 0 {
            break;
        }
        journal.append(&block[..count]);
        unsynced += count;
        if synced_every.is_some_and(|most| unsynced >= most) {
            journal.file.sync_data().unwrap();
            unsynced = 0;
        }
        let mut sent = 0;
        while sent < count {
            sent += write_pieces(&mut output, &block[sent..count]);
        }
        bytes += count;
    }
    let used = used() - begin;
    drop(output);
    source.join().unwrap();
    sink.join().unwrap();
    (used, bytes)
}

fn syncs(directory: &TempDir) {
    let (mut journal, block, mut times) = (Journal::new(directory), vec![1; 4 * KIB], Vec::new());
    let begin = used();
    for _ in 0..SYNCS {
        let begin = Instant::now();
        journal.append(&block);
        journal.file.sync_data().unwrap();
        times.push(begin.elapsed());
    }
    print_latencies("4 KiB appended and synced", times, used() - begin);
}

/// To another thread and back, as a commit goes to the committer.
fn wake_ups() {
    let (to_there, there) = mpsc::channel::<()>();
    let (to_here, here) = mpsc::channel();
    let other = thread::spawn(move || {
        let begin = used();
        for () in there {
            to_here.send(()).unwrap();
        }
        used() - begin
    });
    let (mut times, begin) = (Vec::new(), used());
    for _ in 0..SYNCS {
        let begin = Instant::now();
        to_there.send(()).unwrap();
        here.recv().unwrap();
        times.push(begin.elapsed());
    }
    let mine = used() - begin;
    drop(to_there);
    print_latencies("to another thread and back", times, mine + other.join().unwrap());
}

fn print_latencies(part: &str, mut times: Vec<Duration>, used: Duration) {
    times.sort_unstable();
    let at = |share: usize| micros(times[times.len() * share / 100]);
    let each = micros(used) / times.len() as f64;
    println!("| {part} | {:.0} | {:.0} | {each:.1} |", at(50), at(99));
}
