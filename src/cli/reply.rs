//! `forebay reply`: answers the requests that come to a queue.

use super::duration::duration;
use super::idle::idle;
use super::interrupt::Interrupt;
use super::message_flags::ShortStrArgument;
use super::shell_command::{CommandOutput, End, Ended, Failures, execute, is_no_command};
use super::target::{self, Fault, Interrupted, Target};
use clap::{ArgGroup, Args};
use forebay_client::{Delivery, Message, Publisher};
use std::process::ExitCode;
use std::time::Duration;

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
    /// End after so many requests
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// End when no request came for this long, for example 5s
    #[arg(long, value_parser = duration)]
    idle: Option<Duration>,
    /// Requests that are fetched ahead of the one being answered
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: u16,
}

/// How to go on after a request.
enum Next {
    GoOn,
    /// The request is given back without having been tried, and the command ends.
    GiveUp(Delivery),
    Interrupted,
}

impl Reply {
    pub(crate) fn run(self) -> ExitCode {
        target::run(self.answer_all())
    }

    async fn answer_all(self) -> Result<ExitCode, Fault> {
        let connection = self.target.connect().await?;
        let publisher = connection.publisher().await?;
        let mut consumer = connection.consume(&self.queue).prefetch(self.prefetch).start().await?;
        let mut interrupt = Interrupt::listen()?;
        let mut failures = Failures::default();
        let (mut seen, mut unanswerable, mut is_interrupted) = (0, 0, false);
        let mut held = Vec::new();
        while self.count.is_none_or(|count| seen < count) {
            let delivery = tokio::select! {
                delivery = consumer.next() => delivery,
                () = idle(self.idle) => None,
                () = interrupt.next() => {
                    is_interrupted = true;
                    None
                }
            };
            let Some(delivery) = delivery.transpose()? else { break };
            seen += 1;
            if delivery.reply_to().is_none() {
                unanswerable += 1;
                delivery.reject()?;
                continue;
            }
            match self.answer(delivery, &publisher, &mut interrupt, &mut failures).await? {
                Next::GoOn => {}
                Next::GiveUp(delivery) => {
                    held.push(delivery);
                    break;
                }
                Next::Interrupted => {
                    is_interrupted = true;
                    break;
                }
            }
        }
        consumer.close_releasing(held).await?;
        connection.close().await?;
        failures.result()?;
        if unanswerable > 0 {
            let text = format!(
                "{unanswerable} messages named no place for a reply (reply_to) and were dead-lettered"
            );
            return Err(text.into());
        }
        match self.count {
            Some(count) if is_interrupted && seen < count => {
                Err(Interrupted(format!("{seen} of {count} requests came")).into())
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    async fn answer(
        &self,
        request: Delivery,
        publisher: &Publisher,
        interrupt: &mut Interrupt,
        failures: &mut Failures,
    ) -> Result<Next, Fault> {
        let (body, next) = match (&self.exec, &self.body) {
            (None, Some(body)) => (body.clone().into_bytes(), Next::GoOn),
            (None, None) => (request.body().to_vec(), Next::GoOn),
            (Some(command), _) => {
                let ended = execute(command, &request, CommandOutput::Read, interrupt).await?;
                let Ended { end, is_interrupted } = ended;
                let next = if is_interrupted { Next::Interrupted } else { Next::GoOn };
                match end {
                    End::Success(printed) => (printed, next),
                    End::Failure(status) if is_no_command(status) => {
                        failures.add(status, "it is given back, and nothing more is tried");
                        return Ok(Next::GiveUp(request));
                    }
                    End::Failure(status) if self.reject => {
                        request.reject()?;
                        failures
                            .add(status, "it is dead-lettered, as are others whose command fails");
                        return Ok(next);
                    }
                    End::Failure(status) => {
                        request.nack()?;
                        failures.add(
                            status,
                            "it goes back to the queue, as do others whose command fails",
                        );
                        return Ok(next);
                    }
                    End::Killed => {
                        request.nack()?;
                        return Ok(next);
                    }
                }
            }
        };
        if let Some(mut reply) = Message::reply(&request, body) {
            if let Some(ShortStrArgument(mime)) = &self.content_type {
                reply = reply.content_type(mime);
            }
            publisher.publish(reply).await?.await?;
        }
        request.ack()?;
        Ok(next)
    }
}
