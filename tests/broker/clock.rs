//! The machine's clock jumps by an hour either way under a running broker (libfaketime plays the
//! clock): nothing expires with the jump, and nothing lives longer for it.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::session::{
    Session, await_ready, declare, declare_with, fill, get, number, ready_count, string,
};
use lapin::types::{AMQPValue, FieldTable};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const HOUR_SECONDS: i64 = 3600;
/// Less than the jumps: a broker that goes by the wall clock expires all or none.
const LONG_TTL_MS: i32 = 40 * 60 * 1000;
const SHORT_TTL_MS: i32 = 500;

/// Where Debian has it.
fn clock_library() -> Option<PathBuf> {
    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let library = PathBuf::from(library);
    assert!(library.exists() || std::env::var_os("CI").is_none(), "CI needs libfaketime");
    library.exists().then_some(library)
}

/// A broker's wall clock, which a test sets, and its data directory.
pub(crate) struct Jumping {
    directory: TempDir,
    library: PathBuf,
}

impl Jumping {
    /// `None`: this machine has no libfaketime.
    pub(crate) fn new() -> Option<Self> {
        let jumping = Self { library: clock_library()?, directory: TempDir::new().unwrap() };
        set_clock(&jumping.file(), 0);
        Some(jumping)
    }

    /// Where the clock is set.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("clock")
    }

    pub(crate) fn launch(&self) -> Launch {
        Launch::on(&self.directory.path().join("data"))
            .variable("LD_PRELOAD", self.library.to_str().unwrap())
            .variable("FAKETIME_TIMESTAMP_FILE", self.file().to_str().unwrap())
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}

/// Sets the broker's wall clock this far off.
pub(crate) fn set_clock(file: &Path, seconds: i64) {
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{seconds:+}\n")).unwrap();
    std::fs::rename(next, file).unwrap();
}

#[tokio::test]
async fn a_jump_of_an_hour_either_way_neither_expires_nor_keeps_messages() {
    let Some(jumping) = Jumping::new().filter(|_| is_ours()) else {
        eprintln!("passed over: needs libfaketime and a broker process of its own");
        return;
    };
    let clock = jumping.file();
    let broker = Broker::launch(&jumping.launch());
    let session = Session::open_at(broker.address).await;
    let channel = &session.channel;
    let graves = declare(channel, "graves").await;
    let long = declare_with(channel, "long", expiring(LONG_TTL_MS, &graves)).await;
    let short = declare_with(channel, "short", expiring(SHORT_TTL_MS, &graves)).await;
    fill(&session, &long, &["storm"; 1000]).await;
    for (jumps, offset) in [HOUR_SECONDS, -HOUR_SECONDS, 0].into_iter().enumerate() {
        fill(&session, &short, &["before"]).await;
        set_clock(&clock, offset);
        // Also what makes both queues look at their heads.
        fill(&session, &short, &["after"]).await;
        fill(&session, &long, &["after"]).await;
        await_ready(channel, &short, 0).await;
        assert_eq!(ready_count(channel, &long).await, 1001 + jumps as u32);
        assert_eq!(ready_count(channel, &graves).await, 2);
        // The clock has jumped indeed: it is what the headers show.
        get(channel, &graves).await.unwrap();
        let last = get(channel, &graves).await.unwrap();
        let shown = time_of_death(last.delivery.properties.headers().as_ref().unwrap());
        let ahead = shown - now();
        assert!((ahead - offset).abs() < HOUR_SECONDS / 2, "{ahead} s instead of {offset}");
        await_ready(channel, &graves, 0).await;
    }
}

fn expiring(ttl: i32, graves: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), number(ttl));
    arguments.insert("x-dead-letter-exchange".into(), string(""));
    arguments.insert("x-dead-letter-routing-key".into(), string(graves));
    arguments
}

fn time_of_death(headers: &FieldTable) -> i64 {
    let deaths = match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
        other => panic!("{other:?}"),
    };
    match &deaths[0] {
        AMQPValue::FieldTable(death) => match death.inner().get("time") {
            Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
