//! A broker in memory for the targets that need one: shard and store, driven as the server drives
//! them, each commit written when asked for.

use forebay_engine::access::ConfiguredUser;
use forebay_engine::command::Command;
use forebay_engine::event::Event;
use forebay_engine::model::{ConnectionId, Monotonic, Now, WallClock};
use forebay_engine::operation::Commit;
use forebay_engine::shard::{Fetched, QueueDefaults, Shard, ShardSettings};
use forebay_store::{MemoryStore, Store};
use forebay_wire::ShortStr;

pub struct Broker {
    pub shard: Shard,
    store: MemoryStore,
    pub now: Now,
    writing: Option<Commit>,
    /// News since they were last taken, in order.
    pub events: Vec<(ConnectionId, Event)>,
}

impl Broker {
    pub fn new() -> Self {
        let store = MemoryStore::new();
        let shard = recover(&store);
        let now = Now { monotonic: Monotonic(1_000), wall: WallClock(1_700_000_000_000) };
        Self { shard, store, now, writing: None, events: Vec::new() }
    }

    /// The process dies, power goes, and it begins again.
    pub fn crash(&mut self, survivors: usize) {
        self.writing = None;
        self.events.clear();
        self.store.crash(survivors);
        self.shard = recover(&self.store);
    }

    pub fn send(&mut self, connection: ConnectionId, commands: Vec<Command>) {
        self.shard.handle_commands(self.now, connection, commands);
        self.work();
    }

    /// What is being written is written.
    pub fn commit(&mut self) {
        if let Some(commit) = self.writing.take() {
            self.store.apply(std::slice::from_ref(&commit)).expect("a store in memory");
            self.shard.handle_committed(self.now, commit.id);
        }
        self.work();
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.now.monotonic = self.now.monotonic.plus(milliseconds);
        self.now.wall.0 += milliseconds;
        self.shard.handle_timeout(self.now);
        self.work();
    }

    /// Everything that may be written is.
    pub fn settle(&mut self) {
        loop {
            self.shard.handle_stop();
            self.work();
            if self.writing.is_none() {
                return;
            }
            self.commit();
        }
    }

    fn work(&mut self) {
        if self.writing.is_none() {
            self.writing = self.shard.poll_commit();
        }
        while let Some(fetch) = self.shard.poll_fetch() {
            let pages = self.store.read(fetch.queue, fetch.level, fetch.from, fetch.bytes_max);
            let pages = pages.expect("what was written is there");
            let (queue, level, from) = (fetch.queue, fetch.level, fetch.from);
            self.shard.handle_fetched(self.now, Fetched { queue, level, from, pages });
        }
        while let Some((connection, events)) = self.shard.poll_event() {
            self.events.extend(events.into_iter().map(|event| (connection, event)));
        }
    }
}

fn recover(store: &MemoryStore) -> Shard {
    let settings = ShardSettings {
        vhosts: vec![ShortStr::from_static("/")],
        queue_defaults: QueueDefaults::default(),
    };
    let recovered = store.recover().expect("a store in memory");
    let mut shard = Shard::recover(&settings, recovered).expect("our own records");
    let name = ShortStr::from_static("guest");
    shard.configure_users(&[ConfiguredUser { name, permissions: None }]);
    shard
}
