//! A network that cuts, delays and resets at random: every publish reported as confirmed arrives,
//! and every message is handled at least once.

use crate::ground::{connect, name, state, text};
use crate::harness::{PATIENCE, broker, must};
use crate::proxy::{Proxy, Random};
use forebay_client::{
    CancellationToken, ConnectOptions, Connection, Consume, Message, PublishError,
    PublisherOptions, QueueOptions, Worker, WorkerError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MESSAGES: u64 = 4_000;
const SEED_VARIABLE: &str = "FOREBAY_TEST_SEED";

fn seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let clock = || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
            as u64
    };
    let seed = given.unwrap_or_else(clock);
    eprintln!("{SEED_VARIABLE}={seed}");
    seed
}

async fn stormy(proxy: &Proxy) -> Connection {
    proxy.storm(false);
    let options: ConnectOptions = proxy.uri().parse().unwrap();
    let options = options.backoff(Duration::from_millis(1), Duration::from_millis(20));
    let connection = must("a connection", Connection::connect(options)).await.unwrap();
    proxy.storm(true);
    connection
}

/// Publishes every number; the outcome of each.
async fn publish(
    connection: Connection,
    queue: String,
    seed: u64,
    is_resending: bool,
) -> BTreeMap<u64, Result<(), PublishError>> {
    let options = PublisherOptions::default().window(100);
    let options = if is_resending { options.resend() } else { options };
    let publisher = must("a publisher", connection.publisher_with(options)).await.unwrap();
    let mut random = Random(seed | 1);
    let mut confirms = Vec::new();
    for number in 0..MESSAGES {
        let padding = "x".repeat(random.below(300) as usize);
        let message = Message::to_queue(&queue, format!("{number} {padding}"));
        confirms.push((number, must("room", publisher.publish(message)).await.unwrap()));
    }
    let mut outcomes = BTreeMap::new();
    for (number, confirm) in confirms {
        outcomes.insert(number, must("an outcome", confirm).await);
    }
    outcomes
}

/// The numbers of the messages that were handled.
type Handled = Arc<Mutex<BTreeSet<u64>>>;

/// Handles messages until told to stop, through whatever the network does.
async fn work(
    consume: Consume,
    stop: CancellationToken,
    handled: Handled,
) -> Result<(), WorkerError> {
    let worker = Worker::new(consume).concurrency(4);
    let run = worker.run(stop, move |message| {
        let handled = Arc::clone(&handled);
        async move {
            let number = text(&message).split(' ').next().unwrap().parse::<u64>()?;
            handled.lock().unwrap().insert(number);
            Ok(())
        }
    });
    run.await
}

async fn await_all(handled: &Handled, confirmed: &BTreeSet<u64>) {
    while !handled.lock().unwrap().is_superset(confirmed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn storm(is_resending: bool) {
    let seed = seed();
    let own = connect().await;
    let queue = name("chaos");
    // The storm makes many failed deliveries; none shall be dead-lettered for it.
    let options = match broker::attached() {
        None => QueueOptions::durable().argument("x-delivery-limit", -1_i32),
        Some(_) => QueueOptions::durable(),
    };
    own.declare_queue(&queue, options).await.unwrap();
    let proxy = Proxy::start(broker::shared(), seed).await;
    let (producer, consumer) = (stormy(&proxy).await, stormy(&proxy).await);

    let handled = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = CancellationToken::new();
    let consume = consumer.consume(&queue).prefetch(50);
    let worker = tokio::spawn(work(consume, stop.clone(), Arc::clone(&handled)));
    let outcomes = publish(producer.clone(), queue.clone(), seed, is_resending).await;
    proxy.storm(false);
    let confirmed: BTreeSet<u64> =
        outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(number, _)| *number).collect();
    let unknown = outcomes
        .values()
        .filter(|outcome| matches!(outcome, Err(PublishError::Unknown(_))))
        .count();
    assert_eq!(
        confirmed.len() + unknown,
        MESSAGES as usize,
        "nothing else can happen to a message here"
    );
    if is_resending {
        assert_eq!(unknown, 0, "every message is repeated until it is confirmed");
    }
    if tokio::time::timeout(PATIENCE, await_all(&handled, &confirmed)).await.is_err() {
        let missing: Vec<_> = confirmed.difference(&*handled.lock().unwrap()).copied().collect();
        let (queue, is_over) = (state(&own, &queue).await, worker.is_finished());
        let ended = if is_over { Some(worker.await) } else { None };
        panic!("missing {missing:?}; {queue:?}; the worker ended: {ended:?}");
    }
    stop.cancel();
    must("the end of the worker", worker).await.unwrap().unwrap();
    eprintln!(
        "{} cuts, {} confirmed, {unknown} unknown",
        proxy.cuts.load(Ordering::Relaxed),
        confirmed.len()
    );
    producer.close().await.unwrap();
    consumer.close().await.unwrap();
    own.delete_queue(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_arrives_and_is_handled() {
    storm(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resending_publisher_gets_everything_confirmed() {
    storm(true).await;
}
