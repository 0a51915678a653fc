//! The brokers that are measured: processes of our own, on free ports, with data in a directory
//! that goes with them.

use crate::wire::Wire;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian's package has the script that does not change the user.
const RABBITMQ_SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How long a broker may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker that runs.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// The process that does the work.
    pub(crate) process: u32,
    child: Child,
    /// A name server that RabbitMQ leaves behind.
    name_server_port: Option<u16>,
    _data: TempDir,
}

impl Subject {
    /// The broker of this project, as it was built for the benchmark.
    pub(crate) fn forebay() -> Self {
        let data = TempDir::new().unwrap();
        let address = free_address();
        let child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["serve", "--metrics-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--listen", &address.to_string()])
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = child.id();
        let name = format!("Forebay {}", env!("CARGO_PKG_VERSION"));
        await_open(address, &name);
        Self { name, address, process, child, name_server_port: None, _data: data }
    }

    /// RabbitMQ from Debian with its defaults, if it is installed.
    pub(crate) fn rabbitmq() -> Option<Self> {
        if !Path::new(RABBITMQ_SERVER).exists() {
            return None;
        }
        let data = TempDir::new().unwrap();
        let (address, distribution, name_server) = (free_address(), free_address(), free_address());
        let place = |name: &str| data.path().join(name);
        let child = Command::new(RABBITMQ_SERVER)
            .env("HOME", data.path())
            .env("RABBITMQ_NODENAME", "forebay-bench@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", address.port().to_string())
            .env("RABBITMQ_DIST_PORT", distribution.port().to_string())
            .env("RABBITMQ_MNESIA_BASE", place("mnesia"))
            .env("RABBITMQ_LOG_BASE", place("log"))
            .env("RABBITMQ_PID_FILE", place("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", place("plugins"))
            .env("RABBITMQ_CONFIG_FILE", place("none"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", name_server.port().to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        await_open(address, "RabbitMQ");
        let process = std::fs::read_to_string(place("pid")).unwrap().trim().parse().unwrap();
        Some(Self {
            name: format!("RabbitMQ {}", rabbitmq_version()),
            address,
            process,
            child,
            name_server_port: Some(name_server.port()),
            _data: data,
        })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let process = Pid::from_raw(self.process.cast_signed()).unwrap();
        let _ = kill_process(process, Signal::TERM);
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && start.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        if test_kill_process(process).is_ok() {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(port) = self.name_server_port {
            let mut stop = Command::new("epmd");
            stop.arg("-kill").env("ERL_EPMD_PORT", port.to_string()).stdout(Stdio::null());
            let _ = stop.status();
        }
    }
}

fn rabbitmq_version() -> String {
    let names = std::fs::read_dir("/usr/lib/rabbitmq/lib").unwrap();
    names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("rabbitmq_server-").map(str::to_owned))
        .unwrap_or_else(|| "of unknown version".to_owned())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until a client can open a channel.
fn await_open(address: SocketAddr, name: &str) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(wire) = Wire::open(address) {
            wire.close();
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{name} did not start");
}
