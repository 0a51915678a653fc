//! The power goes: what was not synced is lost or torn. The real broker runs on a disk that keeps
//! its history; of each run many moments are drawn, and of each moment one of the disks that a
//! power loss could have left. On each of them a broker must start and keep every promise that was
//! made by then.

use crate::ballast::{Ballast, Kind};
use crate::disk::{Disk, Fate, Moment, Mount, Volume};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::random::Random;
use crate::rounds::Rounds;
use crate::world::World;
use tempfile::TempDir;

/// Power losses that are tried of each run.
const LOSSES: u64 = 6;

/// The same of a run with many large messages, each of which is looked at.
const LOSSES_OF_LARGE: u64 = 3;

/// Runs on the same disk: then a new one, for the first start is a matter of its own.
const RUNS_OF_A_DISK: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_a_power_loss() {
    let mut rounds = Rounds::of("power loss", 1, 1);
    let (mut volume, mut world) = (Volume::default(), World::new());
    for round in 0..rounds.count {
        if round % RUNS_OF_A_DISK == 0 {
            (volume, world) = (Volume::default(), World::new());
        }
        let disk = Disk::with(volume);
        let Some(mount) = Mount::of(&disk) else { return };
        let broker = Broker::launch(&Launch::on(&mount.data()));
        run(&disk, broker, &mut world, &mut rounds.random).await;
        drop(mount);
        let end = disk.moment();
        for loss in 1..LOSSES {
            let moment = match loss {
                1 => rounds.random.below(end as u64 + 1) as Moment,
                _ => end - (rounds.random.below(end as u64 + 1) * loss / LOSSES / 4) as Moment,
            };
            let when = format!(
                "seed {}, round {round}, power loss {loss} after {moment} of {end} changes",
                rounds.seed
            );
            let place = lose_power(&disk, moment, &mut rounds.random, &when);
            let broker = Broker::start(&place.path().join("data"));
            world.check(&broker, moment, &when).await;
            broker.kill();
        }
        // The last one is where the next run goes on.
        let when = format!("seed {}, round {round}, power loss at the end, {end}", rounds.seed);
        let place = lose_power(&disk, end, &mut rounds.random, &when);
        let broker = Broker::start(&place.path().join("data"));
        world.check(&broker, end, &when).await;
        world.settle(&broker).await;
        broker.kill();
        volume = Volume::read_from(place.path());
    }
}

/// Large bodies are files of their own, and tables are merged: names come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_outlive_a_power_loss() {
    let mut rounds = Rounds::of("power loss among tables", 1, 1);
    for round in 0..rounds.count {
        let kind = [Kind::Bodies, Kind::Pages][round as usize % 2];
        let disk = Disk::default();
        let Some(mount) = Mount::of(&disk) else { return };
        let broker = Broker::launch(&Launch::on(&mount.data()));
        let clock = disk.clock();
        let mut ballast = Ballast::new(kind);
        let enough = match kind {
            Kind::Bodies => 400 + rounds.random.below(300),
            Kind::Pages => 1_000 + rounds.random.below(7_000),
        };
        assert!(ballast.load(&broker, &clock, |confirmed| confirmed >= enough).await);
        broker.kill();
        drop(mount);
        let end = disk.moment();
        for loss in 0..LOSSES_OF_LARGE {
            let back = rounds.random.below(end as u64 + 1) * loss / LOSSES_OF_LARGE;
            let moment = end - back as Moment;
            let when = format!(
                "seed {}, round {round}, {kind:?}, power loss {loss} after {moment} of {end} changes",
                rounds.seed
            );
            let place = lose_power(&disk, moment, &mut rounds.random, &when);
            let broker = Broker::start(&place.path().join("data"));
            ballast.check(&broker, moment, &when).await;
            broker.kill();
        }
    }
}

/// Publishes, consumes and changes the topology, then kills the broker in the middle of it.
async fn run(disk: &Disk, broker: Broker, world: &mut World, random: &mut Random) {
    let mut storm = world.storm(&broker, &disk.clock(), random).await;
    storm.load.confirms(300 + random.below(6_000)).await;
    broker.kill();
    storm.end().await;
}

/// A directory as a power loss at that moment could have left it.
fn lose_power(disk: &Disk, moment: Moment, random: &mut Random, when: &str) -> TempDir {
    eprintln!("{when}");
    let place = TempDir::new().unwrap();
    disk.after_power_loss(moment, &mut Fate { random }).write_to(place.path());
    place
}
