//! `forebay health`: whether a broker is ready, for the health checks of containers, and what the admin listener checks.

use super::admin::{AdminError, AdminTarget, segment};
use super::context::choice::ContextChoice;
use super::http::{self, Address, HttpError, HttpRequest};
use super::http_tls::TlsFiles;
use super::output::Output;
use super::target::{self, Answer, Fault, print};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay health
  forebay health --metrics https://broker-1 --cacertfile authority.pem > /dev/null || echo 'not ready'
  forebay health alarms
  forebay health certificate-expiration 2 weeks";

/// Where the metrics listener is unless the address says otherwise.
const PORT: u16 = 15_692;
const HOST: &str = "127.0.0.1";

/// Ask whether a broker is ready; needs no user
///
/// Asks the metrics listener. Succeeds when the broker takes and hands out messages: it has recovered its
/// queues and is not about to stop. With the name of a check it asks the admin listener instead, which needs a user.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Health {
    #[command(subcommand)]
    check: Option<Check>,
    #[command(flatten)]
    ready: Ready,
}

/// Which metrics listener.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ready {
    /// Metrics listener of the broker: HOST, HOST:PORT or https://HOST:PORT; the port is 15692 by default
    /// [default: 127.0.0.1:15692]
    #[arg(long, value_name = "ADDR", value_parser = listener)]
    metrics: Option<String>,
    /// Authorities of the listener's certificate (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE")]
    cacertfile: Option<PathBuf>,
    /// Certificate (PEM) to show to a listener that asks clients for one
    #[arg(long, value_name = "FILE", requires = "keyfile")]
    certfile: Option<PathBuf>,
    /// Private key (PEM) of --certfile
    #[arg(long, value_name = "FILE", requires = "certfile")]
    keyfile: Option<PathBuf>,
    #[command(flatten)]
    context: ContextChoice,
}

/// A check of the admin listener. Each fails when the broker is unwell in that respect.
#[derive(Clone, Debug, Subcommand)]
enum Check {
    /// No alarm is on in the whole cluster: publishers are let in
    #[command(after_help = "Example:\n  forebay health alarms")]
    Alarms(AtListener),
    /// No alarm is on at this node
    #[command(after_help = "Example:\n  forebay health local-alarms --json")]
    LocalAlarms(AtListener),
    /// Every virtual host runs
    #[command(after_help = "Example:\n  forebay health virtual-hosts")]
    VirtualHosts(AtListener),
    /// The node can stop without the loss of a quorum; always so where there are no replicas
    #[command(after_help = "Example:\n  forebay health quorum-critical")]
    QuorumCritical(AtListener),
    /// Something listens on this port
    #[command(after_help = "Example:\n  forebay health port 5672")]
    Port {
        #[command(flatten)]
        at: AtListener,
        /// The port
        port: u16,
    },
    /// Something listens for this protocol
    #[command(after_help = "Example:\n  forebay health protocol amqp")]
    Protocol {
        #[command(flatten)]
        at: AtListener,
        /// As in amqp, amqp/ssl, http
        protocol: String,
    },
    /// The broker's certificate is valid for so long still
    #[command(after_help = "Example:\n  forebay health certificate-expiration 2 weeks")]
    CertificateExpiration {
        #[command(flatten)]
        at: AtListener,
        /// How many of the units
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        within: u32,
        /// The unit
        unit: Unit,
    },
    /// A test message goes through a queue `aliveness-test` that is made for it (not RabbitMQ 4, which has no such check)
    #[command(after_help = "Example:\n  forebay health aliveness --vhost shop")]
    Aliveness {
        #[command(flatten)]
        at: AtListener,
        /// The virtual host
        #[arg(long, default_value = "/")]
        vhost: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

/// Which admin listener, and how to say what it answers.
#[derive(Clone, Debug, Args)]
struct AtListener {
    #[command(flatten)]
    admin: AdminTarget,
    #[command(flatten)]
    output: Output,
}

fn listener(text: &str) -> Result<String, String> {
    Address::parse(text, PORT).map(|_| text.to_owned())
}

impl Health {
    pub(crate) fn run(self) -> ExitCode {
        target::end(match &self.check {
            None => self.ready.ask(),
            Some(check) => check.ask(),
        })
    }
}

impl Ready {
    fn ask(&self) -> Result<ExitCode, Fault> {
        let sources = self.context.sources(self.metrics.is_some(), &[])?;
        let address = sources.address(self.metrics.as_deref(), "metrics", "")?;
        let address = Address::parse(address.as_deref().unwrap_or(HOST), PORT)
            .map_err(|reason| format!("the address of the metrics listener: {reason}"))?;
        let file = |flag: &Option<PathBuf>, setting| sources.path(flag.as_ref(), setting, "");
        let (cacertfile, certfile, keyfile) = (
            file(&self.cacertfile, "metrics_cacertfile"),
            file(&self.certfile, "metrics_certfile"),
            file(&self.keyfile, "metrics_keyfile"),
        );
        let files = TlsFiles {
            option_prefix: "--",
            cacertfile: cacertfile.as_deref(),
            certfile: certfile.as_deref(),
            keyfile: keyfile.as_deref(),
        };
        let place = address.place();
        let request = HttpRequest { method: "GET", path: "/health/ready", headers: &[], body: &[] };
        let answer = http::exchange(&address, &files, request);
        let (status, body) = answer.map_err(|error| match error {
            HttpError::File(reason) => reason,
            HttpError::Unreachable(reason) => {
                format!("no metrics listener answers at {place}: {reason}")
            }
        })?;
        let text = String::from_utf8_lossy(&body).trim_end().to_owned();
        match status {
            200 => print(text)?,
            // The listener's own words: recovering, stopping.
            503 => return Err(format!("{place}: {text}").into()),
            status => return Err(format!("{place} answers with HTTP status {status}").into()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn at(&self) -> &AtListener {
        match self {
            Self::Alarms(at)
            | Self::LocalAlarms(at)
            | Self::VirtualHosts(at)
            | Self::QuorumCritical(at)
            | Self::Port { at, .. }
            | Self::Protocol { at, .. }
            | Self::CertificateExpiration { at, .. }
            | Self::Aliveness { at, .. } => at,
        }
    }

    fn path(&self) -> String {
        let checks = "/api/health/checks";
        match self {
            Self::Alarms(_) => format!("{checks}/alarms"),
            Self::LocalAlarms(_) => format!("{checks}/local-alarms"),
            Self::VirtualHosts(_) => format!("{checks}/virtual-hosts"),
            Self::QuorumCritical(_) => format!("{checks}/node-is-quorum-critical"),
            Self::Port { port, .. } => format!("{checks}/port-listener/{port}"),
            Self::Protocol { protocol, .. } => {
                format!("{checks}/protocol-listener/{}", segment(protocol))
            }
            Self::CertificateExpiration { within, unit, .. } => {
                let unit = match unit {
                    Unit::Days => "days",
                    Unit::Weeks => "weeks",
                    Unit::Months => "months",
                    Unit::Years => "years",
                };
                format!("{checks}/certificate-expiration/{within}/{unit}")
            }
            Self::Aliveness { vhost, .. } => format!("/api/aliveness-test/{}", segment(vhost)),
        }
    }

    fn ask(&self) -> Result<ExitCode, Fault> {
        let (at, path) = (self.at(), self.path());
        match at.admin.request("GET", &path, &[]) {
            Ok(_) => {
                let json = json!({ "status": "ok", "check": path });
                Answer { text: "ok".to_owned(), json }.print(&at.output)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(AdminError::Refused { status: 404, .. }) => {
                Err(format!("{} has no such check, or no such vhost: {path}", at.admin.address())
                    .into())
            }
            Err(AdminError::Refused { status: 503, reason }) => {
                let check = path.strip_prefix("/api/health/checks/").unwrap_or(&path);
                Err(format!("{} fails the check {check}: {reason}", at.admin.address()).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
