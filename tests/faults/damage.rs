//! A bit flips, or a block is zeroed, in a file of a real broker's data directory. A broker that is
//! started on it serves everything, or refuses, or sets the queue aside when it reads what is damaged,
//! and says so.
//! Never is a message missing without a word, or different from what it was.

use crate::disk::Volume;
use crate::harness::broker::{Broker, RequeueMethod};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{
    Session, confirmed, consume, declare_named, get, next, persistent, publish_with,
};
use crate::load::body;
use crate::rounds::Rounds;
use futures_util::StreamExt;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const QUEUE: &str = "base";

/// Messages that make tables and blobs; their numbers are such that every body is a value of its
/// own.
const LARGE: u64 = 1_000;
/// Messages that stand in pages.
const SMALL: u64 = 1_200;

/// A data directory with something in each kind of file, and what a client finds in it.
struct Base {
    volume: Volume,
    expected: Vec<Vec<u8>>,
}

impl Base {
    async fn make() -> Self {
        let place = TempDir::new().unwrap();
        let broker = Broker::start(place.path());
        let session = Session::open_at(broker.address).await;
        let channel = session.confirm_channel().await;
        declare_named(&channel, QUEUE, <_>::default()).await;
        let large = (0..LARGE).map(|number| number * 101);
        let small = (0..SMALL).map(|number| 40_000_000 + number);
        let mut waiting = VecDeque::new();
        for number in large.chain(small) {
            waiting.push_back(publish_with(&channel, "", QUEUE, &body(number), persistent()).await);
            if waiting.len() > 100 {
                confirmed(waiting.pop_front().unwrap()).await;
            }
        }
        for confirm in waiting {
            confirmed(confirm).await;
        }
        // Some are gone: tables and journals hold what nobody needs any more.
        for _ in 0..20 {
            get(&channel, QUEUE).await.unwrap().delivery.ack(<_>::default()).await.unwrap();
        }
        confirmed(publish_with(&channel, "", QUEUE, &body(1), persistent()).await).await;
        broker.kill();
        let broker = Broker::start(place.path());
        let expected = read(&broker).await.unwrap();
        broker.kill();
        assert_eq!(expected.len() as u64, LARGE + SMALL - 20 + 1);
        Self { volume: Volume::read_from(place.path()), expected }
    }
}

/// The bodies in the queue, in their order; nothing when the broker ends meanwhile.
async fn read(broker: &Broker) -> Option<Vec<Vec<u8>>> {
    must("the messages or the end", try_read(broker)).await.ok()
}

async fn try_read(broker: &Broker) -> lapin::Result<Vec<Vec<u8>>> {
    let uri = format!("amqp://guest:guest@{}/%2f", broker.address);
    let connection = Connection::connect(&uri, <_>::default()).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..<_>::default() };
    let queue = channel.queue_declare(QUEUE.into(), options, <_>::default()).await?;
    let (none, nameless) = (<_>::default(), "".into());
    let mut consumer = channel.basic_consume(QUEUE.into(), nameless, none, <_>::default()).await?;
    let mut bodies = Vec::new();
    for _ in 0..queue.message_count() {
        match consumer.next().await {
            Some(delivery) => bodies.push(delivery?.data),
            None => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
        }
    }
    Ok(bodies)
}

/// The kinds of files.
fn kind(path: &str) -> Option<&'static str> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "FORMAT" => Some("format"),
        "HIGH-WATER" => Some("high-water mark"),
        "version" => Some("marker"),
        "current" => Some("pointer to a manifest"),
        _ if name.ends_with(".jnl") => Some("journal"),
        _ if directory.ends_with("/tables") => Some("table"),
        _ if directory.ends_with("/blobs") => Some("blob"),
        _ if name.starts_with('v') => Some("manifest"),
        _ => None,
    }
}

/// Damages one file, and says how.
fn damage(volume: &mut Volume, kinds: &[&str], random: &mut Random) -> (String, String) {
    let mut paths: BTreeMap<&str, Vec<(String, _)>> = BTreeMap::new();
    let nodes: Vec<_> = volume.files.keys().copied().collect();
    for node in nodes {
        let path = volume.path(node);
        if let Some(kind) = kind(&path).filter(|_| volume.files[&node].size() > 0) {
            paths.entry(kind).or_default().push((path, node));
        }
    }
    let kind = kinds[random.below(kinds.len() as u64) as usize];
    let files = paths.get(kind).unwrap_or_else(|| panic!("no {kind} among {paths:?}"));
    let (path, node) = files[random.below(files.len() as u64) as usize].clone();
    let file = volume.files.get_mut(&node).unwrap();
    // A journal goes on with zeros, which are nothing yet.
    let blocks: Vec<_> = file.blocks().map(|(start, bytes)| (start, bytes.to_vec())).collect();
    let (start, mut bytes) = blocks[random.below(blocks.len() as u64) as usize].clone();
    let at = random.below(bytes.len() as u64) as usize;
    let what = match random.below(3) {
        0 | 1 => {
            bytes[at] ^= 1 << random.below(8);
            "a flipped bit"
        }
        _ => {
            let size = [512, 4096][random.below(2) as usize];
            let first = at / size * size;
            let end = bytes.len().min(first + size);
            bytes[first..end].fill(0);
            "a zeroed block"
        }
    };
    file.write(start, &bytes);
    (kind.to_owned(), format!("{what} at {} of {path}", start + at as u64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_any_file_is_never_silent() {
    const KINDS: [&str; 8] = [
        "journal",
        "table",
        "blob",
        "manifest",
        "pointer to a manifest",
        "high-water mark",
        "format",
        "marker",
    ];
    let mut rounds = Rounds::of("damage", 8, 10);
    let base = Base::make().await;
    let mut tally: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for round in 0..rounds.count {
        let mut volume = base.volume.clone();
        // Each kind in turn, so that the short form has them all.
        let kinds = [KINDS[round as usize % KINDS.len()]];
        let (kind, what) = damage(&mut volume, &kinds, &mut rounds.random);
        let when = format!("seed {}, round {round}: {what}", rounds.seed);
        let place = TempDir::new().unwrap();
        volume.write_to(place.path());
        let outcome = serve(place.path(), &base.expected, &when).await;
        eprintln!("{when}: {outcome}");
        *tally.entry((kind, outcome)).or_default() += 1;
    }
    for ((kind, outcome), count) in tally {
        eprintln!("{kind}: {count} {outcome}");
    }
}

/// What comes of a broker on damaged data.
async fn serve(data: &Path, expected: &[Vec<u8>], when: &str) -> &'static str {
    let mut broker = match Broker::try_launch(&Launch::on(data)) {
        Ok(broker) => broker,
        Err(RequeueMethod { status, log }) => {
            assert_eq!(status.code(), Some(1), "{when}:\n{log}");
            named(&log, when);
            return "refused";
        }
    };
    match read(&broker).await {
        Some(found) => {
            assert_eq!(found.len(), expected.len(), "silently fewer or more: {when}");
            assert!(found == expected, "silently different: {when}");
            broker.kill();
            "harmless"
        }
        None => {
            // The log of a process comes a moment after what a client sees of it.
            while broker.is_running() {
                if broker.log().contains("is set aside") {
                    named(&broker.log(), when);
                    broker.kill();
                    return "set aside";
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(broker.wait().code(), Some(1), "{when}:\n{}", broker.log());
            named(&broker.log(), when);
            "found on read"
        }
    }
}

fn named(log: &str, when: &str) {
    assert!(!log.contains("panicked"), "{when}:\n{log}");
    let is_named = ["stored data is damaged", "FORMAT file", "has format"];
    assert!(is_named.iter().any(|words| log.contains(words)), "no word of it: {when}:\n{log}");
}

/// What the damage does to the broker it does to nobody who only looks on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_file_says_nothing() {
    let place = TempDir::new().unwrap();
    let broker = Broker::start(place.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, QUEUE, <_>::default()).await;
    confirmed(publish_with(&channel, "", QUEUE, b"kept", persistent()).await).await;
    broker.kill();
    std::fs::write(place.path().join("LOCK"), [0xff; 600]).unwrap();
    let broker = Broker::start(place.path());
    let session = Session::open_at(broker.address).await;
    let mut consumer = consume(&session.channel, QUEUE).await;
    assert_eq!(next(&mut consumer).await.data, b"kept");
}
