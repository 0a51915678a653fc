//! Publishers and workers that go on until their connections break, and note what was promised.

use crate::disk::Moment;
use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::random::Random;
use crate::harness::session::{
    Session, consume, declare_named, next, number, passive, persistent, prefetch, table,
};
use crate::ledger::{Found, Ledger};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use lapin::{Channel, Consumer, PublisherConfirm};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const QUEUES: [&str; 2] = ["load-a", "load-b"];
/// Takes what shows by its confirm that what went before is durable.
pub(crate) const MARKERS: &str = "load-markers";
const UNCONFIRMED_MAX: usize = 200;
const PREFETCH: u16 = 100;

/// How large the body of a message is depends on its number modulo this: see [`body`].
pub(crate) const KINDS_OF_BODIES: u64 = 101;

/// Tells the moment.
pub(crate) type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// What is owed for each of the queues.
#[derive(Clone, Default)]
pub(crate) struct Books(pub(crate) [Arc<Ledger>; QUEUES.len()]);

/// A load that is on.
pub(crate) struct Load {
    confirms: watch::Receiver<u64>,
    tasks: Vec<JoinHandle<()>>,
}

/// Declares the queues.
pub(crate) async fn prepare(address: SocketAddr) {
    let session = Session::open_at(address).await;
    for queue in QUEUES {
        // The same messages come back round after round, and none may be given up.
        declare_named(&session.channel, queue, table("x-delivery-limit", number(-1))).await;
        declare_named(&session.channel, &dead(queue), <_>::default()).await;
    }
    declare_named(&session.channel, MARKERS, <_>::default()).await;
    session.close().await;
}

/// Where a queue's rejected messages go.
fn dead(queue: &str) -> String {
    format!("{queue}.dlq")
}

impl Load {
    pub(crate) async fn start(
        broker: &Broker,
        books: &Books,
        clock: &Clock,
        random: &mut Random,
    ) -> Self {
        let (sender, confirms) = watch::channel(0);
        let mut tasks = Vec::new();
        let mut parties = Vec::new();
        for (queue, ledger) in QUEUES.into_iter().zip(&books.0) {
            // All are connected before the first of them can bring on the end.
            let publisher = Party::join(broker.address, ledger, clock).await;
            let worker = Party::join(broker.address, ledger, clock).await;
            prefetch(&worker.channel, PREFETCH).await;
            let consumer = consume(&worker.channel, queue).await;
            parties.push((queue, publisher, worker, consumer));
        }
        for (queue, publisher, worker, consumer) in parties {
            tasks.push(tokio::spawn(publisher.publish(queue, sender.clone())));
            tasks.push(tokio::spawn(worker.work(consumer, Random::new(random.next()))));
        }
        drop(sender);
        Self { confirms, tasks }
    }

    /// Waits until so many messages were confirmed.
    pub(crate) async fn confirms(&mut self, count: u64) {
        assert!(self.try_confirms(count).await, "the publishers lost their connections");
    }

    /// The same; false when the connections break before.
    pub(crate) async fn try_confirms(&mut self, count: u64) -> bool {
        must("confirms", self.confirms.wait_for(|&confirms| confirms >= count)).await.is_ok()
    }

    /// Messages confirmed so far.
    pub(crate) fn confirmed(&self) -> u64 {
        *self.confirms.borrow()
    }

    /// Waits until all its connections are broken.
    pub(crate) async fn end(self) {
        for task in self.tasks {
            must("the end of a client", task).await.unwrap();
        }
    }
}

/// A client with a connection of its own, and a channel with confirms.
struct Party {
    _session: Session,
    channel: Channel,
    ledger: Arc<Ledger>,
    clock: Clock,
}

impl Party {
    async fn join(address: SocketAddr, ledger: &Arc<Ledger>, clock: &Clock) -> Self {
        let session = Session::open_at(address).await;
        let channel = session.confirm_channel().await;
        let (ledger, clock) = (Arc::clone(ledger), Arc::clone(clock));
        Self { _session: session, channel, ledger, clock }
    }

    /// Publishes numbered messages.
    async fn publish(self, queue: &str, confirms: watch::Sender<u64>) {
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < UNCONFIRMED_MAX {
                let number = self.ledger.next();
                let sent = try_publish(&self.channel, queue, &body(number)).await;
                let Ok(confirm) = sent else { return };
                waiting.push_back((number, confirm));
            }
            let Some((number, confirm)) = waiting.pop_front() else { return };
            match confirm.await {
                Ok(confirmation) if confirmation.is_ack() => {
                    self.ledger.confirmed(number, (self.clock)());
                    confirms.send_modify(|count| *count += 1);
                }
                Ok(other) => panic!("message {number}: {other:?}"),
                Err(_) => return,
            }
        }
    }

    /// Acknowledges most of what it gets, now and then several at once, and rejects some. A marker
    /// published and confirmed on the same channel shows which acknowledgements are durable.
    async fn work(self, mut consumer: Consumer, mut random: Random) {
        let mut held: VecDeque<(u64, u64)> = VecDeque::new();
        let mut acked: Vec<u64> = Vec::new();
        while let Some(Ok(delivery)) = consumer.next().await {
            let (tag, number) = (delivery.delivery_tag, number_of(&delivery.data));
            if number % 7 == 0 {
                let options = BasicRejectOptions { requeue: false };
                if self.channel.basic_reject(tag, options).await.is_err() {
                    return;
                }
                continue;
            }
            held.push_back((tag, number));
            if random.below(3) == 0 && held.len() < usize::from(PREFETCH) / 2 {
                continue;
            }
            let multiple = random.below(10) == 0 || held.len() >= usize::from(PREFETCH) / 2;
            let settled: Vec<_> = match multiple {
                true => held.drain(..).collect(),
                false => held.pop_back().into_iter().collect(),
            };
            let Some((tag, _)) = settled.last().copied() else { continue };
            for (_, number) in &settled {
                self.ledger.acked(*number, (self.clock)());
                acked.push(*number);
            }
            if self.channel.basic_ack(tag, BasicAckOptions { multiple }).await.is_err() {
                return;
            }
            if acked.len() >= 50 {
                let sent = try_publish(&self.channel, MARKERS, b"marker").await;
                let Ok(marker) = sent else { return };
                if !marker.await.is_ok_and(|confirmation| confirmation.is_ack()) {
                    return;
                }
                let moment = (self.clock)();
                acked.drain(..).for_each(|number| self.ledger.ack_synced(number, moment));
            }
        }
    }
}

pub(crate) async fn try_publish(
    channel: &Channel,
    queue: &str,
    body: &[u8],
) -> lapin::Result<PublisherConfirm> {
    channel.basic_publish("".into(), queue.into(), <_>::default(), body, persistent()).await
}

/// The body of a message, which its number says wholly. Some are so large that they are stored on
/// their own.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let size = match number % KINDS_OF_BODIES {
        0 => 70_000 + number as usize % 5_000,
        1..20 => 10_000 + (number * 37 % 9_000) as usize,
        _ => (number * 31 % 3_000) as usize,
    };
    let mut body = format!("{number} ").into_bytes();
    let mut filler = Random::new(number);
    while body.len() < size {
        body.extend(filler.next().to_be_bytes());
    }
    body
}

/// The number of a message, whose body must be just what it was.
fn number_of(found: &[u8]) -> u64 {
    let text = found.split(|byte| *byte == b' ').next().unwrap();
    let number = std::str::from_utf8(text).ok().and_then(|number| number.parse().ok());
    let number = number.unwrap_or_else(|| panic!("no body of ours: {text:?}"));
    assert!(found == body(number), "message {number} has a wrong body");
    number
}

impl Books {
    /// Compares what is in the queues after a fault at that moment with what was promised by then.
    /// Leaves everything where it is.
    pub(crate) async fn check(&self, broker: &Broker, fault: Moment, when: &str) {
        for (queue, ledger) in QUEUES.iter().zip(&self.0) {
            let found = look(broker, queue).await;
            ledger.check(&found, fault, &format!("{queue}, {when}"));
        }
    }

    /// Takes what is there for what there must be from now on.
    pub(crate) async fn settle(&self, broker: &Broker) {
        for (queue, ledger) in QUEUES.iter().zip(&self.0) {
            ledger.settle(&look(broker, queue).await);
        }
    }
}

async fn look(broker: &Broker, queue: &str) -> Found {
    let ready = numbers(broker.address, queue).await;
    Found { ready, dead: numbers(broker.address, &dead(queue)).await }
}

/// The numbers of the messages in a queue, in their order. Leaves them where they are.
pub(crate) async fn numbers(address: SocketAddr, queue: &str) -> Vec<u64> {
    let session = Session::open_at(address).await;
    let count = passive(&session.channel, queue).await.message_count();
    let mut consumer = consume(&session.channel, queue).await;
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(number_of(&next(&mut consumer).await.data));
    }
    session.close().await;
    numbers
}
