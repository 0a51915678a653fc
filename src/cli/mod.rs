//! The command line: one module per subcommand.

mod admin;
mod argument;
mod autoscale;
mod bench;
mod completions;
mod consume;
mod data_directory;
mod definitions;
mod demo;
mod dlq;
mod duration;
mod exchange;
mod interrupt;
mod publish;
mod queue;
mod queue_report;
mod repair;
mod serve;
mod status;
mod table;
mod target;
mod top;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  forebay serve
  forebay queue declare orders
  forebay publish --queue orders 'two books'
  forebay consume orders --ack --count 1
  forebay top";

/// A durable message queue that any AMQP 0-9-1 client can use.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, about, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Autoscale(autoscale::Autoscale),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Consume(consume::Consume),
    #[command(subcommand)]
    Definitions(definitions::Definitions),
    #[command(subcommand)]
    Demo(demo::Demo),
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    #[command(subcommand)]
    Exchange(exchange::Exchange),
    Publish(Box<publish::Publish>),
    #[command(subcommand)]
    Queue(queue::Queue),
    Repair(repair::Repair),
    Serve(serve::Serve),
    Status(status::Status),
    Top(top::Top),
    Verify(verify::Verify),
}

impl Cli {
    /// Runs the subcommand; the code is what the shell sees.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Autoscale(autoscale) => autoscale.run(),
            Command::Bench(bench) => bench.run(),
            Command::Completions(completions) => completions.run(),
            Command::Consume(consume) => consume.run(),
            Command::Definitions(definitions) => definitions.run(),
            Command::Demo(demo) => demo.run(),
            Command::Dlq(dlq) => dlq.run(),
            Command::Exchange(exchange) => exchange.run(),
            Command::Publish(publish) => publish.run(),
            Command::Queue(queue) => queue.run(),
            Command::Repair(repair) => repair.run(),
            Command::Serve(serve) => serve.run(),
            Command::Status(status) => status.run(),
            Command::Top(top) => top.run(),
            Command::Verify(verify) => verify.run(),
        }
    }
}
