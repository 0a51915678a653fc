//! A broker process: its addresses, its log, its end.

use super::PATIENCE;
use super::launch::Launch;
use super::must;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The variable that names a broker to test instead of our own.
const ATTACH_VARIABLE: &str = "FOREBAY_TEST_ADDR";

/// The broker that the tests share; it lives as long as the test program.
pub(crate) fn shared() -> SocketAddr {
    static SHARED: OnceLock<(SocketAddr, Option<(Broker, TempDir)>)> = OnceLock::new();
    let (address, _) = SHARED.get_or_init(|| match attached() {
        Some(address) => (address, None),
        None => {
            let data = TempDir::new().unwrap();
            let broker = Broker::start(data.path());
            (broker.address, Some((broker, data)))
        }
    });
    *address
}

/// The broker that the tests were pointed at.
pub(crate) fn attached() -> Option<SocketAddr> {
    let address = std::env::var(ATTACH_VARIABLE).ok()?;
    Some(address.parse().expect("FOREBAY_TEST_ADDR is HOST:PORT with a numeric host"))
}

/// Whether a test of our own process makes sense; says so when it does not.
pub(crate) fn is_ours() -> bool {
    let ours = attached().is_none();
    if !ours {
        eprintln!("passed over: needs a broker process of its own, and {ATTACH_VARIABLE} is set");
    }
    ours
}

/// A running broker. Killed when dropped, and also when the test program dies first.
pub(crate) struct Broker {
    child: Child,
    guard: Child,
    log: Arc<Log>,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Where the metrics are.
    pub(crate) metrics: SocketAddr,
    /// Where the admin listener listens.
    pub(crate) admin: SocketAddr,
}

/// How a broker ended that did not get ready.
#[derive(Debug)]
pub(crate) struct RequeueMethod {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

impl Broker {
    /// Starts one on this directory and waits until it is ready.
    pub(crate) fn start(data: &Path) -> Self {
        Self::launch(&Launch::on(data))
    }

    /// Starts one and waits until it is ready.
    pub(crate) fn launch(launch: &Launch) -> Self {
        match Self::try_launch(launch) {
            Ok(broker) => broker,
            Err(refusal) => panic!("the broker did not get ready: {refusal:?}"),
        }
    }

    /// Starts one that may refuse.
    pub(crate) fn try_launch(launch: &Launch) -> Result<Self, RequeueMethod> {
        let mut child = launch.command().spawn().unwrap();
        let guard = guard_of(child.id());
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut broker =
            Self { child, guard, log, address: nowhere, metrics: nowhere, admin: nowhere };
        let log = Arc::clone(&broker.log);
        if log.wait_for("ready", |line| is_ready(line).then_some(())).is_none() {
            return Err(RequeueMethod { status: broker.wait(), log: log.text() });
        }
        broker.address = log.wait_for("AMQP listener", |line| address_in(line, "amqp")).unwrap();
        broker.metrics =
            log.wait_for("metrics listener", |line| address_in(line, "metrics")).unwrap();
        broker.admin = log.wait_for("admin listener", |line| address_in(line, "admin on")).unwrap();
        Ok(broker)
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the broker did not end:\n{}", self.log.text());
    }

    /// Where a listener listens that its log mentions by these words, in lower case.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        self.log.wait_for(listener, |line| address_in(line, listener)).unwrap()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a line of its log.
    pub(crate) fn log_line(&self, is_meant: impl Fn(&str) -> bool) {
        let found = self.log.wait_for("this", |line| is_meant(line).then_some(()));
        assert!(found.is_some(), "the broker ended:\n{}", self.log.text());
    }

    /// The value of a sample, named with its labels as it is scraped.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page = http_get(self.metrics, "/metrics");
        sample_value(&page, sample).unwrap_or_else(|| panic!("no {sample} in:\n{page}"))
    }

    /// Waits until a sample has this value. A queue's samples are there once the shard has told of
    /// the queue.
    pub(crate) async fn await_metric(&self, sample: &str, value: f64) {
        let reached = async {
            while sample_value(&http_get(self.metrics, "/metrics"), sample) != Some(value) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        must(sample, reached).await;
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// The most memory it ever had resident, in bytes.
    pub(crate) fn resident_peak_size(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The addresses that it has reserved, in bytes.
    pub(crate) fn virtual_size(&self) -> u64 {
        self.memory("VmSize:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// Its arguments, as everybody sees them.
    pub(crate) fn arguments(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/cmdline", self.child.id())).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log.text());
        }
    }
}

/// Ends the process when ours is gone without having done so: the pipe closes with us.
fn guard_of(process: u32) -> Child {
    Command::new("sh")
        .args(["-c", &format!("read _; kill -9 {process}")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// As text and as JSON.
fn is_ready(line: &str) -> bool {
    line.ends_with("ready") || line.contains("\"message\":\"ready\"")
}

/// The address at the end of a start-up line that mentions this listener.
fn address_in(line: &str, listener: &str) -> Option<SocketAddr> {
    let lower = line.to_lowercase();
    if !lower.contains(listener) {
        return None;
    }
    let words = lower.split(|character: char| {
        !(character.is_ascii_alphanumeric() || ".:[]".contains(character))
    });
    words.filter_map(|word| word.trim_end_matches('.').parse().ok()).next()
}

/// One request over HTTP/1.0; the whole answer.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What a process writes, line by line, as it comes.
#[derive(Default)]
struct Log {
    lines: Mutex<LogLines>,
    changed: Condvar,
}

#[derive(Default)]
struct LogLines {
    lines: Vec<String>,
    streams_open: usize,
}

impl Log {
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.lines.lock().unwrap().streams_open += 1;
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                log.lines.lock().unwrap().lines.push(line);
                log.changed.notify_all();
            }
            log.lines.lock().unwrap().streams_open -= 1;
            log.changed.notify_all();
        });
    }

    /// The first line in which `find` finds something; nothing when the process ended without.
    fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.lines.iter().find_map(|line| find(line)) {
                return Some(found);
            }
            if lines.streams_open == 0 {
                return None;
            }
            if start.elapsed() >= PATIENCE {
                let text = lines.lines.join("\n");
                drop(lines);
                panic!("no line about {what} in the log:\n{text}");
            }
            lines = self.changed.wait_timeout(lines, Duration::from_secs(1)).unwrap().0;
        }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().lines.join("\n")
    }
}

fn sample_value(page: &str, sample: &str) -> Option<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}
