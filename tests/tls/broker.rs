//! A broker that listens with TLS and without, and the files that it reads.

use crate::authority::{Authority, write};
use crate::harness::broker::Broker;
use crate::harness::launch::Launch;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) struct TlsBroker {
    pub(crate) broker: Broker,
    pub(crate) tls: SocketAddr,
    pub(crate) authority: Authority,
    /// Of the authority, for clients that read files.
    pub(crate) authority_file: PathBuf,
    directory: TempDir,
}

impl TlsBroker {
    /// Without questions to clients.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With these lines besides in the configuration, `[tls]` first; `CA` in them is the file of
    /// the authority.
    pub(crate) fn start_with(lines: &str) -> Self {
        let (directory, authority) = (TempDir::new().unwrap(), Authority::new("Test Authority"));
        let authority_file = authority.write(directory.path());
        authority.broker("broker").write(directory.path(), "broker");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let text = format!(
            "[tls]\nlisten = [\"127.0.0.1:0\"]\ncertfile = \"{}\"\nkeyfile = \"{}\"\n{}",
            path("broker.pem"),
            path("broker.key"),
            lines.replace("CA", &path("authority.pem")),
        );
        let config = write(directory.path(), "forebay.toml", &text);
        let launch = Launch::on(&directory.path().join("data"))
            .argument("--config")
            .argument(config.display().to_string());
        let broker = Broker::launch(&launch);
        let tls = broker.address_of("with tls");
        Self { broker, tls, authority, authority_file, directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// For our client.
    pub(crate) fn uri(&self) -> String {
        let (port, authority) = (self.tls.port(), self.authority_file.display());
        format!("amqps://guest:guest@localhost:{port}?cacertfile={authority}")
    }
}
