//! The disk runs full: slowly, so that the alarm comes first, or at once, in the middle of whatever
//! the store is about.

use crate::ballast::{Ballast, Kind};
use crate::disk::{Disk, Mount, Trouble};
use crate::failing_disk::ended_well;
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::raw::{Raw, short};
use crate::harness::session::{Session, consume, declare_named, next, ready_count};
use crate::harness::small_disk::SmallDisk;
use crate::rounds::Rounds;
use crate::world::World;
use bytes::Bytes;
use forebay_wire::Method;
use forebay_wire::method::ConfirmSelect;
use fuser::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;
const ALARM: &str = "forebay_alarm_active{alarm=\"disk\"}";

fn launch(mount: &Mount) -> Launch {
    Launch::on(&mount.data()).argument("--disk-free-limit").argument("64MiB")
}

/// Fills the disk by publishing alone, drains it by consuming alone; nobody helps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_filled_with_messages_blocks_publishers_and_recovers_unaided() {
    let disk = Disk::of_size(160 * MIB);
    let Some(mount) = Mount::of(&disk) else { return };
    let broker = Broker::launch(&launch(&mount));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    let mut publisher = Raw::open_channel(broker.address).await;
    publisher.send(1, &ConfirmSelect { no_wait: false }).await;
    assert!(matches!(publisher.method().await, Method::ConfirmSelectOk(_)));
    let body = Bytes::from(vec![7; 60_000]);
    let mut confirmed = 0;
    loop {
        publisher.publish(1, &short("q"), 2, &body).await;
        match publisher.method().await {
            Method::BasicAck(_) => confirmed += 1,
            Method::ConnectionBlocked(blocked) => {
                assert_eq!(blocked.reason, *"low on disk");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(broker.metric(ALARM), 1.0);
    let mut consumer = consume(&session.channel, "q").await;
    for _ in 0..confirmed {
        let delivery = next(&mut consumer).await;
        assert!(*delivery.data == *body, "a wrong body");
        delivery.ack(<_>::default()).await.unwrap();
    }
    assert_eq!(ready_count(&session.channel, "q").await, 0);
    eprintln!("full with {confirmed} messages");
    assert!(matches!(publisher.method().await, Method::ConnectionUnblocked(_)));
    assert!(matches!(publisher.method().await, Method::BasicAck(_)));
    next(&mut consumer).await.ack(<_>::default()).await.unwrap();
}

/// Messages of all sizes in several queues, as publishers send them that nobody slows down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_filled_with_all_sizes_comes_back_once_all_queues_are_drained() {
    const QUEUES: [&str; 4] = ["a", "b", "c", "d"];
    let Some(disk) = SmallDisk::mount(640) else { return };
    let launch = Launch::on(&disk.path().join("data")).through(disk.entrance());
    let broker = Broker::launch(&launch.argument("--disk-free-limit").argument("128MiB"));
    let session = Session::open_at(broker.address).await;
    for queue in QUEUES {
        declare_named(&session.channel, queue, <_>::default()).await;
    }
    let mut publisher = Raw::open_channel(broker.address).await;
    publisher.send(1, &ConfirmSelect { no_wait: false }).await;
    assert!(matches!(publisher.method().await, Method::ConfirmSelectOk(_)));
    let sizes = [100, 70_000, 2_000, 1_000_000, 30_000, 300_000, 500];
    let body = Bytes::from(vec![7; 1_000_000]);
    let mut confirmed = [0; QUEUES.len()];
    for number in 0.. {
        let (queue, size) = (number % QUEUES.len(), sizes[number % sizes.len()]);
        publisher.publish(1, &short(QUEUES[queue]), 2, &body.slice(..size)).await;
        match publisher.method().await {
            Method::BasicAck(_) => confirmed[queue] += 1,
            Method::ConnectionBlocked(blocked) => {
                assert_eq!(blocked.reason, *"low on disk");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(disk_use(&disk.outside("data")) > 150 * MIB);
    eprintln!("full with {confirmed:?} messages");
    for (queue, count) in QUEUES.into_iter().zip(confirmed) {
        let mut consumer = consume(&session.channel, queue).await;
        for _ in 0..count {
            next(&mut consumer).await.ack(<_>::default()).await.unwrap();
        }
        assert_eq!(ready_count(&session.channel, queue).await, 0);
    }
    assert!(matches!(publisher.method().await, Method::ConnectionUnblocked(_)));
    let little = async {
        while disk_use(&disk.outside("data")) > 64 * MIB {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    must("all but 64 MiB", little).await;
}

/// Bytes that a directory takes.
fn disk_use(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_use(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // It was unlinked just now.
        Err(_) => 0,
    });
    sizes.sum()
}

/// Somebody else takes the room: the alarm may come first, or a write may fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_at_once_breaks_no_promise() {
    let mut rounds = Rounds::of("full disk", 2, 1);
    for round in 0..rounds.count {
        let when = format!("seed {}, round {round}", rounds.seed);
        let disk = Disk::of_size(1024 * MIB);
        let Some(mount) = Mount::of(&disk) else { return };
        let mut broker = Broker::launch(&launch(&mount));
        let mut world = World::new();
        let mut storm = world.storm(&broker, &disk.clock(), &mut rounds.random).await;
        storm.load.confirms(100 + rounds.random.below(4_000)).await;
        let room = disk.content().room();
        disk.resize(room + rounds.random.below(8 * MIB));
        let outcome = async {
            while broker.is_running() && !broker.log().contains("disk alarm: ") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        must("an alarm, or the end", outcome).await;
        if broker.is_running() {
            // In an alarm acknowledgements are still written, and may hit the end of the disk.
            tokio::time::sleep(Duration::from_millis(rounds.random.below(300))).await;
        }
        disk.resize(1024 * MIB);
        if broker.is_running() {
            let more = storm.load.confirmed() + 300;
            eprintln!("{when}: blocked, then freed");
            let recovered = storm.load.try_confirms(more).await;
            assert!(recovered || !broker.is_running(), "{when}");
        }
        if broker.is_running() {
            broker.kill();
        } else {
            let status = broker.wait();
            eprintln!("{when}: a write failed");
            assert_eq!(status.code(), Some(1), "{when}:\n{}", broker.log());
            assert!(!broker.log().contains("panicked"), "{when}:\n{}", broker.log());
            drop(broker);
        }
        storm.end().await;
        let broker = Broker::launch(&launch(&mount));
        world.check(&broker, disk.moment(), &when).await;
        broker.kill();
    }
}

/// Tables are merged when there is no room for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_in_the_middle_of_a_merge_breaks_no_promise() {
    let mut rounds = Rounds::of("full disk in a merge", 1, 1);
    for round in 0..rounds.count {
        // The tables of large bodies are small, and merged much sooner.
        let (kind, merged_latest) =
            [(Kind::Bodies, 2_000), (Kind::Pages, 15_000)][round as usize % 2];
        let spared = rounds.random.below(3);
        let when = format!("seed {}, round {round}: {kind:?}, after {spared}", rounds.seed);
        eprintln!("{when}");
        let disk = Disk::default();
        let Some(mount) = Mount::of(&disk) else { return };
        let mut broker = Broker::launch(&launch(&mount).argument("--scrub-rate").argument("0"));
        let clock = disk.clock();
        let mut world = World::new();
        let mut ballast = Ballast::new(kind);
        let storm = world.storm(&broker, &clock, &mut rounds.random).await;
        disk.trouble(Trouble::in_merges(spared, Errno::ENOSPC));
        let is_enough = |confirmed| confirmed > merged_latest || disk.strikes() > 0;
        ballast.load(&broker, &clock, is_enough).await;
        assert!(disk.strikes() > 0, "nothing was merged: {when}");
        ended_well(broker.wait(), &broker.log(), &when);
        storm.end().await;
        let end = disk.moment();
        disk.mend();
        // There is room again: it starts, and merges.
        let broker = Broker::launch(&launch(&mount));
        world.check(&broker, end, &when).await;
        ballast.check(&broker, end, &when).await;
        assert!(ballast.load(&broker, &clock, |confirmed| confirmed >= 100).await, "{when}");
        ballast.check(&broker, disk.moment(), &when).await;
        broker.kill();
    }
}
