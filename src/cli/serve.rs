//! `forebay serve`: runs a broker until a signal.

use super::log::Log;
use super::settings_flags::SettingsFlags;
use clap::Args;
use forebay_server::config::config_file::ConfigFile;
use forebay_server::config::otlp::{OtelVariables, from_otel_environment};
use forebay_server::config::reload::{Reloaded, Reloader};
use forebay_server::{Broker, Overrides, RabbitmqDefaults, Settings};
use rustix::fs::Mode;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    /// Configuration file (TOML); read again on SIGHUP
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: SettingsFlags,
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
        let OtelVariables { endpoint, service_name } = from_otel_environment()?;
        let fallback = ConfigFile {
            otlp_endpoint: endpoint,
            otlp_service_name: service_name,
            ..ConfigFile::default()
        };
        let overrides = Overrides { config: self.config, flags: self.settings.layer(), fallback };
        let defaults = RabbitmqDefaults::from_environment()?;
        let settings = Settings::resolve(overrides.clone(), &defaults)?;
        let log = Log::start(&settings.log, settings.log_format)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result: Result<(), Box<dyn Error>> = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let hangups = signal(SignalKind::hangup())?;
            let broker = tokio::select! {
                broker = Broker::start(settings) => broker?,
                () = signals.next() => return Ok(()),
            };
            let resolve = move || Settings::resolve(overrides.clone(), &defaults);
            tokio::spawn(reload_on(hangups, broker.reloader(), log, resolve));
            broker.run(signals.stop()).await?;
            tracing::info!("stopped");
            Ok(())
        });
        // After a failure a thread may hang in the store without end, so it is not waited for.
        runtime.shutdown_background();
        result
    }
}

/// Reads the configuration file and the certificates again at each hangup.
async fn reload_on<E: std::fmt::Display>(
    mut hangups: Signal,
    mut reloader: Reloader,
    log: Log,
    resolve: impl Fn() -> Result<Settings, E>,
) {
    while hangups.recv().await.is_some() {
        let settings = match resolve() {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!("SIGHUP: {error}; everything stays as it was");
                continue;
            }
        };
        let filter = settings.log.clone();
        let Reloaded { changed, unchanged, certificates } = reloader.apply(settings).await;
        if let Err(error) = log.set(&filter) {
            tracing::error!("SIGHUP: log: {error}; it stays as it was");
        }
        match certificates {
            None => {}
            Some(Ok(())) => tracing::info!("SIGHUP: the certificates were read again"),
            Some(Err(error)) => {
                tracing::error!("SIGHUP: {error}; the certificates stay as they were");
            }
        }
        match changed.as_slice() {
            [] => tracing::info!("SIGHUP: the configuration was read again; no setting changed"),
            changed => tracing::info!("SIGHUP: changed: {}", changed.join(", ")),
        }
        if !unchanged.is_empty() {
            tracing::warn!("SIGHUP: these change at the next start only: {}", unchanged.join(", "));
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
