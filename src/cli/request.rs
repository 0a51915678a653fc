//! `forebay request`: sends a request and prints its reply, over direct reply-to.

use super::duration::duration;
use super::interrupt::Interrupt;
use super::message_flags::MessageFlags;
use super::message_output::{MessageFormat, MessageOutput};
use super::target::{self, Fault, Interrupted, Target};
use clap::Args;
use forebay_client::limits::BODY_SIZE_MAX;
use forebay_client::{Message, Properties};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, stdin};

const EXAMPLES: &str = "Examples:
  forebay request --queue sums '20+22'
  forebay request --exchange rpc --routing-key sums.add --timeout 2s --json '20+22'
  forebay request --queue thumbnails --file picture.png --format raw > thumbnail.png";

/// Send a request and print its reply
///
/// The reply comes over direct reply-to, without a queue of its own. `forebay reply` answers requests, and so does any
/// program that publishes to the request's `reply_to` with its `correlation_id`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "forebay request [OPTIONS] <--queue QUEUE|--exchange EXCHANGE> [BODY]"
)]
pub(crate) struct Request {
    #[command(flatten)]
    target: Target,
    /// Send it to this queue
    #[arg(long, short, conflicts_with_all = ["routing_key", "exchange"], required_unless_present = "exchange")]
    queue: Option<String>,
    /// Send it to this exchange
    #[arg(long, short)]
    exchange: Option<String>,
    /// With this routing key
    #[arg(long, short = 'k')]
    routing_key: Option<String>,
    /// The whole file as body
    #[arg(long, short, conflicts_with = "body")]
    file: Option<PathBuf>,
    #[command(flatten)]
    properties: MessageFlags,
    /// How long to wait for the reply
    #[arg(long, default_value = "30s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    output: MessageOutput,
    /// The body; without it, and without --file, all of standard input
    body: Option<String>,
}

impl Request {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.ask())
    }

    async fn ask(self) -> Result<ExitCode, Fault> {
        let body = self.body().await?;
        let connection = self.target.connect().await?;
        let mut interrupt = Interrupt::listen()?;
        let requester = connection.requester().await?;
        let request = match (&self.queue, &self.exchange) {
            (Some(queue), _) => Message::to_queue(queue, body),
            (None, exchange) => {
                let key = self.routing_key.as_deref().unwrap_or_default();
                Message::to_exchange(exchange.as_deref().unwrap_or_default(), key, body)
            }
        };
        let request = request.properties(self.properties.over(Properties::default()));
        let reply = tokio::select! {
            reply = requester.call(request).timeout(self.timeout) => reply?,
            () = interrupt.next() => {
                return Err(Interrupted("no reply was there yet".to_owned()).into());
            }
        };
        connection.close().await?;
        let mut printer = self.output.printer(MessageFormat::Body);
        printer.print(&reply)?;
        printer.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    async fn body(&self) -> Result<Vec<u8>, Fault> {
        match (&self.body, &self.file) {
            (Some(body), _) => Ok(body.clone().into_bytes()),
            (None, Some(path)) => {
                let read = tokio::fs::read(path).await;
                Ok(read.map_err(|error| format!("{}: {error}", path.display()))?)
            }
            (None, None) => whole(stdin()).await,
        }
    }
}

async fn whole(input: impl AsyncRead + Unpin) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    input.take(BODY_SIZE_MAX + 1).read_to_end(&mut body).await?;
    if body.len() as u64 > BODY_SIZE_MAX {
        return Err(format!("standard input has more than {BODY_SIZE_MAX} bytes").into());
    }
    Ok(body)
}
