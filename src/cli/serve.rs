//! `forebay serve`: runs a broker until a signal.

use clap::Args;
use forebay_server::tls::{TlsAcceptor, TlsOverrides};
use forebay_server::{Broker, Overrides, RabbitmqDefaults, Settings};
use rustix::fs::Mode;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What the shell sees when a second signal ends the broker at once.
const EXIT_CODE_SECOND_SIGNAL: i32 = 130;

const EXAMPLES: &str = "Examples:
  forebay serve
  forebay serve --data-dir /var/lib/forebay --listen 0.0.0.0:5672
  forebay serve --config /etc/forebay.toml --log warn";

/// Run a broker.
///
/// A flag wins over its environment variable, that over the configuration file, that over the
/// default.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    config: Option<PathBuf>,

    /// Directory for the data, made when it is not there [default: ./forebay-data].
    #[arg(long, value_name = "DIR", env = "FOREBAY_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Address for AMQP; may be repeated, or hold several separated by commas [default:
    /// 127.0.0.1:5672].
    #[arg(long, value_name = "ADDR", env = "FOREBAY_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,

    /// Address of the metrics and health endpoint [default: 127.0.0.1:15692].
    #[arg(long, value_name = "ADDR", env = "FOREBAY_METRICS_LISTEN")]
    metrics_listen: Option<String>,

    /// Queues that have metrics of their own on the metrics endpoint; the others are added up
    /// [default: 2000].
    #[arg(long, value_name = "N", env = "FOREBAY_METRICS_QUEUES_MAX")]
    metrics_queues_max: Option<usize>,

    /// Address of the admin listener [default: 127.0.0.1:15672].
    #[arg(long, value_name = "ADDR", env = "FOREBAY_ADMIN_LISTEN")]
    admin_listen: Option<String>,

    /// Address for AMQP with TLS; may be repeated, or hold several separated by commas [default:
    /// 127.0.0.1:5671 when there is a certificate].
    #[arg(long, value_name = "ADDR", env = "FOREBAY_TLS_LISTEN", value_delimiter = ',')]
    tls_listen: Vec<String>,

    /// The broker's certificate and those between it and its authority (PEM); read again on SIGHUP.
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_CERTFILE")]
    tls_certfile: Option<PathBuf>,

    /// The private key of the certificate (PEM, not encrypted).
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_KEYFILE")]
    tls_keyfile: Option<PathBuf>,

    /// Authorities of client certificates (PEM); clients are then asked for one.
    #[arg(long, value_name = "FILE", env = "FOREBAY_TLS_CACERTFILE")]
    tls_cacertfile: Option<PathBuf>,

    /// The admin listener speaks HTTPS, with the broker's certificate.
    #[arg(long, env = "FOREBAY_TLS_ADMIN")]
    tls_admin: bool,

    /// The metrics listener speaks HTTPS, with the broker's certificate.
    #[arg(long, env = "FOREBAY_TLS_METRICS")]
    tls_metrics: bool,

    /// Octets a second of what is stored that are read again to find damage, as 2MiB; 0 for none
    /// [default: 2MiB].
    #[arg(long, value_name = "OCTETS", env = "FOREBAY_SCRUB_RATE")]
    scrub_rate: Option<String>,

    /// Free space on the disk of the data directory below which publishers wait, as 50MB; 0 for
    /// no limit [default: 256MiB].
    #[arg(long, value_name = "OCTETS", env = "FOREBAY_DISK_FREE_LIMIT")]
    disk_free_limit: Option<String>,

    /// Memory above which publishers wait: a share of what may be used, as 0.6, or an amount, as
    /// 2GB [default: 0.6].
    #[arg(long, value_name = "AMOUNT", env = "FOREBAY_MEMORY_HIGH_WATERMARK")]
    memory_high_watermark: Option<String>,

    /// What is logged, as `info` or `warn,forebay_server=debug`.
    #[arg(long, value_name = "FILTER", env = "FOREBAY_LOG", default_value = "info")]
    log: String,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("forebay: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self) -> Result<(), Box<dyn Error>> {
        // Whatever is written is for this user only, wherever the data directory lies.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        start_log(&self.log)?;
        let overrides = Overrides {
            config: self.config,
            data_dir: self.data_dir,
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            metrics_queues_max: self.metrics_queues_max,
            admin_listen: self.admin_listen,
            tls: TlsOverrides {
                listen: self.tls_listen,
                certfile: self.tls_certfile,
                keyfile: self.tls_keyfile,
                cacertfile: self.tls_cacertfile,
                admin: self.tls_admin,
                metrics: self.tls_metrics,
            },
            scrub_rate: self.scrub_rate,
            disk_free_limit: self.disk_free_limit,
            memory_high_watermark: self.memory_high_watermark,
        };
        let settings = Settings::resolve(overrides, &RabbitmqDefaults::from_environment())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result: Result<(), Box<dyn Error>> = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let hangups = signal(SignalKind::hangup())?;
            let broker = tokio::select! {
                broker = Broker::start(settings) => broker?,
                () = signals.next() => return Ok(()),
            };
            tokio::spawn(reload_on(hangups, broker.tls().cloned()));
            broker.run(signals.stop()).await?;
            tracing::info!("stopped");
            Ok(())
        });
        // After a failure a thread may hang in the store for ever: nobody waits for it.
        runtime.shutdown_background();
        result
    }
}

/// Reads the certificates again at each hangup; without any there is nothing to read.
async fn reload_on(mut hangups: Signal, tls: Option<TlsAcceptor>) {
    while hangups.recv().await.is_some() {
        match tls.as_ref().map(TlsAcceptor::reload) {
            None => tracing::info!("SIGHUP: there are no certificates to read again"),
            Some(Ok(())) => tracing::info!("SIGHUP: the certificates were read again"),
            Some(Err(error)) => {
                tracing::error!("SIGHUP: {error}; the certificates stay as they were");
            }
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the first signal; from then on a second one ends the process at once.
    async fn stop(mut self) {
        self.next().await;
        tracing::info!("stopping: closing connections; a second signal ends at once");
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("second signal: ending at once");
            std::process::exit(EXIT_CODE_SECOND_SIGNAL);
        });
    }
}

fn start_log(filter: &str) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        format!("--log: '{filter}' is no filter ({error}); expected something as info or warn,forebay_server=debug")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
