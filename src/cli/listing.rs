//! Lists and objects of the admin listener as a table, JSON or CSV: a command says which columns there are, and this
//! module prints them.

use super::duration::short;
use super::output::{Format, Output, csv};
use super::printable::json_line;
use super::table::{self, Alignment};
use super::target::print;
use serde_json::{Map, Value};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the year 9999, in milliseconds since 1970.
const DATE_MS_MAX: u64 = 253_402_300_799_999;

/// One column: a member of each object.
pub(crate) struct Column {
    /// Its name in JSON and CSV, with its unit. The table has it in capitals and without the unit, which stands
    /// there beside each value.
    name: &'static str,
    /// Where the listener's answer has it: a JSON pointer.
    pointer: &'static str,
    kind: Kind,
    is_detail: bool,
}

/// What people see of a value. Programs see the value.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Truth,
    /// Texts, separated by commas.
    Words,
    /// A number of bytes.
    Bytes,
    /// A time that has passed since, from milliseconds since 1970.
    Since,
    /// A time, from milliseconds since 1970.
    Date,
    /// Milliseconds.
    Duration,
    /// Anything, as JSON.
    Json,
}

const fn column(name: &'static str, pointer: &'static str, kind: Kind) -> Column {
    Column { name, pointer, kind, is_detail: false }
}

pub(crate) const fn text(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Text)
}

pub(crate) const fn number(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Number)
}

pub(crate) const fn truth(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Truth)
}

pub(crate) const fn words(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Words)
}

pub(crate) const fn bytes(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Bytes)
}

pub(crate) const fn since(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Since)
}

pub(crate) const fn date(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Date)
}

pub(crate) const fn milliseconds(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Duration)
}

pub(crate) const fn json(name: &'static str, pointer: &'static str) -> Column {
    column(name, pointer, Kind::Json)
}

impl Column {
    /// Not in the table of a list, which is wide enough without: where one object is shown, and in JSON and CSV.
    pub(crate) const fn detail(mut self) -> Self {
        self.is_detail = true;
        self
    }

    fn value(&self, object: &Value) -> Value {
        object.pointer(self.pointer).cloned().unwrap_or_default()
    }

    fn cell(&self, object: &Value) -> String {
        let Some(value) = object.pointer(self.pointer).filter(|value| !value.is_null()) else {
            return "-".to_owned();
        };
        match (self.kind, value) {
            (Kind::Truth, Value::Bool(truth)) => if *truth { "yes" } else { "no" }.to_owned(),
            (Kind::Words, Value::Array(words)) => {
                words.iter().map(plain).collect::<Vec<_>>().join(", ")
            }
            (Kind::Bytes, value) => value.as_u64().map_or_else(|| plain(value), byte_text),
            (Kind::Since, value) => value.as_u64().map_or_else(|| plain(value), ago),
            (Kind::Date, value) => value.as_u64().map_or_else(|| plain(value), date_text),
            (Kind::Duration, value) => {
                value.as_u64().map_or_else(|| plain(value), |ms| short(Duration::from_millis(ms)))
            }
            (Kind::Json, value) => value.to_string(),
            (_, value) => plain(value),
        }
    }

    fn alignment(&self) -> Alignment {
        match self.kind {
            Kind::Number | Kind::Bytes | Kind::Since | Kind::Duration => Alignment::Right,
            Kind::Text | Kind::Truth | Kind::Words | Kind::Date | Kind::Json => Alignment::Left,
        }
    }

    fn label(&self) -> String {
        let units: &[&str] = match self.kind {
            Kind::Bytes => &["_bytes"],
            Kind::Since | Kind::Date => &["_at_ms"],
            Kind::Duration => &["_ms"],
            Kind::Text | Kind::Number | Kind::Truth | Kind::Words | Kind::Json => &[],
        };
        let name = units.iter().find_map(|unit| self.name.strip_suffix(unit));
        name.unwrap_or(self.name).replace('_', " ")
    }
}

/// A text without quotes, all else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn byte_text(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

/// In UTC; a second is as fine as people want it.
pub(crate) fn date_text(unix_ms: u64) -> String {
    let date = UNIX_EPOCH.checked_add(Duration::from_secs(unix_ms / 1000));
    // Behind the year 9999 there is no such text.
    let date = date.filter(|_| unix_ms <= DATE_MS_MAX);
    date.map_or_else(
        || unix_ms.to_string(),
        |date| humantime::format_rfc3339_seconds(date).to_string(),
    )
}

fn ago(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{} ago", short(now.saturating_sub(Duration::from_millis(unix_ms))))
}

/// What programs get of an object.
fn row(columns: &[Column], object: &Value) -> Value {
    let members = columns.iter().map(|column| (column.name.to_owned(), column.value(object)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn csv_rows(columns: &[Column], objects: &[Value]) -> String {
    let cell = |column: &Column, object: &Value| match (column.kind, column.value(object)) {
        (Kind::Words, Value::Array(_)) => column.cell(object).into(),
        (_, value) => value,
    };
    let rows =
        objects.iter().map(|object| columns.iter().map(|column| cell(column, object)).collect());
    csv(columns.iter().map(|column| column.name), rows)
}

/// Prints objects: a table with a line for each, a JSON array, or CSV.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_list(columns: &[Column], objects: &[Value], output: &Output) -> io::Result<()> {
    match output.format() {
        Format::Table => {
            let shown: Vec<&Column> = columns.iter().filter(|column| !column.is_detail).collect();
            let headings =
                shown.iter().map(|column| (column.label().to_uppercase(), column.alignment()));
            let rows = objects
                .iter()
                .map(|object| shown.iter().map(|column| column.cell(object)).collect());
            print(table::columns(headings, rows, table::terminal_width()))
        }
        Format::Json => {
            let rows: Value = objects.iter().map(|object| row(columns, object)).collect();
            print(json_line(&rows))
        }
        Format::Csv => print(csv_rows(columns, objects)),
    }
}

/// Prints one object: a line for each member, a JSON object, or CSV.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_object(columns: &[Column], object: &Value, output: &Output) -> io::Result<()> {
    match output.format() {
        Format::Table => {
            let rows = columns.iter().map(|column| (column.label(), column.cell(object)));
            print(table::fields(rows, table::terminal_width()))
        }
        Format::Json => print(json_line(&row(columns, object))),
        Format::Csv => print(csv_rows(columns, std::slice::from_ref(object))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_see_units_and_programs_see_values() {
        let columns = [
            text("name", "/name"),
            words("tags", "/tags"),
            truth("tls", "/ssl"),
            bytes("received_bytes", "/recv_oct"),
            milliseconds("held_ms", "/ms"),
            date("due_at_ms", "/due"),
            json("arguments", "/arguments"),
        ];
        let object = json!({
            "name": "a", "tags": ["x", "y"], "ssl": false, "recv_oct": 2_048, "ms": 61_000,
            "due": 1_764_518_400_250_u64,
            "arguments": { "n": 1 },
        });
        let cells: Vec<_> = columns.iter().map(|column| column.cell(&object)).collect();
        assert_eq!(
            cells,
            ["a", "x, y", "no", "2.0 KiB", "1m 1s", "2025-11-30T16:00:00Z", "{\"n\":1}"]
        );
        assert_eq!(row(&columns, &object)["received_bytes"], json!(2_048));
        let csv = csv_rows(&columns, std::slice::from_ref(&object));
        assert!(
            csv.ends_with("\na,\"x, y\",false,2048,61000,1764518400250,\"{\"\"n\"\":1}\""),
            "{csv}"
        );
        let labels: Vec<_> = columns.iter().map(Column::label).collect();
        assert_eq!(labels, ["name", "tags", "tls", "received", "held", "due", "arguments"]);
        let missing: Vec<_> = columns.iter().map(|column| column.cell(&json!({}))).collect();
        assert_eq!(missing, ["-"; 7]);
    }
}
