//! A client process that is stopped (`SIGSTOP`) and goes on later (`SIGCONT`): the program's own
//! commands, which are clients as others write them.

use crate::harness::broker::Broker;
use crate::harness::must;
use crate::harness::session::{
    Session, confirmed, consume, declare_named, drain, fill, next, next_bodies, publish,
    ready_count,
};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// So long that a busy machine does not make a client silent that is not stopped.
const HEARTBEAT_S: u16 = 5;

/// A client process; it does not outlive its test.
struct Client {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(broker: &Broker, arguments: &[&str]) -> Self {
        let url = format!("amqp://guest:guest@{}/%2f?heartbeat={HEARTBEAT_S}", broker.address);
        let mut child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(arguments)
            .env("AMQP_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The next lines that it prints.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let line = must("a line of the client", self.output.next_line()).await.unwrap();
            lines.push(line.expect("the client ended"));
        }
        lines
    }

    /// Waits for its end; whether that was a success.
    async fn end(mut self) -> bool {
        must("the end of the client", self.child.wait()).await.unwrap().success()
    }
}

/// It is given up by its heartbeats, what it held goes to others in order, and when it goes on it
/// notices, connects again, and settles nothing that is not its own any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_consumer_held_goes_to_others() {
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    declare_named(&session.channel, "q", <_>::default()).await;
    fill(&session, "q", &["1", "2", "3"]).await;
    // It looks: it holds what it has printed until it has seen five.
    let mut client = Client::start(&broker, &["consume", "q", "--count", "5"]);
    assert_eq!(client.lines(3).await, ["1", "2", "3"]);
    client.signal(Signal::STOP);
    let mut consumer = consume(&session.channel, "q").await;
    assert_eq!(next_bodies(&mut consumer, 3).await, ["1", "2", "3"]);
    broker.log_line(|line| line.contains("missed heartbeats"));
    let other = Session::open_at(broker.address).await;
    let cancelled = session.channel.basic_cancel(consumer.tag(), <_>::default());
    must("basic.cancel", cancelled).await.unwrap();
    client.signal(Signal::CONT);
    fill(&other, "q", &["4", "5"]).await;
    assert_eq!(client.lines(2).await, ["4", "5"]);
    assert!(client.end().await);
    session.close().await;
    assert_eq!(drain(&other.channel, "q").await, ["1", "2", "3", "4", "5"]);
}

/// Nobody waits for it, whatever part of a message it had sent. When it goes on it says of what it had
/// under way that nothing is known of it, and the rest gets there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_publisher_slows_nobody() {
    const MESSAGES: usize = 5_000;
    let data = TempDir::new().unwrap();
    let broker = Broker::start(data.path());
    let session = Session::open_at(broker.address).await;
    let channel = session.confirm_channel().await;
    for queue in ["stopped", "q"] {
        declare_named(&channel, queue, <_>::default()).await;
    }
    // The rate gives ten seconds in which it is stopped for certain in the middle of its work.
    let mut client = Client::start(&broker, &["publish", "--queue", "stopped", "--rate", "500"]);
    let mut input = client.child.stdin.take().unwrap();
    let lines: String = (0..MESSAGES).map(|number| format!("{number}\n")).collect();
    let feeding = tokio::spawn(async move { input.write_all(lines.as_bytes()).await });
    let begun = async {
        while ready_count(&channel, "stopped").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    must("the first message", begun).await;
    client.signal(Signal::STOP);
    let mut consumer = consume(&channel, "q").await;
    let mut number = 0;
    while !broker.log().contains("missed heartbeats") {
        confirmed(publish(&channel, "", "q", &number.to_string()).await).await;
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.data, number.to_string().as_bytes());
        delivery.ack(<_>::default()).await.unwrap();
        number += 1;
    }
    assert!((ready_count(&channel, "stopped").await as usize) < MESSAGES, "it was not stopped");
    client.signal(Signal::CONT);
    let summary = client.lines(1).await.remove(0);
    let (known, rest) = summary.split_once(' ').unwrap();
    assert_eq!(rest, format!("of {MESSAGES} messages confirmed"));
    let known: usize = known.parse().unwrap();
    assert_eq!(client.end().await, known == MESSAGES);
    feeding.await.unwrap().unwrap();
    let bodies = drain(&channel, "stopped").await;
    let numbers: Vec<usize> = bodies.iter().map(|body| body.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "disorder, or one twice");
    assert!(numbers.len() >= known, "{known} were confirmed, {} are there", numbers.len());
    assert_eq!(numbers.last(), Some(&(MESSAGES - 1)));
}
