//! Processes that stand still: the broker, or a client.

use crate::harness::broker::Broker;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{
    Session, await_ready, confirmed, consume, declare_named, fill, next_bodies, publish,
};
use crate::rounds::Rounds;
use crate::world::{World, no_clock};
use forebay_wire::method::{BasicConsume, ChannelOpen};
use forebay_wire::{Frame, Method};
use rustix::process::Signal;
use std::time::Duration;
use tempfile::TempDir;

/// The heartbeat interval of a client, in s: so long that a busy machine does not make it silent.
const HEARTBEAT_S: u16 = 3;

/// Longer than it takes to give up a client whose heartbeats do not come.
const STANDSTILL: Duration = Duration::from_secs(2 * HEARTBEAT_S as u64 + 1);

/// How often the broker stands still in a round.
const STANDSTILLS: usize = 3;

/// Clients that only beat: more than a runtime learns of at once, since what it must not do is to
/// look at its timers before it has looked at all of its sockets.
const CLIENTS: usize = 200;

async fn open_channel(raw: &mut Raw) {
    raw.send(1, &ChannelOpen {}).await;
    assert!(matches!(raw.method().await, Method::ChannelOpenOk(_)));
}

/// A broker that stood still finds what its clients sent meanwhile, heartbeats too: it must not
/// take them for dead by its own clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stood_still_goes_on_with_its_clients() {
    let mut rounds = Rounds::of("SIGSTOP of the broker", 1, 1);
    for round in 0..rounds.count {
        let when = format!("seed {}, round {round}", rounds.seed);
        let data = TempDir::new().unwrap();
        let broker = Broker::start(data.path());
        let mut world = World::new();
        let mut storm = world.storm(&broker, &no_clock(), &mut rounds.random).await;
        storm.load.confirms(100 + rounds.random.below(500)).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let opened = Raw::open_with(broker.address, HEARTBEAT_S);
            let client = beating(&mut clients, opened).await;
            clients.push(client);
        }
        for _ in 0..STANDSTILLS {
            broker.signal(Signal::STOP);
            beating(&mut clients, tokio::time::sleep(STANDSTILL)).await;
            broker.signal(Signal::CONT);
            // Whoever is taken for dead is so before the storm gets on.
            let more = storm.load.confirmed() + 100;
            beating(&mut clients, storm.load.confirms(more)).await;
        }
        while let Some(mut client) = clients.pop() {
            beating(&mut clients, open_channel(&mut client)).await;
            client.abort();
        }
        let more = storm.load.confirmed() + 200;
        storm.load.confirms(more).await;
        assert!(!broker.log().contains("missed heartbeats"), "{when}:\n{}", broker.log());
        broker.kill();
        storm.end().await;
        let broker = Broker::start(data.path());
        world.check(&broker, 0, &when).await;
        broker.kill();
    }
}

const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xce];

/// Waits for something while the clients beat, however long it takes.
async fn beating<T>(clients: &mut [Raw], work: impl Future<Output = T>) -> T {
    let beat = async {
        loop {
            for client in &mut *clients {
                client.send_bytes(&HEARTBEAT).await;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = beat => unreachable!("it beats for ever"),
    }
}

/// A consumer that stands still is given up by its heartbeats, and what it held goes to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_that_stands_still_held_goes_to_others() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    fill(&session, "q", &["1", "2", "3"]).await;
    let mut still = Raw::open_with(broker.address, 1).await;
    open_channel(&mut still).await;
    still.send(1, &BasicConsume { queue: short("q"), ..<_>::default() }).await;
    assert!(matches!(still.method().await, Method::BasicConsumeOk(_)));
    while !matches!(still.frame().await, Some(Frame::Body { .. })) {}
    // From here on it says nothing, and reads nothing: as if stopped.
    await_ready(&session.channel, "q", 3).await;
    let mut consumer = consume(&session.channel, "q").await;
    assert_eq!(next_bodies(&mut consumer, 3).await, ["1", "2", "3"]);
    broker.log_line(|line| line.contains("missed heartbeats"));
    let channel = session.confirm_channel().await;
    confirmed(publish(&channel, "", "q", "4").await).await;
}
