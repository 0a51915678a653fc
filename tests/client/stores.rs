//! Every store of seen messages keeps the same promises.

use forebay_client::seen::{Claim, FjallSeen, MemorySeen, RedisSeen, SeenStore};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(1);

async fn keeps_its_promises(store: &impl SeenStore, prefix: &str) {
    let key = |name: &str| format!("{prefix}-{name}").into_bytes();
    let (one, two) = (key("one"), key("two"));
    assert_eq!(store.claim(&one, 1, LONG).await.unwrap(), Claim::Taken);
    assert_eq!(store.claim(&one, 2, LONG).await.unwrap(), Claim::InProgress);
    assert_eq!(store.claim(&two, 3, LONG).await.unwrap(), Claim::Taken, "keys are independent");
    assert_eq!(store.claim(&one, 1, SHORT).await.unwrap(), Claim::Taken, "an owner renews");
    until_taken_by(store, &one, 8).await;
    store.release(&one, 8).await.unwrap();
    assert_eq!(store.claim(&one, 1, SHORT).await.unwrap(), Claim::Taken);
    assert_eq!(store.claim(&one, 1, LONG).await.unwrap(), Claim::Taken, "for longer, too");
    tokio::time::sleep(10 * SHORT).await;
    assert_eq!(store.claim(&one, 2, LONG).await.unwrap(), Claim::InProgress);
    store.release(&one, 2).await.unwrap();
    assert_eq!(
        store.claim(&one, 2, LONG).await.unwrap(),
        Claim::InProgress,
        "only the owner releases"
    );
    store.release(&one, 1).await.unwrap();
    assert_eq!(store.claim(&one, 2, LONG).await.unwrap(), Claim::Taken);
    store.complete(&one, 2, LONG).await.unwrap();
    assert_eq!(store.claim(&one, 4, LONG).await.unwrap(), Claim::Done);
    store.release(&one, 2).await.unwrap();
    assert_eq!(store.claim(&one, 4, LONG).await.unwrap(), Claim::Done, "done stays done");
    let crashed = key("crashed");
    assert_eq!(store.claim(&crashed, 5, SHORT).await.unwrap(), Claim::Taken);
    until_taken(store, &crashed).await;
    let forgotten = key("forgotten");
    store.complete(&forgotten, 6, SHORT).await.unwrap();
    until_taken(store, &forgotten).await;
}

/// A time to live passes.
async fn until_taken(store: &impl SeenStore, key: &[u8]) {
    until_taken_by(store, key, 7).await;
}

async fn until_taken_by(store: &impl SeenStore, key: &[u8], owner: u64) {
    while store.claim(key, owner, LONG).await.unwrap() != Claim::Taken {
        tokio::time::sleep(SHORT).await;
    }
}

#[tokio::test]
async fn in_memory() {
    let store = MemorySeen::new();
    keeps_its_promises(&store, "m").await;
    for number in 0..10_000_u64 {
        assert_eq!(store.claim(&number.to_be_bytes(), number, SHORT).await.unwrap(), Claim::Taken);
    }
}

#[tokio::test]
async fn on_fjall_and_over_a_restart() {
    let directory = TempDir::new().unwrap();
    {
        let store = FjallSeen::open(directory.path()).unwrap();
        keeps_its_promises(&store, "f").await;
        store.complete(b"kept", 1, LONG).await.unwrap();
    }
    let store = FjallSeen::open(directory.path()).unwrap();
    assert_eq!(store.claim(b"kept", 2, LONG).await.unwrap(), Claim::Done);
}

/// Completions that wait for the disk at the same time share a sync, and each is on disk afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_completions_at_once_survive() {
    let directory = TempDir::new().unwrap();
    let keys = 0..500_u64;
    {
        let store = FjallSeen::open(directory.path()).unwrap();
        let all = keys.clone().map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = number.to_be_bytes();
                assert_eq!(store.claim(&key, number, LONG).await.unwrap(), Claim::Taken);
                store.complete(&key, number, LONG).await.unwrap();
            })
        });
        for done in futures_util::future::join_all(all).await {
            done.unwrap();
        }
    }
    let store = FjallSeen::open(directory.path()).unwrap();
    for number in keys {
        let found = store.claim(&number.to_be_bytes(), 1_000, LONG).await.unwrap();
        assert_eq!(found, Claim::Done, "{number}");
    }
}

struct Redis {
    child: Child,
    directory: TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Redis {
    /// `None` where no redis-server is installed, which continuous integration has to have.
    fn start() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("socket");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            assert!(std::env::var_os("CI").is_none(), "redis-server is not installed");
            eprintln!("passed over: no redis-server is installed");
            return None;
        };
        Some(Self { child, directory })
    }

    fn url(&self) -> String {
        format!("unix://{}", self.directory.path().join("socket").display())
    }
}

#[tokio::test]
async fn on_redis() {
    let Some(redis) = Redis::start() else { return };
    let store = loop {
        match RedisSeen::connect(&redis.url(), "test").await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    keeps_its_promises(&store, "r").await;
}
