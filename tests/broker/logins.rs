//! Guessing passwords: it is slow, teaches nothing, and holds up nobody who knows theirs.

use crate::harness::broker::{Broker, is_ours};
use crate::harness::launch::Launch;
use crate::harness::must;
use crate::harness::raw::{Raw, plain};
use forebay_wire::Method;
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;

const HERE: &str = "127.0.0.1:0";
const ELSEWHERE: &str = "127.0.0.2:0";

/// Who guess at the same time.
const GUESSERS: usize = 1_000;

/// A broker with the users `app` and `new`, whose passwords are `right`.
fn start(directory: &Path) -> Broker {
    let definitions = directory.join("definitions.json");
    let user = |name| format!(r#"{{"name":"{name}","password":"right","tags":""}}"#);
    let users = format!(r#"{{"users":[{},{}]}}"#, user("app"), user("new"));
    std::fs::write(&definitions, users).unwrap();
    let config = directory.join("forebay.toml");
    std::fs::write(&config, format!("load_definitions = {:?}\n", definitions)).unwrap();
    let launch = Launch::on(&directory.join("data")).argument("--config");
    Broker::launch(&launch.argument(config.to_str().unwrap()))
}

/// What is answered to a login from this address.
async fn log_in(broker: SocketAddr, from: &str, user: &str, password: &str) -> Option<Method> {
    let mut raw = Raw::greet_from(from.parse().unwrap(), broker).await;
    raw.send(0, &plain(user, password)).await;
    match raw.frame().await? {
        forebay_wire::Frame::Method { method, .. } => Some(method),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bad_logins_hold_up_nobody_who_knows_the_password() {
    if !is_ours() {
        return;
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let directory = TempDir::new().unwrap();
    let broker = start(directory.path());
    let address = broker.address;
    get_in(address, HERE, "app").await;

    let guesses = Arc::new(Guesses::default());
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|number| tokio::spawn(Arc::clone(&guesses).go_on(address, number)))
        .collect();
    while guesses.asked.load(Ordering::SeqCst) < GUESSERS {
        tokio::task::yield_now().await;
    }
    // One that was right before, from where the guesses come, and a new one from elsewhere. Behind
    // a thousand checks neither would ever get in before its handshake is given up.
    get_in(address, HERE, "app").await;
    get_in(address, ELSEWHERE, "new").await;
    guesses.is_over.store(true, Ordering::SeqCst);
    for guesser in must("the end of the guesses", join_all(guessers)).await {
        guesser.unwrap();
    }
}

/// Logs in with the right password. A machine that is busy with other things may not get a handshake
/// done in time: then once more, since the guesses go on.
async fn get_in(broker: SocketAddr, from: &str, user: &str) {
    let gets_in = async {
        loop {
            match log_in(broker, from, user, "right").await {
                Some(Method::ConnectionTune(_)) => return,
                None => {}
                other => panic!("{other:?}"),
            }
        }
    };
    must("the login", gets_in).await;
}

/// What all who guess share.
#[derive(Default)]
struct Guesses {
    asked: AtomicUsize,
    is_over: AtomicBool,
}

impl Guesses {
    /// Guesses again and again.
    async fn go_on(self: Arc<Self>, broker: SocketAddr, number: usize) {
        let user = if number.is_multiple_of(2) { "app" } else { "nobody" };
        while !self.is_over.load(Ordering::SeqCst) {
            let mut raw = Raw::greet_from(HERE.parse().unwrap(), broker).await;
            raw.send(0, &plain(user, &format!("guess {number}"))).await;
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = raw.frame().await;
            let tune = matches!(
                answer,
                Some(forebay_wire::Frame::Method { method: Method::ConnectionTune(_), .. })
            );
            assert!(!tune, "a wrong password was taken");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_the_same_for_every_reason() {
    if !is_ours() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let broker = start(directory.path());
    let mut texts = Vec::new();
    // A wrong password, nobody, a user that may come from this machine only, and both at once.
    let cases = [
        (HERE, "app", "wrong"),
        (HERE, "nobody", "right"),
        (HERE, "guest", "wrong"),
        (HERE, "", ""),
        (HERE, "app", "wrong"),
    ];
    for (from, user, password) in cases {
        match log_in(broker.address, from, user, password).await {
            Some(Method::ConnectionClose(close)) => {
                texts.push((close.reply_code, close.reply_text, close.class_id));
            }
            other => panic!("{other:?}"),
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}
