//! The wall clock jumps, an hour forward or back, while everything that has to do with time is
//! under way. The broker measures how long something takes with the clock that does not jump; the
//! wall clock counts only from one start to the next.

use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use crate::harness::session::{
    Session, await_ready, confirmed, consume, declare_named, drain, fill, next, number, persistent,
    publish_with, ready_count, table,
};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const HOUR_S: i64 = 3600;

/// Longer than what is asked for below, shorter than an hour.
const HALF_AN_HOUR_MS: i32 = 30 * 60 * 1000;

/// The wall clock of a broker.
struct WallClock {
    place: TempDir,
    offset: File,
}

impl WallClock {
    fn make() -> Self {
        let place = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(place.path().join("clock.so"))
            .arg(source)
            .status()
            .expect("cc, with which Rust links");
        assert!(built.success());
        let mut options = OpenOptions::new();
        let offset = options.create_new(true).read(true).write(true);
        let offset = offset.open(place.path().join("offset")).unwrap();
        offset.set_len(8).unwrap();
        Self { place, offset }
    }

    fn set(&self, seconds: i64) {
        self.offset.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    fn launch(&self, data: &Path) -> Launch {
        let path = |name: &str| self.place.path().join(name).to_str().unwrap().to_owned();
        Launch::on(data)
            .variable("LD_PRELOAD", path("clock.so"))
            .variable("FOREBAY_TEST_CLOCK", path("offset"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_hastens_nothing_and_holds_nothing_up() {
    let data = TempDir::new().unwrap();
    let clock = WallClock::make();
    let broker = Broker::launch(&clock.launch(data.path()));
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    declare_named(&channel, "expiring", table("x-message-ttl", number(HALF_AN_HOUR_MS))).await;
    declare_named(&channel, "unused", table("x-expires", number(HALF_AN_HOUR_MS))).await;
    declare_named(&channel, "out", table("x-consumer-timeout", number(HALF_AN_HOUR_MS))).await;
    declare_named(&channel, "kept", <_>::default()).await;
    fill(&session, "expiring", &["1"]).await;
    fill(&session, "unused", &["2"]).await;
    fill(&session, "out", &["3"]).await;
    let mut consumer = consume(&session.channel, "out").await;
    let held = next(&mut consumer).await;
    declare_named(&channel, "soon", <_>::default()).await;
    for offset in [HOUR_S, 0, -HOUR_S, HOUR_S, -HOUR_S] {
        clock.set(offset);
        // What expires now is gone when the broker has acted in the new time.
        let soon = persistent().with_expiration("50".into());
        confirmed(publish_with(&channel, "", "soon", b"soon", soon).await).await;
        await_ready(&channel, "soon", 0).await;
        assert_eq!(ready_count(&channel, "expiring").await, 1, "{offset}");
        assert_eq!(ready_count(&channel, "unused").await, 1, "{offset}");
        fill(&session, "kept", &["more"]).await;
    }
    // Neither was the consumer's time out, nor a heartbeat missed.
    held.ack(<_>::default()).await.unwrap();
    assert_eq!(ready_count(&session.channel, "out").await, 0);
    assert_eq!(drain(&channel, "kept").await.len(), 5);
    assert!(!broker.log().contains("missed heartbeats"), "{}", broker.log());
    broker.kill();
}

/// Between two starts only the wall clock tells how much time has gone by: what a jump forward says
/// is believed, and a jump back makes a message live longer, never shorter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumped_between_two_starts_loses_nothing_that_has_no_time_to_live() {
    let data = TempDir::new().unwrap();
    let clock = WallClock::make();
    let shift = |broker: Broker, seconds: i64| {
        broker.kill();
        clock.set(seconds);
        Broker::launch(&clock.launch(data.path()))
    };
    let broker = Broker::launch(&clock.launch(data.path()));
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "expiring", table("x-message-ttl", number(HALF_AN_HOUR_MS)))
        .await;
    declare_named(&session.channel, "kept", <_>::default()).await;
    fill(&session, "expiring", &["1"]).await;
    fill(&session, "kept", &["1"]).await;

    let broker = shift(broker, -HOUR_S);
    let session = Session::open_at(broker.address).await;
    assert_eq!(ready_count(&session.channel, "expiring").await, 1);
    assert_eq!(ready_count(&session.channel, "kept").await, 1);
    fill(&session, "kept", &["2"]).await;

    let broker = shift(broker, HOUR_S);
    let session = Session::open_at(broker.address).await;
    await_ready(&session.channel, "expiring", 0).await;
    fill(&session, "kept", &["3"]).await;

    let broker = shift(broker, 0);
    let session = Session::open_at(broker.address).await;
    assert_eq!(drain(&session.channel, "kept").await, ["1", "2", "3"]);
    broker.kill();
}

/// The preloaded clock does what the tests above rely on.
#[test]
fn the_clock_is_really_set() {
    let clock = WallClock::make();
    clock.set(-HOUR_S);
    let output = Command::new("date")
        .arg("+%s")
        .env("LD_PRELOAD", clock.place.path().join("clock.so"))
        .env("FOREBAY_TEST_CLOCK", clock.place.path().join("offset"))
        .output()
        .unwrap();
    let there: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((here - there).abs_diff(HOUR_S) < Duration::from_secs(600).as_secs());
}
