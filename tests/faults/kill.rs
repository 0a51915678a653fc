//! `kill -9` while everything is done at once: publishing, acknowledging, rejecting, declaring,
//! deleting, purging, binding, setting policies. Again and again on the same data.

use crate::harness::broker::Broker;
use crate::rounds::Rounds;
use crate::world::{World, no_clock};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_kill_9() {
    let mut rounds = Rounds::of("kill -9", 2, 2);
    let data = TempDir::new().unwrap();
    let mut world = World::new();
    for round in 0..rounds.count {
        let broker = Broker::start(data.path());
        let mut storm = world.storm(&broker, &no_clock(), &mut rounds.random).await;
        storm.load.confirms(100 + rounds.random.below(3_000)).await;
        broker.kill();
        storm.end().await;
        let broker = Broker::start(data.path());
        world.check(&broker, 0, &format!("seed {}, round {round}", rounds.seed)).await;
        world.settle(&broker).await;
        broker.kill();
    }
}
