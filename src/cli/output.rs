//! How a command prints its result: one flag for all commands, and CSV.

use super::printable::printable;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::collections::BTreeSet;

/// The forms that a result can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One line of JSON
    Json,
    /// A line with the names of the columns, and a line for each object
    Csv,
}

/// The flag that chooses.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Output {
    /// How to print the result
    #[arg(long = "output", short = 'o', value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Print JSON; the same as --output json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Output {
    /// What was asked for.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Whether programs read the result, and not people.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.format() != Format::Table
    }
}

/// CSV, quoted as RFC 4180 says, with line feeds between its lines and none at its end: the headings, then a line for
/// each row. Control characters stand as
/// escapes, so that no name can steer a terminal and each row is one line.
pub(crate) fn csv<'a>(
    headings: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> String {
    let mut lines = vec![line(headings.into_iter().map(str::to_owned))];
    lines.extend(rows.into_iter().map(|row| csv_line(&row)));
    lines.join("\n")
}

/// CSV of an object or of a list of objects; the columns are the names of their members, in the order of the alphabet.
pub(crate) fn csv_of(value: &Value) -> String {
    let objects = match value {
        Value::Array(items) => items.as_slice(),
        value => std::slice::from_ref(value),
    };
    let members = objects.iter().filter_map(Value::as_object);
    let names: BTreeSet<&str> =
        members.flat_map(|object| object.keys().map(String::as_str)).collect();
    let rows = objects.iter().map(|object| {
        names.iter().map(|name| object.get(name).cloned().unwrap_or_default()).collect()
    });
    csv(names.iter().copied(), rows)
}

/// One row of CSV, without a line feed.
pub(crate) fn csv_line(row: &[Value]) -> String {
    line(row.iter().map(cell))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| quoted(&printable(&cell))).collect::<Vec<_>>().join(",")
}

/// The text of a text, nothing for null, and JSON of all else.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_with_commas_or_quotes_is_quoted() {
        let row = vec![json!("a,b"), json!("say \"x\""), json!(["t"]), json!(null), json!(1.5)];
        let text = csv(["one", "two", "tags", "none", "rate"], [row]);
        assert_eq!(text, "one,two,tags,none,rate\n\"a,b\",\"say \"\"x\"\"\",\"[\"\"t\"\"]\",,1.5");
    }

    #[test]
    fn a_name_can_neither_end_its_line_nor_steer_a_terminal() {
        assert_eq!(csv(["name"], [vec![json!("a\r\nb\u{1b}[31m")]]), "name\na\\r\\nb\\x1b[31m");
    }

    #[test]
    fn objects_may_lack_members() {
        assert_eq!(csv_of(&json!([{ "a": 1 }, { "b": true }])), "a,b\n1,\n,true");
        assert_eq!(csv_of(&json!({ "b": 1, "a": "x" })), "a,b\nx,1");
    }
}
