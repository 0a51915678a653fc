//! One producer and one consumer through the real broker, next to RabbitMQ when that is installed:
//! the same load by turns on the same machine, the median of the runs, and the processor time that
//! the broker's process took for each message.
//!
//! ```text
//! cargo bench --bench throughput -- [--messages N] [--size BYTES] [--runs N] [--json FILE]
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that meets what it did not expect has nothing to report"
)]

mod load;
mod processor;
mod report;
mod subject;
mod wire;

use load::Load;
use report::{Figures, Report};
use subject::Subject;

/// Messages that are published and consumed before a run counts, per message counted.
const WARM_UP_DIVISOR: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs benchmarks without this; it only wants to see that they build.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let load = Load {
        messages: number(&arguments, "--messages").unwrap_or(200_000),
        body_size: number(&arguments, "--size").unwrap_or(1024) as usize,
        unconfirmed_max: number(&arguments, "--unconfirmed").unwrap_or(1000),
        ack_every: number(&arguments, "--ack-every").unwrap_or(50),
    };
    let runs = number(&arguments, "--runs").unwrap_or(3);
    let mut subjects = vec![Subject::forebay()];
    match Subject::rabbitmq() {
        Some(rabbitmq) => subjects.push(rabbitmq),
        None => eprintln!("no RabbitMQ is installed here: Forebay alone"),
    }
    let mut report = Report::new(&load, runs);
    for run in 1..=runs {
        for subject in &subjects {
            let figures = measure(subject, &load);
            eprintln!("run {run}: {}: {figures}", subject.name);
            report.add(&subject.name, figures);
        }
    }
    print!("{}", report.table());
    if let Some(path) = value(&arguments, "--json") {
        std::fs::write(&path, report.json()).unwrap();
    }
}

fn measure(subject: &Subject, load: &Load) -> Figures {
    let queue = "throughput";
    let warm_up = Load { messages: load.messages / WARM_UP_DIVISOR, ..load.clone() };
    warm_up.run(subject.address, queue);
    let before = processor::time_of(subject.process);
    let elapsed = load.run(subject.address, queue);
    let used = processor::time_of(subject.process) - before;
    Figures {
        messages_per_second: load.messages as f64 / elapsed.as_secs_f64(),
        processor_micros_per_message: used.as_secs_f64() * 1e6 / load.messages as f64,
    }
}

fn value(arguments: &[String], name: &str) -> Option<String> {
    let place = arguments.iter().position(|argument| argument == name)?;
    Some(arguments.get(place + 1).unwrap_or_else(|| panic!("{name} wants a value")).clone())
}

fn number(arguments: &[String], name: &str) -> Option<u64> {
    value(arguments, name).map(|text| text.parse().expect("a number"))
}
