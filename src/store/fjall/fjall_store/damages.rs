//! Every kind of damage, at places all over the files of a store that an engine has filled: several
//! queues and levels, dead letters, objects that were declared and deleted at different times. The model
//! is what was confirmed. What is promised:
//!
//! - Damage is seen, or it did no harm.
//! - What is reported missing is no less than what is gone.
//! - What can be read is there after a repair, under its queue's name or under `recovered.N`.
//! - Nothing panics; after a repair the directory is sound, and a broker starts on it.
//!
//! `FOREBAY_TEST_DAMAGES=20000 cargo test -p forebay-store damages -- --nocapture` tries so many; with
//! `FOREBAY_TEST_SEED` the places are those of another run.

use super::tests::read_all;
use super::*;
use crate::check::journal_check;
use crate::check::verify::verify;
use crate::damage::{Certainty, Damage};
use crate::repair::repair_accepting_loss;
use bytes::{Bytes, BytesMut};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::{Delivery, Event, Reply};
use forebay_engine::model::{
    Binding, ChannelId, ClientIdentity, ConnectionId, Destination, Envelope, ExchangeDeclaration,
    Message, Monotonic, Now, OffsetRange, PublishSeq, QueueDeclaration, Settle, Settlement,
    TopologyRequest, WallClock,
};
use forebay_engine::operation::BLOCK_OFFSETS;
use forebay_engine::operation::Durability;
use forebay_engine::page::Record;
use forebay_engine::shard::{Fetched, QueueDefaults, Shard, ShardSettings};
use forebay_engine::topology;
use forebay_wire::properties::Properties;
use forebay_wire::{FieldTable, FieldValue, ShortStr};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

const CONNECTION: ConnectionId = ConnectionId(1);
const CHANNEL: ChannelId = ChannelId(1);

/// Bodies by the name of their queue.
type Queues = BTreeMap<String, BTreeSet<String>>;

fn settings() -> ShardSettings {
    ShardSettings {
        vhosts: vec![ShortStr::from_static("/")],
        queue_defaults: QueueDefaults::default(),
    }
}

fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

/// A shard on a store, without a server between them.
struct Broker {
    store: FjallStore,
    shard: Shard,
    now: Now,
    confirms: u64,
    events: Vec<Event>,
    /// What was confirmed and is not acknowledged.
    confirmed: Queues,
}

impl Broker {
    fn new(path: &Path) -> Self {
        let store = FjallStore::open(path).unwrap();
        let shard = Shard::new(&settings());
        let now = Now { monotonic: Monotonic(1_000), wall: WallClock(1_000_000) };
        let (events, confirmed) = (Vec::new(), Queues::new());
        let mut broker = Self { store, shard, now, confirms: 0, events, confirmed };
        let open =
            Command::OpenConnection { vhost: short("/"), identity: ClientIdentity::default() };
        broker.send(open);
        broker
    }

    /// Sends a command, and waits until all of it is durable.
    fn send(&mut self, command: Command) {
        self.shard.handle_commands(self.now, CONNECTION, [command]);
        loop {
            self.shard.handle_stop();
            let commit = self.shard.poll_commit();
            if let Some(mut commit) = commit.clone() {
                // So that each loss counts.
                commit.durability = Durability::Synced;
                self.store.apply(std::slice::from_ref(&commit)).unwrap();
                self.shard.handle_committed(self.now, commit.id);
            }
            let mut is_idle = commit.is_none();
            while let Some(fetch) = self.shard.poll_fetch() {
                is_idle = false;
                let (queue, level, from) = (fetch.queue, fetch.level, fetch.from);
                let pages = self.store.read(queue, level, from, fetch.bytes_max).unwrap();
                self.shard.handle_fetched(self.now, Fetched { queue, level, from, pages });
            }
            while let Some((_, events)) = self.shard.poll_event() {
                self.events.extend(events);
            }
            if is_idle {
                return;
            }
        }
    }

    fn ask(&mut self, request: TopologyRequest) {
        self.send(Command::Topology { channel: CHANNEL, request, nowait: false });
        let refused = std::mem::take(&mut self.events).into_iter().find_map(|event| match event {
            Event::Reply { reply: Err(fault), .. } => Some(fault),
            _ => None,
        });
        assert!(refused.is_none(), "{refused:?}");
    }

    fn declare(&mut self, name: &str, priority_max: Option<i32>) {
        let priority = priority_max.map(|most| (short("x-max-priority"), FieldValue::I32(most)));
        self.ask(TopologyRequest::DeclareQueue(QueueDeclaration {
            name: short(name).into(),
            durable: true,
            arguments: priority.into_iter().collect(),
            ..QueueDeclaration::default()
        }));
        self.confirmed.entry(name.to_owned()).or_default();
    }

    fn delete(&mut self, name: &str) {
        let name = short(name).into();
        self.ask(TopologyRequest::DeleteQueue { name, if_unused: false, if_empty: false });
    }

    fn queue(&self, name: &str) -> QueueId {
        let queues = self.shard.statistics().queues;
        queues.into_iter().find(|queue| queue.record.name == name).unwrap().record.id
    }

    /// Messages of these sizes and this priority, in one commit.
    fn publish(&mut self, name: &str, priority: u8, sizes: &[usize]) {
        let queue = self.queue(name);
        let mut messages = Vec::new();
        for size in sizes {
            self.confirms += 1;
            let body = format!("<{name} {} {}>", self.confirms, "x".repeat(*size));
            let properties = Properties {
                delivery_mode: Some(2),
                priority: Some(priority),
                ..Properties::default()
            };
            let envelope = Envelope {
                exchange: &ShortStr::EMPTY,
                routing_key: &short(name),
                properties: &properties.encode(),
                published_at: WallClock(1_000_000),
                expiration: None,
            };
            messages.push(Message::new(envelope, Bytes::from(body.clone()), &mut BytesMut::new()));
            self.confirmed.get_mut(name).unwrap().insert(body);
        }
        let confirm = Some(PublishSeq(self.confirms));
        let targets = [queue].into();
        self.send(Command::Publish(Publish { channel: CHANNEL, confirm, targets, messages }));
        let is_confirmed =
            self.events.drain(..).any(|event| matches!(event, Event::Confirm { .. }));
        assert!(is_confirmed);
    }

    /// Takes so many messages, and acknowledges or rejects them.
    fn settle(&mut self, name: &str, count: usize, settlement: Settlement) {
        let queue = self.queue(name);
        for _ in 0..count {
            self.send(Command::Get { channel: CHANNEL, queue: short(name).into(), no_ack: false });
            let got = self.events.drain(..).find_map(|event| match event {
                Event::Reply { reply: Ok(Reply::Got { delivery, .. }), .. } => Some(delivery),
                _ => None,
            });
            let Delivery { position, message, .. } = got.unwrap();
            let run = OffsetRange {
                level: position.level,
                first: position.offset,
                last: position.offset,
            };
            let runs = vec![run];
            self.send(Command::Settle(Settle { channel: CHANNEL, queue, settlement, runs }));
            let body = String::from_utf8(message.body().to_vec()).unwrap();
            assert!(self.confirmed.get_mut(name).unwrap().remove(&body));
            if settlement == Settlement::Reject {
                self.confirmed.entry(format!("{name}.dlq")).or_default().insert(body);
            }
        }
    }

    fn make_tables(&self, filling: Filling) {
        if filling != Filling::Journal {
            self.store.make_tables();
        }
    }
}

/// Where the content of a directory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    Journal,
    /// And the older part in tables, too.
    Tables,
    /// The journal is used up.
    TablesOnly,
}

/// Fills a directory. Everything that was ever published can come again; nothing else may.
fn fill(path: &Path, filling: Filling) -> Queues {
    let mut broker = Broker::new(path);
    broker.declare("orders", None);
    broker.declare("parcels", Some(3));
    broker.declare("trash", None);
    broker.ask(TopologyRequest::DeclareExchange(ExchangeDeclaration {
        name: short("shop").into(),
        kind: short("topic"),
        durable: true,
        ..ExchangeDeclaration::default()
    }));
    broker.ask(TopologyRequest::Bind(Binding {
        source: short("shop").into(),
        destination: Destination::Queue(short("orders").into()),
        routing_key: short("order.#"),
        arguments: FieldTable::new(),
    }));
    for round in 0..8 {
        broker.publish("orders", 0, &[60, 200, 20, 300]);
        broker.publish("parcels", round % 4, &[150, 90]);
    }
    broker.publish("trash", 0, &[100, 100]);
    broker.make_tables(filling);
    broker.declare("late", None);
    for _ in 0..4 {
        broker.publish("late", 0, &[120, 20, 700]);
    }
    broker.settle("orders", 5, Settlement::Reject);
    broker.settle("parcels", 6, Settlement::Ack);
    broker.delete("trash");
    broker.confirmed.remove("trash");
    broker.declare("trash", None);
    broker.publish("trash", 0, &[60, 60, 60]);
    broker.publish("parcels", 1, &[66_000, 30]);
    broker.make_tables(filling);
    broker.declare("newest", None);
    broker.publish("newest", 0, &[30; 50]);
    for round in 0..3 {
        broker.publish("orders", 0, &[100, 50]);
        broker.publish("parcels", round, &[100]);
        broker.publish("trash", 0, &[100]);
    }
    broker.settle("orders", 2, Settlement::Reject);
    broker.settle("late", 4, Settlement::Ack);
    broker.publish("late", 0, &[80]);
    if filling == Filling::TablesOnly {
        broker.make_tables(filling);
    }
    broker.confirmed
}

/// A directory in memory.
struct Ground {
    files: Vec<(PathBuf, Vec<u8>)>,
    confirmed: Queues,
    /// For the messages of each page: where in which file it stands.
    pages: Vec<PagePlaces>,
}

struct PagePlaces {
    bodies: BTreeSet<String>,
    places: Vec<(usize, Range<usize>)>,
}

impl Ground {
    fn make(filling: Filling) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let confirmed = fill(directory.path(), filling);
        let mut files = Vec::new();
        if filling == Filling::TablesOnly {
            for journal in journal_check::journals(&directory.path().join("fjall")).unwrap() {
                fs::write(journal, "").unwrap();
            }
        }
        let found = content(directory.path()).unwrap();
        assert_eq!(found.queues, confirmed);
        read_files(directory.path(), Path::new(""), &mut files);
        let pages = found.pages.into_iter().filter_map(|(all, bodies)| {
            let places = files.iter().enumerate().filter_map(|(file, (path, bytes))| {
                let starts: Option<Vec<usize>> =
                    all.iter().map(|body| find(bytes, body.as_bytes())).collect();
                let starts = starts?;
                let end = all.iter().zip(&starts).map(|(body, start)| start + body.len()).max()?;
                // What stands before: heads, the page's header, its key. In a table a block.
                let (before, behind) =
                    if path.extension().is_some() { (250, 40) } else { (6_000, 6_000) };
                let start = starts.iter().min()?.saturating_sub(before);
                Some((file, start..end + behind))
            });
            let places: Vec<_> = places.collect();
            let is_small = all.iter().all(|body| body.len() < 60_000);
            is_small.then_some(PagePlaces { bodies, places })
        });
        let pages: Vec<_> = pages.collect();
        assert!(pages.iter().all(|page| !page.places.is_empty()));
        Self { files, confirmed, pages }
    }

    fn write(&self, directory: &Path, harmed: usize, bytes: &[u8]) {
        for (index, (path, content)) in self.files.iter().enumerate() {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, if index == harmed { bytes } else { content }).unwrap();
        }
    }

    /// Messages that stand in a page that the damage is far from.
    fn untouched(&self, file: usize, harmed: &Range<usize>) -> BTreeSet<&String> {
        let is_apart =
            |place: &Range<usize>| place.end <= harmed.start || harmed.end <= place.start;
        let pages = self.pages.iter().filter(|page| {
            page.places.iter().any(|(other, place)| *other != file || is_apart(place))
        });
        pages.flat_map(|page| &page.bodies).collect()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn read_files(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(root.join(below)).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_files(root, &path, files);
        } else {
            let mut bytes = fs::read(root.join(&path)).unwrap();
            // A journal goes on with the zeros that are reserved.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(used + 256);
            files.push((path, bytes));
        }
    }
}

/// What a directory holds.
struct Content {
    queues: Queues,
    /// All bodies of each page, and those that are not settled.
    pages: Vec<(BTreeSet<String>, BTreeSet<String>)>,
}

/// Opens a directory as a broker does, and reads everything.
fn content(path: &Path) -> Result<Content, StoreError> {
    let store = FjallStore::open(path)?;
    let recovered = store.recover()?;
    if let Some(damaged) = recovered.damaged.first() {
        return Err(Damage::elsewhere(damaged.what.to_string()));
    }
    let names: BTreeMap<QueueId, String> = recovered
        .records
        .iter()
        .filter_map(|(key, value)| topology::recorded_queue(key, value))
        .map(|(queue, _, name)| (queue, name.to_string()))
        .collect();
    let mut content = Content { queues: Queues::new(), pages: Vec::new() };
    for name in names.values() {
        content.queues.entry(name.clone()).or_default();
    }
    for level in &recovered.levels {
        let is_settled = |offset: Offset| {
            level.blocks.iter().any(|(number, block)| {
                let place = offset.0.checked_sub(number * BLOCK_OFFSETS);
                block.settled.iter().any(|(first, last)| {
                    place.is_some_and(|at| (u64::from(*first)..=u64::from(*last)).contains(&at))
                })
            })
        };
        for page in read_all(&store, level.queue, level.level)? {
            let body = |record: &Record| String::from_utf8(record.message.body().to_vec()).unwrap();
            let live = page.records.iter().filter(|record| {
                record.offset >= level.watermark.low && !is_settled(record.offset)
            });
            let bodies: BTreeSet<String> = live.map(body).collect();
            // Without a record it is a deleted queue's, or its messages are gone: a broker drops it.
            let Some(name) = names.get(&level.queue) else { continue };
            content.queues.entry(name.clone()).or_default().extend(bodies.iter().cloned());
            // Dead letters have the bodies of what they are copies of.
            if !name.ends_with(".dlq") {
                content.pages.push((page.records.iter().map(body).collect(), bodies));
            }
        }
    }
    Shard::recover(&settings(), recovered).expect("a broker starts");
    Ok(content)
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Cut,
    Zero(usize),
}

const HARMS: [Harm; 4] = [Harm::Flip, Harm::Cut, Harm::Zero(512), Harm::Zero(4096)];

impl Harm {
    /// Harms a file near a place; where.
    fn apply(self, bytes: &mut Vec<u8>, at: usize) -> Range<usize> {
        match self {
            Self::Flip => {
                bytes[at] ^= 1 << (at % 8);
                at..at + 1
            }
            Self::Cut => {
                bytes.truncate(at);
                at..usize::MAX
            }
            Self::Zero(size) => {
                let first = at / size * size;
                let end = bytes.len().min(first + size);
                bytes[first..end].fill(0);
                first..end
            }
        }
    }
}

/// Tries so many places, evenly all over the files; each in its turn.
fn try_places(filling: Filling, count: usize) {
    let ground = Ground::make(filling);
    let seed = number("FOREBAY_TEST_SEED").unwrap_or_else(|| std::process::id().into());
    println!("FOREBAY_TEST_SEED={seed}");
    let harmed_files = ground.files.iter().enumerate().filter(|(_, (path, bytes))| {
        !bytes.is_empty() && !["LOCK", "FORMAT"].contains(&path.to_str().unwrap())
    });
    let sizes: Vec<(usize, usize)> =
        harmed_files.map(|(index, (_, bytes))| (index, bytes.len())).collect();
    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    let step = (total * HARMS.len() / count.max(1)).max(1);
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for harm in HARMS {
        let mut place = seed as usize % step;
        while place < total {
            let (mut file, mut at) = (sizes[0].0, place);
            for (index, size) in &sizes {
                file = *index;
                if at < *size {
                    break;
                }
                at -= size;
            }
            *tally.entry(try_one(&ground, file, at, harm)).or_default() += 1;
            place += step;
        }
    }
    println!("{filling:?}: {tally:?}");
}

fn try_one(ground: &Ground, file: usize, at: usize, harm: Harm) -> &'static str {
    let (path, content_before) = &ground.files[file];
    let mut bytes = content_before.clone();
    let harmed = harm.apply(&mut bytes, at);
    let what = format!("{harm:?} at {harmed:?} of {} in {}", content_before.len(), path.display());
    let directory = tempfile::tempdir().unwrap();
    ground.write(directory.path(), file, &bytes);
    let told = verify(directory.path(), |_| ()).unwrap();
    let opened = tempfile::tempdir().unwrap();
    ground.write(opened.path(), file, &bytes);
    let opened = content(opened.path());
    if told.damages.is_empty() {
        let found = opened.unwrap_or_else(|error| panic!("{error}, unseen by verify: {what}"));
        assert_eq!(found.queues, ground.confirmed, "silent: {what}");
        return "harmless";
    }
    if let Ok(found) = &opened {
        assert_eq!(found.queues, ground.confirmed, "silently different: {what}");
    }
    let repair = repair_accepting_loss(directory.path(), |_| ())
        .unwrap_or_else(|error| panic!("{error} after {what}"));
    let sound = verify(directory.path(), |_| ()).unwrap();
    assert_eq!(sound.damages, [], "{what}");
    let damages: Vec<String> = repair.kept.damages.iter().map(ToString::to_string).collect();
    let after = content(directory.path()).unwrap_or_else(|error| panic!("{error} after {what}"));
    let there: BTreeSet<&String> = after.queues.values().flatten().collect();
    let mut gone_in_all = 0;
    for (queue, confirmed) in &ground.confirmed {
        let recovered = after.queues.iter().filter(|(name, _)| name.starts_with("recovered."));
        let own = after.queues.get(queue).into_iter();
        let kept: BTreeSet<&String> =
            own.chain(recovered.map(|(_, bodies)| bodies)).flatten().collect();
        let gone = confirmed.iter().filter(|body| !kept.contains(body)).count() as u64;
        gone_in_all += gone;
    }
    let missing = repair.kept.missing();
    if std::env::var_os("FOREBAY_TEST_VERBOSE").is_some() {
        println!("{what}: {gone_in_all} gone, {missing}");
    }
    assert!(
        gone_in_all <= missing.messages || missing.certainty == Certainty::Unknown,
        "{gone_in_all} gone, {missing} reported: {what}: {damages:#?}"
    );
    assert_eq!(told.missing(), missing, "{what}: {damages:#?}");
    let confirmed: BTreeSet<&String> = ground.confirmed.values().flatten().collect();
    for body in ground.untouched(file, &harmed) {
        assert!(
            there.contains(body) || !confirmed.contains(body),
            "readable, and dropped: {} {what}: {damages:#?}",
            &body[..body.len().min(30)]
        );
    }
    match missing.certainty {
        Certainty::Exact if missing.messages == 0 => "damaged, none missing",
        Certainty::Exact => "missing, counted",
        Certainty::AtMost => "missing, at most",
        Certainty::Unknown => "missing, unknown",
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

fn damages() -> usize {
    number("FOREBAY_TEST_DAMAGES").map_or(60, |number| number as usize)
}

#[test]
fn in_journals_none_is_silent_and_none_costs_what_can_be_read() {
    try_places(Filling::Journal, damages());
}

#[test]
fn in_tables_none_is_silent_and_none_costs_what_can_be_read() {
    try_places(Filling::Tables, damages());
}

#[test]
fn in_tables_alone_none_is_silent_and_none_costs_what_can_be_read() {
    try_places(Filling::TablesOnly, damages());
}
