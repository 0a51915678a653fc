//! The scheduler: everything that can happen next, one thing at a time, as the seed says.

use crate::client::Client;
use crate::clock::WALL_START;
use crate::dice::{any, one_in, pick, weighted};
use crate::history::History;
use crate::life::{Failed, Life, MAILBOX_BATCHES_MAX};
use crate::plan::{Feature, Plan};
use crate::queues::profiles;
use crate::random::Random;
use crate::socket::Socket;
use crate::traffic::Traffic;
use forebay_engine::model::{ConnectionId, Monotonic, Now, WallClock};
use forebay_engine::operation::Commit;
use forebay_store::{Fault, MemoryStore};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

const CLIENTS: usize = 4;
/// Long leaps of the clock in one life: all together shorter than the default visibility timeout.
const LEAPS_MAX: u32 = 8;
const LEAP_MS_MAX: u64 = 60_000;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Act,
    Listen,
    Read,
    Send,
    Write,
    TakeEvents,
    TakeMail,
    FinishCommit,
    ReadStore,
    TakeFetched,
    PassTime,
    Leap,
    JumpClock,
    Cut,
    Crash,
}

/// With how often each happens in comparison.
const HAPPENINGS: [(Happening, u64, Option<Feature>); 15] = [
    (Happening::Act, 60, None),
    (Happening::Listen, 60, None),
    (Happening::Read, 60, None),
    (Happening::Send, 60, None),
    (Happening::Write, 60, None),
    (Happening::TakeEvents, 60, None),
    (Happening::TakeMail, 60, None),
    (Happening::FinishCommit, 30, None),
    (Happening::ReadStore, 20, None),
    (Happening::TakeFetched, 20, None),
    (Happening::PassTime, 20, None),
    (Happening::Leap, 1, Some(Feature::Leaps)),
    (Happening::JumpClock, 1, Some(Feature::ClockJumps)),
    (Happening::Cut, 2, Some(Feature::Kills)),
    (Happening::Crash, 1, Some(Feature::Crashes)),
];

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: Now,
    pub(crate) history: History,
    pub(crate) memory: MemoryStore,
    pub(crate) life: Life,
    pub(crate) log: Vec<Commit>,
    pub(crate) sockets: BTreeMap<ConnectionId, Socket>,
    traffic: Traffic,
    last_connection: u64,
    leaps: u32,
    digest: DefaultHasher,
}

impl World {
    /// Runs a plan; a digest of everything that happened.
    ///
    /// # Panics
    /// When something happened that must not.
    pub(crate) fn run(plan: &Plan, traces: bool) -> u64 {
        let mut world = Self::new(plan.clone(), traces);
        world.set_up();
        let weights = world.weights();
        for step in 0..plan.steps {
            let (happening, ..) = HAPPENINGS[weighted(&mut world.random, &weights)];
            if world.history.traces {
                eprintln!("{step}: {happening:?} at {:?}", world.now);
            }
            if world.happen(happening).is_err() {
                world.crash();
            }
        }
        world.finish();
        world.digest.finish()
    }

    fn new(plan: Plan, traces: bool) -> Self {
        let mut random = Random::new(plan.seed);
        let profiles = profiles(&plan, &mut random);
        let history = History::new(&profiles, traces);
        let traffic = Traffic::new(&plan, profiles, &mut random);
        let memory = MemoryStore::new();
        let life = Life::begin(memory.clone(), None);
        Self {
            plan,
            random,
            now: Now { monotonic: Monotonic(1_000), wall: WallClock(WALL_START) },
            history,
            memory,
            life,
            log: Vec::new(),
            sockets: BTreeMap::new(),
            traffic,
            last_connection: 0,
            leaps: 0,
            digest: DefaultHasher::new(),
        }
    }

    fn weights(&mut self) -> Vec<u64> {
        let mut weights = Vec::new();
        for (happening, weight, feature) in HAPPENINGS {
            let is_slow = happening == Happening::FinishCommit && self.plan.has(Feature::SlowDisk);
            let weight = if is_slow { 2 } else { weight } * (1 + self.random.below(6));
            let is_wanted = feature.is_none_or(|feature| self.plan.has(feature));
            weights.push(if is_wanted { weight } else { 0 });
        }
        weights
    }

    fn set_up(&mut self) {
        self.life.send_on(self.now, &mut self.history);
        let id = self.connect();
        self.settle();
        let traffic = &mut self.traffic;
        self.sockets.get_mut(&id).unwrap().act(|client| traffic.set_up(client));
        self.settle();
        assert!(self.sockets[&id].client.channels[&1].asked.is_empty());
    }

    /// A new client, before its handshake is over.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        let client = Client::connect(*pick(&mut self.random, &[4096, 131_072]));
        let mut socket = Socket::new(id, client, self.random.next(), self.now);
        socket.act(|_| {});
        self.sockets.insert(id, socket);
        id
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Failed> {
        if self.sockets.len() < CLIENTS && one_in(&mut self.random, 8) {
            self.connect();
        }
        let bytes = if self.plan.has(Feature::Cuts) && one_in(&mut self.random, 2) {
            1 + self.random.below(60) as usize
        } else {
            usize::MAX
        };
        let Some(id) = any(&mut self.random, self.sockets.keys().copied()) else { return Ok(()) };
        let place = self.random.below(3) as usize;
        let (now, history, life) = (self.now, &mut self.history, &mut self.life);
        let socket = self.sockets.get_mut(&id).unwrap();
        match happening {
            Happening::Act if !socket.is_cut => {
                let (traffic, random) = (&mut self.traffic, &mut self.random);
                socket.act(|client| traffic.act(client, now.wall.0, random));
            }
            Happening::Act => {}
            Happening::Listen => drop(socket.listen(bytes, history)),
            Happening::Read => drop(socket.read(bytes, now, &life.snapshot)),
            Happening::Send => self.send(id),
            Happening::Write => drop(socket.write(bytes, now, &life.snapshot)),
            Happening::TakeEvents => drop(socket.take_events(now, &life.snapshot)),
            Happening::TakeMail => drop(life.take_mail(now, history)),
            Happening::FinishCommit => drop(life.finish_commit(now, history)?),
            Happening::ReadStore => drop(life.read(place)?),
            Happening::TakeFetched => drop(life.take_fetched(place, now, history)),
            Happening::PassTime => {
                let milliseconds = self.random.below(12);
                self.pass(milliseconds);
            }
            Happening::Leap if self.leaps < LEAPS_MAX => {
                self.leaps += 1;
                let milliseconds = self.random.below(LEAP_MS_MAX);
                self.pass(milliseconds);
            }
            Happening::Leap => {}
            Happening::JumpClock => {
                // Less is taken for two clocks that are not read at once.
                let jump = 1_000 + self.random.below(5_000_000) as i64;
                let jump = if one_in(&mut self.random, 2) { jump } else { -jump };
                self.history.clock.jump(jump);
                self.now.wall = WallClock(self.history.clock.wall());
            }
            Happening::Cut => socket.cut(&mut self.random, now, &life.snapshot),
            Happening::Crash => self.crash(),
        }
        self.spread();
        Ok(())
    }

    /// A connection hands its commands to the shard.
    fn send(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let has_room = self.life.mail.len() < MAILBOX_BATCHES_MAX;
        if let Some(commands) = socket.send(has_room) {
            self.life.mail.push_back((id, commands));
            socket.parse(self.now, &self.life.snapshot);
        }
        if socket.connection.is_finished() && socket.is_quiet() {
            let is_expected = socket.is_cut || socket.client.is_closed;
            assert!(is_expected, "the broker closed {id}: {:?}", socket.connection.cause());
            self.sockets.remove(&id);
        }
    }

    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now.monotonic = self.now.monotonic.plus(milliseconds);
        self.history.clock.pass(milliseconds);
        self.now.wall = WallClock(self.history.clock.wall());
        self.life.take_timeout(self.now, &mut self.history);
        for socket in self.sockets.values_mut() {
            let is_due =
                socket.connection.poll_timeout().is_some_and(|at| at <= self.now.monotonic);
            // A handshake that took too long ends without a word.
            if is_due {
                socket.is_cut |= !socket.client.is_open;
                socket.connection.handle_timeout(self.now);
            }
        }
    }

    /// News from the shard to its connections.
    fn spread(&mut self) {
        for (connection, events) in self.life.events.drain(..) {
            self.digest.write_u64(connection.0);
            self.digest.write_usize(events.len());
            if let Some(socket) = self.sockets.get_mut(&connection) {
                socket.events.push_back(events);
            }
        }
        if let Some(commit) = &self.life.writing {
            self.digest.write_u64(commit.id.0);
            self.digest.write_usize(commit.operations.len());
        }
    }

    /// The process dies and begins again.
    pub(crate) fn crash(&mut self) {
        self.sockets.clear();
        self.leaps = 0;
        let fault = (self.plan.has(Feature::StoreFaults) && one_in(&mut self.random, 2))
            .then(|| self.fault());
        let next = Life::begin(MemoryStore::new(), None);
        let (log, last) = std::mem::replace(&mut self.life, next).crash(&mut self.random);
        self.log.extend(log);
        self.history.crashed(last);
        self.life = Life::begin(self.memory.clone(), fault);
        self.history.recovered(&self.life.shard);
        self.now.monotonic = Monotonic(self.random.below(100_000));
        self.life.send_on(self.now, &mut self.history);
        self.spread();
    }

    fn fault(&mut self) -> Fault {
        let at = 1 + self.random.below(25);
        let kinds = [Fault::ApplyLost(at), Fault::ApplyKept(at), Fault::Sync(at), Fault::Read(at)];
        *pick(&mut self.random, &kinds)
    }

    /// Everything that is on its way arrives, until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        for round in 0.. {
            assert!(round < 10_000, "it never comes to rest");
            let moved = match self.settle_once() {
                Ok(moved) => moved,
                Err(Failed) => {
                    self.crash();
                    true
                }
            };
            idle = if moved { 0 } else { idle + 1 };
            // What may wait for its interval has to come too.
            if idle == 6 {
                return;
            }
            if !moved {
                self.pass(20);
                self.spread();
            }
        }
    }

    fn settle_once(&mut self) -> Result<bool, Failed> {
        let mut moved = false;
        let ids: Vec<ConnectionId> = self.sockets.keys().copied().collect();
        for id in ids {
            let (now, snapshot) = (self.now, &self.life.snapshot);
            let Some(socket) = self.sockets.get_mut(&id) else { continue };
            moved |= socket.read(usize::MAX, now, snapshot);
            moved |= socket.take_events(now, snapshot);
            moved |= socket.write(usize::MAX, now, snapshot);
            moved |= socket.listen(usize::MAX, &mut self.history);
            let before = self.life.mail.len();
            self.send(id);
            moved |= self.life.mail.len() != before;
        }
        let (now, history) = (self.now, &mut self.history);
        moved |= self.life.take_mail(now, history);
        moved |= self.life.finish_commit(now, history)?;
        moved |= self.life.read(0)?;
        moved |= self.life.take_fetched(0, now, history);
        self.spread();
        Ok(moved)
    }
}
