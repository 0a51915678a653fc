//! The disk fails: from a certain write, sync, rename or new file on, the system says `EIO` or
//! `ENOSPC`. The broker ends, not with 0, and says why; nothing was confirmed that is not there.

use crate::disk::{Deed, Disk, Fate, Mount, Trouble};
use crate::harness::broker::{Broker, RequeueMethod};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::session::{Session, confirmed, declare_named, drain, publish};
use crate::rounds::Rounds;
use crate::world::World;
use fuser::Errno;
use lapin::options::BasicGetOptions;
use std::net::TcpStream;
use std::process::ExitStatus;
use tempfile::TempDir;

/// A way to fail.
struct Ill {
    name: &'static str,
    deed: Deed,
    error: Errno,
    is_meant: fn(&str) -> bool,
    /// Deeds that succeed before it, at most.
    spared_max: u64,
}

impl Ill {
    const fn new(
        name: &'static str,
        deed: Deed,
        error: Errno,
        is_meant: fn(&str) -> bool,
        spared_max: u64,
    ) -> Self {
        Self { name, deed, error, is_meant, spared_max }
    }
}

/// Those that come first come in the short form.
const ILLS: [Ill; 9] = [
    Ill::new("sync of a journal", Deed::Sync, Errno::EIO, is_journal, 100),
    Ill::new("full: write to a journal", Deed::Write, Errno::ENOSPC, is_journal, 200),
    Ill::new("full: write to a table", Deed::Write, Errno::ENOSPC, is_table, 20),
    Ill::new("write to a journal", Deed::Write, Errno::EIO, is_journal, 200),
    Ill::new("write of the high-water mark", Deed::Write, Errno::EIO, is_mark, 100),
    Ill::new("sync of a table", Deed::Sync, Errno::EIO, is_table, 1),
    Ill::new("a new table", Deed::Create, Errno::ENOSPC, is_table, 1),
    Ill::new("rename of a manifest", Deed::Rename, Errno::EIO, is_manifest, 3),
    Ill::new("sync of anything", Deed::Sync, Errno::EIO, is_anything, 100),
];

fn is_journal(path: &str) -> bool {
    path.ends_with(".jnl")
}

fn is_table(path: &str) -> bool {
    path.contains("/tables/")
}

fn is_mark(path: &str) -> bool {
    path.ends_with("HIGH-WATER")
}

fn is_manifest(path: &str) -> bool {
    path.ends_with("/current")
}

fn is_anything(_: &str) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_ends_the_broker_and_breaks_no_promise() {
    let mut rounds = Rounds::of("failing disk", 3, 1);
    for round in 0..rounds.count {
        let ill = &ILLS[round as usize % ILLS.len()];
        let spared = rounds.random.below(ill.spared_max + 1);
        let when = format!("seed {}, round {round}: {} after {spared}", rounds.seed, ill.name);
        eprintln!("{when}");
        let disk = Disk::default();
        let Some(mount) = Mount::of(&disk) else { return };
        let mut broker = Broker::launch(&Launch::on(&mount.data()));
        let mut world = World::new();
        let mut storm = world.storm(&broker, &disk.clock(), &mut rounds.random).await;
        storm.load.confirms(100).await;
        disk.trouble(Trouble::new(ill.deed, spared, ill.error, ill.is_meant));
        // A table comes only after many messages.
        while disk.strikes() == 0 {
            let more = storm.load.confirmed() + 100;
            if !storm.load.try_confirms(more).await {
                break;
            }
        }
        storm.end().await;
        let status = broker.wait();
        assert!(disk.strikes() > 0, "it ended for another reason: {when}\n{}", broker.log());
        ended_well(status, &broker.log(), &when);
        let end = disk.moment();
        disk.mend();
        let broker = Broker::launch(&Launch::on(&mount.data()));
        world.check(&broker, end, &when).await;
        broker.kill();
        // What could not be synced may be gone from the disk although the system still showed it.
        let place = TempDir::new().unwrap();
        let volume = disk.after_power_loss(end, &mut Fate { random: &mut rounds.random });
        volume.write_to(place.path());
        let broker = Broker::start(&place.path().join("data"));
        world.check(&broker, end, &format!("{when}, and the power lost")).await;
        broker.kill();
    }
}

/// The store makes its tables on a thread of its own, which no client waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_no_client_waits_for_ends_the_broker() {
    const MESSAGES: usize = 48;
    let disk = Disk::default();
    let Some(mount) = Mount::of(&disk) else { return };
    let mut broker = Broker::launch(&Launch::on(&mount.data()));
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    for queue in ["drained", "kept"] {
        declare_named(&channel, queue, <_>::default()).await;
    }
    let body = "x".repeat(1024 * 1024);
    for _ in 0..MESSAGES {
        confirmed(publish(&channel, "", "drained", &body).await).await;
    }
    confirmed(publish(&channel, "", "kept", "kept").await).await;
    disk.trouble(Trouble::new(Deed::Create, 0, Errno::ENOSPC, is_table));
    // What is drained is given back, for which what is in memory becomes a table. A table that is not written yet
    // when the trouble begins ends the broker before that.
    let options = BasicGetOptions { no_ack: true };
    while let Ok(Some(_)) = must("basic.get", channel.basic_get("drained".into(), options)).await {}
    let status = broker.wait();
    assert!(disk.strikes() > 0, "it ended for another reason:\n{}", broker.log());
    ended_well(status, &broker.log(), "after a drain");
    let reason = broker.log();
    let reason = reason.lines().find(|line| line.starts_with("forebay: ")).unwrap();
    assert!(reason.contains("No space left on device"), "{reason}");
    assert!(TcpStream::connect(broker.metrics).is_err(), "something still answers");
    disk.mend();
    let broker = Broker::launch(&Launch::on(&mount.data()));
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "kept").await, ["kept"]);
}

/// A new broker meets the failure while it makes its files.
#[test]
fn a_disk_that_fails_at_the_first_start_is_refused_and_can_be_used_later() {
    let mut rounds = Rounds::of("failing disk at the start", 4, 2);
    for round in 0..rounds.count {
        let deeds = [Deed::Write, Deed::Sync, Deed::Create, Deed::Rename];
        let (deed, below) = (deeds[round as usize % 4], [20, 20, 15, 4][round as usize % 4]);
        let spared = rounds.random.below(below);
        let when = format!("seed {}, round {round}: {deed:?} after {spared}", rounds.seed);
        eprintln!("{when}");
        let disk = Disk::default();
        let Some(mount) = Mount::of(&disk) else { return };
        disk.trouble(Trouble::new(deed, spared, Errno::EIO, |_| true));
        let launch = Launch::on(&mount.data());
        let Err(RequeueMethod { status, log }) = Broker::try_launch(&launch) else {
            panic!("it started on a disk that fails: {when}")
        };
        ended_well(status, &log, &when);
        disk.mend();
        Broker::launch(&launch).kill();
    }
}

/// It ended because of the disk, and says so.
pub(crate) fn ended_well(status: ExitStatus, log: &str, when: &str) {
    assert_eq!(status.code(), Some(1), "{when}:\n{log}");
    assert!(!log.contains("panicked"), "{when}:\n{log}");
    assert!(log.contains("forebay: "), "it does not say why: {when}:\n{log}");
}
