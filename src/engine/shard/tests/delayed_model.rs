//! Delayed messages against a naive model: a list of messages, each with its due time. Random publishes,
//! commits, reads of the store that take their time, passing time, jumps of the wall clock, requests of
//! operators, crashes; what comes, when and in which order is compared after every step, whatever bounds of
//! memory the messages cross.

use super::bounds::{Bounds, bounds};
use super::broker::{Broker, CHANNEL, CONNECTION, arguments, consume, message, publish};
use crate::command::{Command, Subscribe};
use crate::delayed_request::{DelayedAction, DelayedFate, DelayedPage, DelayedRequest};
use crate::event::{Delivery, Reply};
use crate::limits::CALENDAR_JUMP_MS;
use crate::model::{ConnectionId, DelayedId, DueClock, Message, QueueId, WallClock};
use proptest::prelude::*;

const WORKER: ConnectionId = ConnectionId(2);

#[derive(Clone, Debug)]
enum Step {
    Publish { clock: DueClock, delay: u64, persistent: bool, size: usize },
    Pass(u64),
    Jump(i64),
    BeginCommit,
    FinishCommit,
    FinishRead,
    List { count_max: usize },
    One { at: prop::sample::Index, fate: DelayedFate },
    All(DelayedFate),
    Purge,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let clock = prop_oneof![Just(DueClock::Elapsed), Just(DueClock::Calendar)];
    let delay = prop_oneof![0u64..20, 0u64..5_000, 0u64..100_000];
    let size = prop_oneof![2 => Just(0usize), 1 => 0usize..5_000, 1 => 20_000usize..80_000];
    let fate = || prop_oneof![Just(DelayedFate::Cancelled), Just(DelayedFate::Delivered)];
    prop_oneof![
        8 => (clock, delay, any::<bool>(), size).prop_map(|(clock, delay, persistent, size)| {
            Step::Publish { clock, delay, persistent, size }
        }),
        4 => prop_oneof![0u64..20, 0u64..5_000, 0u64..60_000].prop_map(Step::Pass),
        1 => (-5_000i64..5_000).prop_map(Step::Jump),
        4 => Just(Step::BeginCommit),
        4 => Just(Step::FinishCommit),
        3 => Just(Step::FinishRead),
        1 => (1usize..5).prop_map(|count_max| Step::List { count_max }),
        1 => (any::<prop::sample::Index>(), fate()).prop_map(|(at, fate)| Step::One { at, fate }),
        1 => fate().prop_map(Step::All),
        1 => Just(Step::Purge),
        1 => Just(Step::Crash),
    ]
}

#[derive(Clone, Debug)]
struct Entry {
    clock: DueClock,
    /// On its clock.
    due: u64,
    is_waiting: bool,
}

fn index(message: &Message) -> usize {
    u32::from_be_bytes(message.body()[..4].try_into().unwrap()) as usize
}

struct Model {
    broker: Broker,
    queue: QueueId,
    entries: Vec<Entry>,
    /// The time that has passed, as the wall clock would show it without jumps.
    steady: u64,
    /// How far the wall clock was found to be ahead of that when it was set last.
    ahead: i64,
    /// What the commits under way have: messages, and what is known of the clock.
    writing: Vec<(Vec<Entry>, i64)>,
    written: (Vec<Entry>, i64),
}

impl Model {
    fn new(bounds: Bounds) -> Self {
        let mut broker = Broker::new();
        broker.bound(bounds);
        broker.holds_reads = true;
        broker.open(CONNECTION);
        let queue = broker.declare("q", true, arguments(&[]));
        let steady = broker.now.wall.0;
        let mut model = Self {
            broker,
            queue,
            entries: Vec::new(),
            steady,
            ahead: 0,
            writing: Vec::new(),
            written: Default::default(),
        };
        model.subscribe();
        model
    }

    fn subscribe(&mut self) {
        self.broker.open(WORKER);
        let subscribe = Subscribe { no_ack: true, ..consume("q", "c", 0) };
        self.broker.subscribe(WORKER, subscribe);
        self.broker.reply(WORKER).unwrap();
    }

    fn now_on(&self, clock: DueClock) -> u64 {
        match clock {
            DueClock::Elapsed => self.steady,
            DueClock::Calendar => self.broker.now.wall.0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { clock, delay, persistent, size } => {
                self.publish(clock, delay, persistent, size);
            }
            Step::Pass(milliseconds) => self.pass(milliseconds),
            Step::Jump(by) => {
                let wall = &mut self.broker.now.wall.0;
                *wall = wall.checked_add_signed(by).unwrap_or(*wall);
                // It is noticed at the next look.
                self.broker.pass(0);
                let ahead = self.broker.now.wall.0 as i64 - self.steady as i64;
                if self.ahead.abs_diff(ahead) > CALENDAR_JUMP_MS {
                    self.ahead = ahead;
                }
                self.pass(1_000);
            }
            Step::BeginCommit => {
                let state = (self.entries.clone(), self.ahead);
                if self.broker.begin_commit() {
                    self.writing.push(state);
                }
            }
            Step::FinishCommit => {
                if !self.writing.is_empty() {
                    self.written = self.writing.remove(0);
                    self.broker.finish_commit();
                }
            }
            Step::FinishRead => self.broker.finish_read(),
            Step::List { count_max } => self.list(count_max),
            Step::One { at, fate } => self.end_one(at, fate),
            Step::All(fate) => {
                let expected = self.waiting().len() as u64;
                let page = self.request(DelayedAction::All(fate)).unwrap();
                assert_eq!(page.ended, expected);
                let ended = self.waiting();
                self.end(&ended, fate);
            }
            Step::Purge => {
                let name = "q".try_into().unwrap();
                let request = crate::model::TopologyRequest::PurgeQueue { name };
                let purge = Command::Topology { channel: CHANNEL, request, nowait: true };
                self.broker.send(CONNECTION, [purge]);
                self.broker.reply(CONNECTION).unwrap();
            }
            Step::Crash => self.crash(),
        }
        self.check();
    }

    fn publish(&mut self, clock: DueClock, delay: u64, persistent: bool, size: usize) {
        let index = self.entries.len();
        let mut body = (index as u32).to_be_bytes().to_vec();
        body.resize(4 + size, 7);
        let due = WallClock(self.broker.now.wall.0 + delay);
        let message = message(body, persistent).delayed(clock, due);
        let due = self.now_on(clock) + delay;
        self.entries.push(Entry { clock, due, is_waiting: delay > 0 });
        self.broker.send(CONNECTION, [publish(self.queue, vec![message], None)]);
        if delay == 0 {
            assert_eq!(self.come(), [index]);
        }
    }

    /// What came since this was asked last; it waits no more.
    fn come(&mut self) -> Vec<usize> {
        let mut come = Vec::new();
        loop {
            let deliveries = self.broker.deliveries(WORKER);
            if deliveries.is_empty() {
                return come;
            }
            let bytes = deliveries.iter().map(Delivery::budget_size).sum();
            self.broker.send(WORKER, [Command::DeliveriesWritten { bytes }]);
            for delivery in deliveries {
                let index = index(&delivery.message);
                self.entries[index].is_waiting = false;
                come.push(index);
            }
        }
    }

    fn waiting(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| entry.is_waiting).map(|(index, _)| index).collect()
    }

    fn pass(&mut self, milliseconds: u64) {
        let before = self.entries.clone();
        let end = self.broker.now.monotonic.plus(milliseconds);
        let mut come = Vec::new();
        loop {
            self.broker.finish_reads();
            come.extend(self.come());
            self.commit();
            let next = self.broker.shard.poll_timeout().filter(|next| *next <= end);
            if next.is_none() && self.broker.now.monotonic == end {
                break;
            }
            let step = next.unwrap_or(end).0.saturating_sub(self.broker.now.monotonic.0);
            self.steady += step;
            self.broker.pass(step);
        }
        for clock in DueClock::ALL {
            let of_clock = |index: &&usize| before[**index].clock == clock;
            let order = |index: &&usize| (before[**index].due, **index);
            let come: Vec<_> = come.iter().filter(of_clock).collect();
            assert!(come.is_sorted_by_key(order), "out of order: {come:?}");
        }
        let is_due = |entry: &Entry| entry.is_waiting && entry.due <= self.now_on(entry.clock);
        let expected: Vec<usize> =
            (0..before.len()).filter(|index| is_due(&before[*index])).collect();
        come.sort_unstable();
        assert_eq!(come, expected, "what came until {:?}", self.broker.now);
    }

    /// Finishes the commits under way, and begins one if there is reason for it.
    fn commit(&mut self) {
        while !self.writing.is_empty() {
            self.written = self.writing.remove(0);
            self.broker.finish_commit();
        }
        if self.broker.begin_commit() {
            self.writing.push((self.entries.clone(), self.ahead));
        }
    }

    fn request(&mut self, action: DelayedAction) -> Result<DelayedPage, crate::model::Fault> {
        let request = Box::new(DelayedRequest { queue: "q".try_into().unwrap(), action });
        let command = Command::Delayed { channel: CHANNEL, request };
        self.broker.send(CONNECTION, [command]);
        self.broker.finish_reads();
        // Whoever ended something is told when it is durable; what the model has then is not known yet.
        match self.broker.replies(CONNECTION).pop() {
            Some(Ok(Reply::Delayed(page))) => Ok(*page),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(fault)) => Err(fault),
            None => {
                // What there is nothing to write for is answered when the commit is asked for.
                for _ in 0..2 {
                    self.commit();
                    self.broker.finish_reads();
                    if let Some(Ok(Reply::Delayed(page))) = self.broker.replies(CONNECTION).pop() {
                        return Ok(*page);
                    }
                }
                panic!("no answer");
            }
        }
    }

    fn end(&mut self, ended: &[usize], fate: DelayedFate) {
        let mut come = self.come();
        come.sort_unstable();
        for index in ended {
            self.entries[*index].is_waiting = false;
        }
        match fate {
            DelayedFate::Cancelled => assert_eq!(come, [0usize; 0]),
            DelayedFate::Delivered => assert_eq!(come, ended),
        }
        // It was told of when it was durable.
        for index in ended {
            for (entries, _) in self.writing.iter_mut().chain([&mut self.written]) {
                if let Some(entry) = entries.get_mut(*index) {
                    entry.is_waiting = false;
                }
            }
        }
    }

    fn ids(&mut self, count_max: usize) -> Vec<(usize, DelayedId)> {
        let mut after = None;
        let mut ids = Vec::new();
        loop {
            let page = self.request(DelayedAction::List { after, count_max }).unwrap();
            assert!(page.listed.len() <= count_max);
            ids.extend(page.listed.iter().map(|listed| (index(&listed.message), listed.id)));
            if page.is_end {
                return ids;
            }
            assert!(!page.listed.is_empty(), "no progress");
            after = page.listed.last().map(|listed| listed.id);
        }
    }

    fn list(&mut self, count_max: usize) {
        let listed: Vec<usize> = self.ids(count_max).into_iter().map(|(index, _)| index).collect();
        let wall = i128::from(self.broker.now.wall.0);
        let in_order = |index: &usize| {
            let Entry { clock, due, .. } = self.entries[*index];
            (i128::from(due) - i128::from(self.now_on(clock)) + wall, clock, *index)
        };
        let mut expected = self.waiting();
        expected.sort_by_key(in_order);
        assert_eq!(listed, expected);
    }

    fn end_one(&mut self, at: prop::sample::Index, fate: DelayedFate) {
        let ids = self.ids(usize::MAX);
        if ids.is_empty() {
            let id = DelayedId::lowest(DueClock::Elapsed);
            assert!(self.request(DelayedAction::One(id, fate)).is_err());
            return;
        }
        let (index, id) = *at.get(&ids);
        assert_eq!(self.request(DelayedAction::One(id, fate)).unwrap().ended, 1);
        self.end(&[index], fate);
        assert!(self.request(DelayedAction::One(id, fate)).is_err(), "it is gone");
    }

    fn crash(&mut self) {
        self.broker.crash();
        self.writing.clear();
        let (written, ahead) = std::mem::take(&mut self.written);
        self.ahead = ahead;
        self.steady = self.broker.now.wall.0.checked_add_signed(-ahead).unwrap();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            entry.is_waiting = written.get(index).is_some_and(|written| written.is_waiting);
        }
        self.written = (self.entries.clone(), ahead);
        self.broker.open(CONNECTION);
        self.subscribe();
        self.pass(0);
    }

    fn check(&mut self) {
        let statistics = self.broker.statistics("q");
        let waiting = self.waiting();
        assert_eq!(statistics.delayed as usize, waiting.len());
        assert_eq!((statistics.ready, statistics.unacked, statistics.missing), (0, 0, 0));
        let bytes = self.broker.report().cached_bytes;
        assert!(bytes < 8 * 1024 * 1024, "{bytes} in memory");
    }

    /// All that wait come in the end, and nothing is left in the store.
    fn finish(mut self) {
        self.pass(500_000);
        assert!(self.waiting().is_empty());
        self.broker.commit();
        assert_eq!(self.broker.store.delayed(), 0);
        assert_eq!(self.broker.store.live_bytes(self.queue), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delayed_messages_behave_like_a_list_of_due_times(
        bounds in bounds(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new(bounds);
        steps.iter().for_each(|step| model.apply(step));
        model.finish();
    }
}
