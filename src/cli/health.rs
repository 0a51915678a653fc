//! `forebay health`: whether a broker is ready, for the health checks of containers.

use super::http::{self, Address, HttpError};
use super::http_tls::TlsFiles;
use super::target::{self, Fault, print};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay health
  forebay health --metrics https://broker-1 --cacertfile authority.pem > /dev/null || echo 'not ready'";

/// Where the metrics listener is unless the address says otherwise.
const PORT: u16 = 15_692;

/// Ask whether a broker is ready; needs no user
///
/// Asks the metrics listener. Succeeds when the broker takes and hands out messages: it has recovered its
/// queues and is not about to stop.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Health {
    /// Metrics listener of the broker: HOST, HOST:PORT or https://HOST:PORT; the port is 15692 by default
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15692", value_parser = listener)]
    metrics: Address,
    /// Authorities of the listener's certificate (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE")]
    cacertfile: Option<PathBuf>,
    /// Certificate (PEM) to show to a listener that asks clients for one
    #[arg(long, value_name = "FILE", requires = "keyfile")]
    certfile: Option<PathBuf>,
    /// Private key (PEM) of --certfile
    #[arg(long, value_name = "FILE", requires = "certfile")]
    keyfile: Option<PathBuf>,
}

fn listener(text: &str) -> Result<Address, String> {
    Address::parse(text, PORT)
}

impl Health {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.ask())
    }

    fn ask(&self) -> Result<ExitCode, Fault> {
        let files = TlsFiles {
            option_prefix: "--",
            cacertfile: self.cacertfile.as_deref(),
            certfile: self.certfile.as_deref(),
            keyfile: self.keyfile.as_deref(),
        };
        let place = self.metrics.place();
        let answer = http::exchange(&self.metrics, &files, "GET", "/health/ready", None, &[]);
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
