//! The command line: one module per subcommand.

mod admin;
mod argument;
mod autoscale;
mod bench;
mod completions;
mod config;
mod confirmation;
mod consume;
mod data_directory;
mod definitions;
mod demo;
mod dlq;
mod duration;
mod exchange;
mod hash_password;
mod health;
mod http;
mod http_tls;
mod interrupt;
mod lag;
mod log;
mod printable;
mod publish;
mod queue;
mod queue_parked;
mod queue_report;
mod repair;
mod serve;
mod settings_flags;
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
    #[command(subcommand)]
    Config(config::Config),
    Consume(consume::Consume),
    #[command(subcommand)]
    Definitions(definitions::Definitions),
    #[command(subcommand)]
    Demo(demo::Demo),
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    #[command(subcommand)]
    Exchange(exchange::Exchange),
    Health(health::Health),
    HashPassword(hash_password::HashPassword),
    #[command(subcommand)]
    Lag(lag::Lag),
    Publish(Box<publish::Publish>),
    #[command(subcommand)]
    Queue(queue::Queue),
    Repair(repair::Repair),
    Serve(Box<serve::Serve>),
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
            Command::Config(config) => config.run(),
            Command::Consume(consume) => consume.run(),
            Command::Definitions(definitions) => definitions.run(),
            Command::Demo(demo) => demo.run(),
            Command::Dlq(dlq) => dlq.run(),
            Command::Exchange(exchange) => exchange.run(),
            Command::Health(health) => health.run(),
            Command::HashPassword(hash_password) => hash_password.run(),
            Command::Lag(lag) => lag.run(),
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

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{Command, CommandFactory, Parser};

    /// What a shell would make of a line, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let ends = [" | ", " > ", " # "].into_iter().filter_map(|end| line.find(end)).min();
        let pieces = line[..ends.unwrap_or(line.len())].split('\'').enumerate();
        let words = pieces.flat_map(|(index, piece)| match index % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        });
        words.collect()
    }

    fn check(command: &Command) {
        let name = command.get_name().to_owned();
        let help = command.get_after_help().or_else(|| command.get_after_long_help());
        let help = help.unwrap_or_else(|| panic!("{name} has no examples")).to_string();
        let lines = help.lines().filter_map(|line| line.find("forebay ").map(|at| &line[at..]));
        let examples: Vec<_> = lines.map(words).collect();
        assert!(examples.iter().any(|words| words.contains(&name)), "{name} is not in {help}");
        for words in examples {
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
        command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(check);
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        check(&Cli::command());
    }
}
