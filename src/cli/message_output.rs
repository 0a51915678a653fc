//! How `consume`, `tap` and `request` print messages.

use super::message_json;
use super::printable::{json_line, printable, printable_lines};
use clap::{Args, ValueEnum};
use forebay_client::Incoming;
use serde_json::Value;
use std::io::{self, Write};

/// Bytes of a body that the form for people shows.
const BODY_TEXT_BYTES_MAX: usize = 4_096;

/// The forms that a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// The body as it is, and a line feed
    Body,
    /// The body as it is, and nothing between bodies
    Raw,
    /// For people: where it came from, properties, headers, and the beginning of the body
    Text,
    /// A line of JSON with body and properties, as `publish --ndjson` reads it
    Ndjson,
    /// One JSON array of all messages
    Json,
}

/// The flag that chooses.
#[derive(Clone, Debug, Args)]
pub(crate) struct MessageOutput {
    /// How to print each message
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<MessageFormat>,
    /// Print each message as a line of JSON, with its properties; the same as --format ndjson
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl MessageOutput {
    /// A printer for what was asked for; `default` without a flag.
    pub(crate) fn printer(&self, default: MessageFormat) -> MessagePrinter {
        let format = if self.json { MessageFormat::Ndjson } else { self.format.unwrap_or(default) };
        MessagePrinter { format, printed: 0 }
    }
}

/// Prints one message after the other.
#[derive(Debug)]
pub(crate) struct MessagePrinter {
    format: MessageFormat,
    printed: u64,
}

impl MessagePrinter {
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn print(&mut self, message: &Incoming) -> io::Result<()> {
        self.write(message, &mut io::stdout().lock())
    }

    /// What stands behind the last message.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.write_end(&mut io::stdout().lock())
    }

    fn write(&mut self, message: &Incoming, output: &mut impl Write) -> io::Result<()> {
        let is_first = self.printed == 0;
        self.printed += 1;
        match self.format {
            MessageFormat::Body => {
                output.write_all(message.body())?;
                output.write_all(b"\n")?;
            }
            MessageFormat::Raw => output.write_all(message.body())?,
            MessageFormat::Text => writeln!(output, "{}", printable_lines(&text(message)))?,
            MessageFormat::Ndjson => writeln!(output, "{}", json_line(&message_json::of(message)))?,
            MessageFormat::Json => {
                let before = if is_first { "[" } else { ",\n" };
                write!(output, "{before}{}", json_line(&message_json::of(message)))?;
            }
        }
        output.flush()
    }

    fn write_end(&mut self, output: &mut impl Write) -> io::Result<()> {
        match (self.format, self.printed) {
            (MessageFormat::Json, 0) => writeln!(output, "[]"),
            (MessageFormat::Json, _) => writeln!(output, "]"),
            _ => Ok(()),
        }
    }
}

/// One line about where it came from, one for each property and header, then the body.
fn text(message: &Incoming) -> String {
    let Value::Object(members) = message_json::of(message) else { return String::new() };
    let word = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let exchange = match word("exchange") {
        "" => "(default exchange)",
        exchange => exchange,
    };
    let again = if message.is_redelivered() { ", redelivered" } else { "" };
    let bytes = message.body().len();
    let mut lines = vec![format!(
        "{} {}  {bytes} bytes{again}",
        printable(exchange),
        printable(word("routing_key"))
    )];
    let is_told = |name: &str| {
        !["body", "body_encoding", "exchange", "routing_key", "redelivered", "headers"]
            .contains(&name)
    };
    let told = |name: &str, value: &Value| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("    {}: {}", printable(name), printable(&value))
    };
    let properties = members.iter().filter(|(name, value)| is_told(name) && !value.is_null());
    lines.extend(properties.map(|(name, value)| told(name, value)));
    let headers = members.get("headers").and_then(Value::as_object);
    let headers = headers.into_iter().flatten();
    lines.extend(headers.map(|(name, value)| told(&format!("header {name}"), value)));
    lines.push(body_text(word("body"), word("body_encoding")));
    lines.join("\n")
}

/// The beginning of a body, indented as the properties are.
fn body_text(body: &str, encoding: &str) -> String {
    let mut end = body.len().min(BODY_TEXT_BYTES_MAX);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let shown = body.get(..end).unwrap_or_default().trim_end_matches('\n');
    let cut = if end < body.len() { "…" } else { "" };
    let encoding = if encoding == "base64" { "(base64) " } else { "" };
    let indented: Vec<_> =
        format!("{encoding}{shown}{cut}").split('\n').map(|line| format!("    {line}")).collect();
    indented.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_cut_between_characters() {
        assert_eq!(body_text("one\ntwo\n", "string"), "    one\n    two");
        let long = body_text(&"é".repeat(4_000), "string");
        assert!(long.ends_with("é…") && long.len() < 4_120, "{}", long.len());
        assert_eq!(body_text("//4=", "base64"), "    (base64) //4=");
    }

    #[test]
    fn an_array_is_closed_also_when_nothing_came() {
        let mut output = Vec::new();
        let mut printer = MessagePrinter { format: MessageFormat::Json, printed: 0 };
        printer.write_end(&mut output).unwrap();
        assert_eq!(output, b"[]\n");
        let mut printer = MessagePrinter { format: MessageFormat::Body, printed: 0 };
        printer.write_end(&mut output).unwrap();
        assert_eq!(output, b"[]\n");
    }
}
