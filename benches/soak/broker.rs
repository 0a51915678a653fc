//! A broker process that can be killed and started again on the same data, and what it uses.

use crate::wire::Wire;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    data: TempDir,
}

/// What the process uses at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let data = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = launch(address, &data);
        let broker = Self { child, address, data };
        broker.await_open();
        broker
    }

    /// Kills the process, and starts another on its data; how long that one took to serve.
    pub(crate) fn kill_and_restart(&mut self) -> Duration {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.restart()
    }

    /// Stops the process in order, and starts another on its data.
    pub(crate) fn stop_and_restart(&mut self) -> Duration {
        let process = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "a stop in order");
        self.restart()
    }

    fn restart(&mut self) -> Duration {
        let start = Instant::now();
        self.child = launch(self.address, &self.data);
        self.await_open();
        start.elapsed()
    }

    fn await_open(&self) {
        let start = Instant::now();
        while Wire::connect(self.address).is_err() {
            assert!(start.elapsed() < PATIENCE, "the broker did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Usage {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: std::fs::read_dir(format!("{process}/fd")).unwrap().count(),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(address: SocketAddr, data: &TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["serve", "--metrics-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(data.path().join("data"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
