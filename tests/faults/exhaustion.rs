//! What the system gives runs out: file descriptors, memory.

use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{Session, confirmed, consume, declare_named, fill, next, publish};
use crate::rounds::Rounds;
use crate::world::{World, no_clock};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Descriptors beyond those that the broker keeps for itself.
const CONNECTIONS: usize = 40;
const DESCRIPTORS: usize = 512 + CONNECTIONS;

const MIB: u64 = 1024 * 1024;

fn limited(data: &TempDir, limit: &str) -> Launch {
    Launch::on(data.path()).through(vec!["prlimit".to_owned(), limit.to_owned()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_descriptors_harm_nobody_who_is_connected() {
    let data = TempDir::new().unwrap();
    let broker = Broker::launch(&limited(&data, &format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")));
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "q", <_>::default()).await;
    let mut crowd = Vec::new();
    for _ in 0..DESCRIPTORS * 2 {
        crowd.push(must("connect", TcpStream::connect(broker.address)).await.unwrap());
    }
    broker.log_line(|line| line.contains("dropped") || line.contains("cannot accept"));
    let mut consumer = consume(&channel, "q").await;
    for number in 0..100 {
        confirmed(publish(&channel, "", "q", &number.to_string()).await).await;
        next(&mut consumer).await.ack(<_>::default()).await.unwrap();
    }
    drop(crowd);
    // As soon as those are gone there is room for others.
    let others = async {
        loop {
            let uri = format!("amqp://guest:guest@{}/%2f", broker.address);
            if let Ok(connection) = lapin::Connection::connect(&uri, <_>::default()).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let other = must("room for others", others).await;
    other.close(200, "bye".into()).await.unwrap();
    fill(&session, "q", &["last"]).await;
    next(&mut consumer).await.ack(<_>::default()).await.unwrap();
}

/// The system gives no more memory: the broker goes on, or ends at once; it does not go on with half
/// of something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_the_system_refuses_breaks_no_promise() {
    let mut rounds = Rounds::of("memory", 2, 1);
    let idle = {
        let data = TempDir::new().unwrap();
        Broker::start(data.path()).virtual_size()
    };
    for round in 0..rounds.count {
        let when = format!("seed {}, round {round}", rounds.seed);
        let data = TempDir::new().unwrap();
        let size = idle + (8 + rounds.random.below(120)) * MIB;
        let mut broker = Broker::launch(&limited(&data, &format!("--as={size}")));
        let mut world = World::new();
        let mut storm = world.storm(&broker, &no_clock(), &mut rounds.random).await;
        let enough = storm.load.try_confirms(3_000).await;
        if enough {
            eprintln!("{when}: enough with {} MiB", size / MIB);
            broker.kill();
        } else {
            let status = broker.wait();
            eprintln!("{when}: ended with {status} at {} MiB", size / MIB);
            let is_told = status.code().is_some_and(|code| code != 0)
                || status.signal().is_some() && broker.log().contains("memory allocation");
            assert!(is_told, "{when}: {status}\n{}", broker.log());
            drop(broker);
        }
        storm.end().await;
        let broker = Broker::start(data.path());
        world.check(&broker, 0, &when).await;
        broker.kill();
    }
}
