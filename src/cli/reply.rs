//! `forebay reply`: answers the requests that come to a queue.

use super::deliveries::{Deliveries, Until};
use super::message_flags::ShortStrArgument;
use super::shell_command::{Handled, ShellCommand};
use super::target::{self, Fault, Target};
use clap::{ArgGroup, Args};
use forebay_client::{Delivery, Message, Publisher};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay reply sums --exec bc
  forebay reply ping pong
  forebay reply anything --echo --count 1";

/// Answer the requests that come to a queue
///
/// A request names a place for its reply (`reply_to`); it is acknowledged when the reply is confirmed. A message without
/// one is dead-lettered. `forebay request` sends requests.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("answer").args(["body", "exec", "echo"]).required(true),
    override_usage = "forebay reply [OPTIONS] <QUEUE> <BODY|--exec COMMAND|--echo>"
)]
pub(crate) struct Reply {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
    /// Reply with this
    body: Option<String>,
    /// Run this shell command for each request, its body on standard input, and reply with what it prints. When it
    /// fails, the request goes back to the queue. AMQP_EXCHANGE, AMQP_ROUTING_KEY, AMQP_MESSAGE_ID, AMQP_REDELIVERED and
    /// AMQP_DELIVERY_COUNT are in its environment
    #[arg(long)]
    exec: Option<String>,
    /// Reply with the request's own body
    #[arg(long)]
    echo: bool,
    /// With --exec: dead-letter a request whose command fails
    #[arg(long, requires = "exec")]
    reject: bool,
    /// MIME type of the replies
    #[arg(long)]
    content_type: Option<ShortStrArgument>,
    #[command(flatten)]
    until: Until,
    /// Requests that are fetched ahead of the one being answered
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: u16,
}

impl Reply {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.answer_all())
    }

    async fn answer_all(self) -> Result<ExitCode, Fault> {
        let connection = self.target.connect().await?;
        let publisher = connection.publisher().await?;
        let consumer = connection.consume(&self.queue).prefetch(self.prefetch).start().await?;
        let mut deliveries = Deliveries::of(consumer, self.until)?;
        let mut command =
            self.exec.as_ref().map(|command| ShellCommand::reading(command, self.reject));
        let mut unanswerable = 0_u64;
        let mut held = Vec::new();
        while let Some(request) = deliveries.next().await? {
            if request.reply_to().is_none() {
                unanswerable += 1;
                request.reject()?;
                continue;
            }
            let Some(command) = &mut command else {
                let body = self.body.as_ref().map(|body| body.clone().into_bytes());
                let body = body.unwrap_or_else(|| request.body().to_vec());
                self.answer(request, body, &publisher).await?;
                continue;
            };
            let (handled, is_interrupted) =
                command.handle(request, &mut deliveries.interrupt).await?;
            match handled {
                Handled::Succeeded(request, body) => self.answer(request, body, &publisher).await?,
                Handled::Failed => {}
                Handled::Impossible(request) => {
                    held.push(request);
                    break;
                }
            }
            if is_interrupted {
                deliveries.stop();
            }
        }
        let ended = deliveries.close(held).await?;
        connection.close().await?;
        command.map_or(Ok(()), |command| command.result())?;
        if unanswerable > 0 {
            let text = format!(
                "{unanswerable} messages named no place for a reply (reply_to) and were dead-lettered"
            );
            return Err(text.into());
        }
        ended.result()
    }

    /// The request is done when its reply is confirmed. One whose requester is gone counts as answered.
    async fn answer(
        &self,
        request: Delivery,
        body: Vec<u8>,
        publisher: &Publisher,
    ) -> Result<(), Fault> {
        if let Some(mut reply) = Message::reply(&request, body) {
            if let Some(ShortStrArgument(mime)) = &self.content_type {
                reply = reply.content_type(mime);
            }
            publisher.publish(reply).await?.await?;
        }
        Ok(request.ack()?)
    }
}
