//! The command line: one module per subcommand.

mod admin;
mod argument;
mod autoscale;
mod bench;
mod binding;
mod channel;
mod completions;
mod config;
mod confirmation;
mod connection;
mod consume;
mod consumer;
mod context;
mod data_directory;
mod definitions;
mod delayed;
mod deliveries;
mod demo;
mod dlq;
mod duration;
mod exchange;
mod fault;
mod field_json;
mod hash_password;
mod health;
mod http;
mod http_tls;
mod interrupt;
mod lag;
mod lag_report;
mod limit;
mod listing;
mod log;
mod man;
mod message_flags;
mod message_json;
mod message_output;
mod output;
mod parameter;
mod password;
mod permission;
mod policy;
mod printable;
mod publish;
mod queue;
mod queue_parked;
mod queue_pause;
mod queue_report;
mod queue_show;
mod recording;
mod repair;
mod reply;
mod request;
mod route;
mod schedule;
mod serve;
mod settings_flags;
mod shell_command;
mod status;
mod subject;
mod table;
mod tap;
mod target;
mod top;
mod trace;
mod user;
mod verify;
mod vhost;

use clap::{CommandFactory, Parser, Subcommand};
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
    #[command(subcommand)]
    Binding(binding::Binding),
    #[command(subcommand)]
    Channel(channel::Channel),
    Completions(completions::Completions),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Connection(connection::Connection),
    Consume(consume::Consume),
    #[command(subcommand)]
    Consumer(consumer::Consumer),
    #[command(subcommand)]
    Context(context::Context),
    #[command(subcommand)]
    Definitions(definitions::Definitions),
    #[command(subcommand)]
    Delayed(delayed::Delayed),
    #[command(subcommand)]
    Demo(demo::Demo),
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    #[command(subcommand)]
    Exchange(exchange::Exchange),
    HashPassword(hash_password::HashPassword),
    Health(health::Health),
    #[command(subcommand)]
    Lag(lag::Lag),
    #[command(subcommand)]
    Limit(limit::Limit),
    Man(man::ManPages),
    #[command(subcommand)]
    Parameter(parameter::Parameter),
    #[command(subcommand)]
    Permission(permission::Permission),
    #[command(subcommand)]
    Policy(policy::Policy),
    Publish(Box<publish::Publish>),
    #[command(subcommand)]
    Queue(queue::Queue),
    Repair(repair::Repair),
    Reply(reply::Reply),
    Request(Box<request::Request>),
    Route(route::Route),
    #[command(subcommand)]
    Schedule(Box<schedule::Schedule>),
    Serve(Box<serve::Serve>),
    Status(status::Status),
    Tap(tap::Tap),
    Top(top::Top),
    Trace(trace::Trace),
    #[command(subcommand)]
    User(user::User),
    Verify(verify::Verify),
    #[command(subcommand)]
    Vhost(vhost::Vhost),
}

impl Cli {
    /// Runs the subcommand; the code is what the shell sees.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Autoscale(autoscale) => autoscale.run(),
            Command::Bench(bench) => bench.run(),
            Command::Binding(binding) => binding.run(),
            Command::Channel(channel) => channel.run(),
            Command::Completions(completions) => completions.run(),
            Command::Config(config) => config.run(),
            Command::Connection(connection) => connection.run(),
            Command::Consume(consume) => consume.run(),
            Command::Consumer(consumer) => consumer.run(),
            Command::Context(context) => context.run(),
            Command::Definitions(definitions) => definitions.run(),
            Command::Delayed(delayed) => delayed.run(),
            Command::Demo(demo) => demo.run(),
            Command::Dlq(dlq) => dlq.run(),
            Command::Exchange(exchange) => exchange.run(),
            Command::HashPassword(hash_password) => hash_password.run(),
            Command::Health(health) => health.run(),
            Command::Lag(lag) => lag.run(),
            Command::Limit(limit) => limit.run(),
            Command::Man(man) => man.run(Self::command()),
            Command::Parameter(parameter) => parameter.run(),
            Command::Permission(permission) => permission.run(),
            Command::Policy(policy) => policy.run(),
            Command::Publish(publish) => publish.run(),
            Command::Queue(queue) => queue.run(),
            Command::Repair(repair) => repair.run(),
            Command::Reply(reply) => reply.run(),
            Command::Request(request) => request.run(),
            Command::Route(route) => route.run(),
            Command::Schedule(schedule) => schedule.run(),
            Command::Serve(serve) => serve.run(),
            Command::Status(status) => status.run(),
            Command::Tap(tap) => tap.run(),
            Command::Top(top) => top.run(),
            Command::Trace(trace) => trace.run(),
            Command::User(user) => user.run(),
            Command::Verify(verify) => verify.run(),
            Command::Vhost(vhost) => vhost.run(),
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
