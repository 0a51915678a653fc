//! One message that kills whoever gets it must not condemn its neighbours, nor hold them up.

use crate::harness::broker::{self, is_ours};
use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, consume, declare, drain, fill, prefetch, ready_count, text,
};
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const MESSAGES: usize = 50;
const PREFETCH: u16 = 50;
/// In the middle: it has neighbours before and behind it.
const POISON: &str = "20";

/// How a worker acknowledges.
#[derive(Clone, Copy)]
enum Acks {
    /// Each message as soon as it is done.
    Each,
    /// All that it was sent, when all are done.
    Together,
}

#[tokio::test]
async fn only_the_poison_is_condemned_when_workers_ack_each_message() {
    condemns_the_poison_alone(Acks::Each).await;
}

#[tokio::test]
async fn only_the_poison_is_condemned_when_workers_ack_in_batches() {
    condemns_the_poison_alone(Acks::Together).await;
}

async fn condemns_the_poison_alone(acks: Acks) {
    if !is_ours() {
        return;
    }
    let session = Session::open().await;
    let queue = declare(&session.channel, "poison").await;
    let bodies: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    fill(&session, &queue, &bodies).await;
    let mut done = BTreeSet::new();
    let mut lives = 0;
    while done.len() < MESSAGES - 1 {
        lives += 1;
        assert!(lives < 10, "the poison goes round for ever; done: {done:?}");
        live(&queue, acks, &mut done).await;
    }
    let dead = format!("{queue}.dlq");
    await_ready(&session.channel, &queue, 0).await;
    assert_eq!(ready_count(&session.channel, &dead).await, 1);
    assert_eq!(drain(&session.channel, &dead).await, [POISON]);
    assert!(!done.contains(POISON));
}

/// One worker from its connection to the poison, or to the end of the work.
async fn live(queue: &str, acks: Acks, done: &mut BTreeSet<String>) {
    let (address, cable) = cable().await;
    let worker = Session::open_at(address).await;
    prefetch(&worker.channel, PREFETCH).await;
    let mut consumer = consume(&worker.channel, queue).await;
    let mut batch = Vec::new();
    while done.len() < MESSAGES - 1 {
        // Whatever has arrived belongs to the batch; when nothing more has, the batch is done.
        let delivery = match consumer.next().now_or_never() {
            Some(delivery) => delivery,
            None if !batch.is_empty() => {
                acknowledge(&mut batch, done).await;
                continue;
            }
            None => must("a delivery", consumer.next()).await,
        };
        let delivery = delivery.unwrap().unwrap();
        if text(&delivery) == POISON {
            // The process is gone: nothing more is acknowledged.
            break;
        }
        batch.push(delivery);
        if matches!(acks, Acks::Each) {
            acknowledge(&mut batch, done).await;
        }
    }
    if done.len() == MESSAGES - 1 {
        // The last acknowledgement arrives: it did not die.
        return worker.close().await;
    }
    cable.abort();
    let _ = must("the cut cable", cable).await;
}

/// A way to the broker for one connection, which ends without a word when it is cut, as that of a
/// process does that is killed.
async fn cable() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cable = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut broker = TcpStream::connect(broker::shared()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
    });
    (address, cable)
}

async fn acknowledge(batch: &mut Vec<Delivery>, done: &mut BTreeSet<String>) {
    let last = batch.last().unwrap();
    last.ack(BasicAckOptions { multiple: true }).await.unwrap();
    done.extend(batch.drain(..).map(|delivery| text(&delivery)));
}
