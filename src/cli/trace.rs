//! `forebay trace`: what happened to the last messages of a queue.

use super::admin::{AdminTarget, segment};
use super::output::{Format, Output, csv_of};
use super::printable::{json_line, printable};
use super::target::{self, Fault};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

/// Messages that one request is answered with at most.
const PAGE_MESSAGES_MAX: u64 = 1_000;

/// Columns for the time since the event before.
const STEP_WIDTH: usize = 12;

/// Show what happened to the last messages of a queue that keeps it (x-trace): who published each, whom it
/// was delivered to, how it came back, where it went
///
/// Asks the admin listener. Times are UTC; beside each stands how long after the event before it that was.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  forebay queue declare orders --argument x-trace=1000\n  forebay trace orders\n  \
         forebay trace orders --message-id 7f3a --output json"
)]
pub(crate) struct Trace {
    #[command(flatten)]
    admin: AdminTarget,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Name of the queue
    queue: String,
    /// Only messages with this message-id
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Messages at most, the last ones
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    output: Output,
}

/// What the broker told.
struct Told {
    /// The last answer, without its messages.
    about: Value,
    /// The newest first.
    messages: Vec<Value>,
}

impl Trace {
    pub(crate) fn run(self) -> ExitCode {
        target::end(self.print())
    }

    fn print(&self) -> Result<ExitCode, Fault> {
        let mut told = self.ask()?;
        // A story is read from its beginning.
        told.messages.reverse();
        match self.output.format() {
            Format::Json => {
                let json = json!({
                    "messages": told.messages,
                    "messages_max": told.about.get("messages_max"),
                    "name": self.queue,
                    "since_ms": told.about.get("since_ms"),
                    "vhost": self.vhost,
                });
                target::print(json_line(&json))?;
            }
            Format::Csv => target::print(csv_of(&Value::Array(told.messages)))?,
            Format::Table => target::print(told.text(&self.queue))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn ask(&self) -> Result<Told, Fault> {
        let path = format!("/api/queues/{}/{}/trace", segment(&self.vhost), segment(&self.queue));
        let id = self.message_id.as_deref();
        let id = id.map(|id| format!("&message-id={}", segment(id))).unwrap_or_default();
        let mut messages = Vec::new();
        let mut before = String::new();
        loop {
            let limit = (self.count - messages.len() as u64).min(PAGE_MESSAGES_MAX);
            let about = self.admin.get(&format!("{path}?limit={limit}{id}{before}"))?;
            let Some(Value::Array(page)) = about.get("messages") else {
                return Err(self.admin.nonsense(&path).into());
            };
            messages.extend(page.iter().cloned());
            let next = about.get("next").and_then(Value::as_u64);
            match next.filter(|_| (messages.len() as u64) < self.count) {
                Some(next) => before = format!("&before={next}"),
                None => return Ok(Told { about, messages }),
            }
        }
    }
}

impl Told {
    fn text(&self, queue: &str) -> String {
        let most = self.about.get("messages_max").and_then(Value::as_u64).unwrap_or(0);
        let since = self.about.get("since_ms").and_then(Value::as_u64).unwrap_or(0);
        let heading = format!(
            "{}: {} of the last {most} messages at most, kept since {}",
            printable(queue),
            self.messages.len(),
            date(since)
        );
        let stories = self.messages.iter().map(story);
        std::iter::once(heading).chain(stories).collect::<Vec<_>>().join("\n\n")
    }
}

/// What happened to one message, a line for each event.
fn story(message: &Value) -> String {
    let number = |name: &str| message.get(name).and_then(Value::as_u64).unwrap_or(0);
    let named = match message.get("message_id").and_then(Value::as_str) {
        Some(id) => format!("message-id {}, ", printable(id)),
        None => String::new(),
    };
    let heading = format!(
        "#{}  {named}{} bytes, published to {} with the key '{}'",
        number("number"),
        number("payload_bytes"),
        exchange(message),
        text(message, "routing_key")
    );
    let mut lines = vec![heading];
    let mut last = None;
    for event in message.get("events").and_then(Value::as_array).into_iter().flatten() {
        let Some(at) = event.get("at_ms").and_then(Value::as_u64) else {
            lines.push(format!("  {:12} {:STEP_WIDTH$}  {}", "", "", said(event)));
            continue;
        };
        let step = last.map(|last: u64| step(last, at)).unwrap_or_default();
        lines.push(format!("  {} {step:>STEP_WIDTH$}  {}", time(at), said(event)));
        last = Some(at);
    }
    lines.join("\n")
}

/// How long after the event before it something happened. The wall clock may have been put back.
fn step(before: u64, at: u64) -> String {
    match at.checked_sub(before) {
        Some(ms) => format!("+{ms} ms"),
        None => format!("-{} ms", before - at),
    }
}

fn date(ms: u64) -> String {
    let moment = UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH);
    // What humantime can't write is no date of a message either.
    let moment = moment.min(UNIX_EPOCH + Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_millis(moment).to_string().replace('T', " ").replace('Z', "")
}

fn time(ms: u64) -> String {
    date(ms).split_once(' ').map(|(_, time)| time.to_owned()).unwrap_or_default()
}

/// What an event says.
fn said(event: &Value) -> String {
    let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or(0);
    let is = |name: &str| event.get(name).and_then(Value::as_bool).unwrap_or(false);
    let reason = || text(event, "reason");
    match event.get("event").and_then(Value::as_str).unwrap_or_default() {
        "published" => format!("published {}", party(event, "by", "by")),
        "scheduled" => format!("published by schedule '{}'", text(event, "schedule")),
        "came-as-dead-letter" => {
            format!("came as a dead letter of '{}': {}", text(event, "from"), reason())
        }
        "came-redriven" => format!("sent back by an operator out of '{}'", text(event, "from")),
        "delayed" => format!("delayed until {}", date(number("until_ms"))),
        "due" => "due: in the order of the queue".to_owned(),
        "cancelled" => "cancelled by an operator before it was due".to_owned(),
        "refused" => "refused: the queue had no room for it".to_owned(),
        "repeated" => format!("a duplicate was dropped, published {}", party(event, "by", "by")),
        "held-by-group" => "waits for another message of its group".to_owned(),
        "delivered" => {
            let consumer = match event.get("consumer_tag").and_then(Value::as_str) {
                Some(tag) => format!(", consumer '{}'", printable(tag)),
                None => ", by basic.get".to_owned(),
            };
            let redelivered = if is("redelivered") { ", redelivered" } else { "" };
            let settled = if is("no_ack") { ", settled by that" } else { "" };
            format!(
                "delivered {}{consumer}, attempt {}{redelivered}{settled}",
                party(event, "to", "to"),
                number("attempt")
            )
        }
        "acknowledged" => format!("acknowledged{}", late(event)),
        "rejected" => format!("rejected{}", late(event)),
        "came-back" => format!("came back: {}", cause(&reason())),
        "parked" => {
            format!("waits {} ms, until {}", number("delay_ms"), date(number("until_ms")))
        }
        "ready" => "ready again".to_owned(),
        "quarantined" => "to be delivered alone: it may have killed its consumer".to_owned(),
        "died" if is("dropped") => format!("dropped: {}", reason()),
        "died" => format!("died: {}", reason()),
        "dead-lettered" => {
            let queues = event.get("queues").and_then(Value::as_array);
            let names = queues.into_iter().flatten().filter_map(Value::as_str);
            let names: Vec<String> = names.map(|name| format!("'{}'", printable(name))).collect();
            match names.as_slice() {
                [] => format!("dropped: no queue is bound to {} for it", exchange(event)),
                names => format!("dead letter in {}, over {}", names.join(", "), exchange(event)),
            }
        }
        "redriven" => format!("sent back by an operator to '{}'", text(event, "to_queue")),
        "purged" => "purged".to_owned(),
        "omitted" => format!("… {} events are not kept", number("count")),
        // Of a newer broker.
        _ => json_line(event),
    }
}

/// How a message came back, in words.
fn cause(reason: &str) -> &str {
    match reason {
        "nacked" => "basic.nack",
        "rejected" => "basic.reject with requeue",
        "retried" => "its consumer wants it later",
        "recovered" => "basic.recover",
        "connection-lost" => "the connection was lost",
        "channel-failed" => "the channel was closed for an error",
        "returned" => "the client closed in good order",
        "interrupted" => "the broker closed the connection",
        "timed-out" => "it was held for too long",
        "lease-ended" => "its lease ended",
        "consumer-hangs" => "its consumer hangs at another message",
        other => other,
    }
}

fn late(event: &Value) -> &'static str {
    let is_late = event.get("late").and_then(Value::as_bool).unwrap_or(false);
    if is_late { ", after its time was over" } else { "" }
}

/// Who did it, or whom it was done to.
fn party(event: &Value, name: &str, preposition: &str) -> String {
    let Some(party) = event.get(name).filter(|party| !party.is_null()) else {
        return "before the record of it began".to_owned();
    };
    let user = text(party, "user");
    let Some(connection) = party.get("connection").and_then(Value::as_str) else {
        return format!("{preposition} {user} over the admin listener");
    };
    let own_name = match party.get("connection_name").and_then(Value::as_str) {
        Some(name) => format!(" ({})", printable(name)),
        None => String::new(),
    };
    let channel = party.get("channel").and_then(Value::as_u64).unwrap_or(0);
    format!("{preposition} {user}, {}{own_name}, channel {channel}", printable(connection))
}

fn exchange(value: &Value) -> String {
    match text(value, "exchange").as_str() {
        "" => "the default exchange".to_owned(),
        name => format!("'{name}'"),
    }
}

fn text(value: &Value, name: &str) -> String {
    printable(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_has_a_line_for_each_event_and_the_time_between_them() {
        let guest = json!({ "user": "guest", "connection": "10.0.0.1:5 -> 7", "channel": 1,
                            "connection_name": "billing" });
        let message = json!({
            "number": 4, "message_id": "m-1", "payload_bytes": 9, "exchange": "", "routing_key": "orders",
            "events": [
                { "at_ms": 1_764_518_400_000_u64, "event": "published", "by": guest },
                { "at_ms": 1_764_518_400_002_u64, "event": "delivered", "to": guest, "consumer_tag": "c",
                  "attempt": 1, "redelivered": false, "no_ack": false },
                { "event": "omitted", "count": 3 },
                { "at_ms": 1_764_518_401_002_u64, "event": "came-back", "reason": "connection-lost" },
                { "at_ms": 1_764_518_401_000_u64, "event": "dead-lettered", "exchange": "",
                  "queues": ["orders.dlq"] },
            ],
        });
        let lines: Vec<String> = story(&message).lines().map(str::to_owned).collect();
        let expected = [
            "#4  message-id m-1, 9 bytes, published to the default exchange with the key 'orders'",
            "  16:00:00.000               published by guest, 10.0.0.1:5 -> 7 (billing), channel 1",
            "  16:00:00.002        +2 ms  delivered to guest, 10.0.0.1:5 -> 7 (billing), channel 1, consumer 'c', attempt 1",
            "                             … 3 events are not kept",
            "  16:00:01.002     +1000 ms  came back: the connection was lost",
            "  16:00:01.000        -2 ms  dead letter in 'orders.dlq', over the default exchange",
        ];
        assert_eq!(lines, expected);
    }
}
