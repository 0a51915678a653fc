//! Files of recordings, read forgivingly: comma-separated values, and JSON as Prometheus answers a range.

use super::columns::{Columns, name_of};
use super::moment;
use super::series::{Measure, Series};
use serde_json::{Map, Value};
use std::path::Path;

/// JSON is looked into no deeper.
const DEPTH_MAX: usize = 12;

/// The series of a file.
///
/// # Errors
/// A text that names the file and what is wrong.
pub(super) fn read(path: &Path, step: f64) -> Result<Vec<Series>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let file = path
        .file_stem()
        .map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    parse(&text, &file, step)
}

pub(super) fn parse(text: &str, file: &str, step: f64) -> Result<Vec<Series>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['{', '[']) && !text.trim_start().starts_with("{__name__") {
        return json(text, file, step);
    }
    separated(text, file, step).series()
}

fn separated(text: &str, file: &str, step: f64) -> Columns {
    let lines =
        || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let separator = [',', ';', '\t', ' '].into_iter().find(|separator| {
        lines().take(5).all(|line| line.contains(*separator)) && lines().next().is_some()
    });
    let mut rows: Vec<Vec<String>> =
        lines().map(|line| cells(line, separator.unwrap_or(','))).collect();
    let is_heading = |row: &Vec<String>| {
        row.iter().any(|cell| {
            !cell.is_empty() && cell.parse::<f64>().is_err() && moment::seconds(cell).is_none()
        })
    };
    let headings = if rows.first().is_some_and(is_heading) {
        rows.remove(0)
    } else {
        let known = ["time", "lag", "acked", "published", "consumers"];
        match rows.first().map_or(0, Vec::len) {
            1 => vec!["lag".to_owned()],
            count => known.into_iter().take(count.min(2)).map(str::to_owned).collect(),
        }
    };
    Columns { headings, rows, file: file.to_owned(), step }
}

/// The cells of a line; quotes keep separators together.
fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cells.last_mut().into_iter().for_each(|cell| cell.push('"'));
            }
            '"' => is_quoted = !is_quoted,
            _ if letter == separator && !is_quoted => cells.push(String::new()),
            _ => cells.last_mut().into_iter().for_each(|cell| cell.push(letter)),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

fn json(text: &str, file: &str, step: f64) -> Result<Vec<Series>, String> {
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| format!("{file}: it is no JSON: {error}"))?;
        if value.get("status").is_some_and(|status| status == "error") {
            let error = value.get("error").and_then(Value::as_str).unwrap_or("without a text");
            return Err(format!("{file}: it is an error of Prometheus: {error}"));
        }
        walk(&value, file, step, 0, &mut found)?;
    }
    if found.is_empty() {
        return Err(format!(
            "{file}: there is no series in it; expected the answer of Prometheus to /api/v1/query_range, or rows with 'time' and 'lag'"
        ));
    }
    Ok(found)
}

/// Takes series wherever they are.
fn walk(
    value: &Value,
    file: &str,
    step: f64,
    depth: usize,
    found: &mut Vec<Series>,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    match value {
        Value::Object(fields) => {
            if let Some(series) = range(value, file) {
                found.extend(series);
                return Ok(());
            }
            if let Some(table) = table_of_columns(fields, file, step) {
                found.extend(table.series()?);
                return Ok(());
            }
            fields.values().try_for_each(|value| walk(value, file, step, depth + 1, found))
        }
        Value::Array(items) => {
            if let Some(table) = table_of_rows(items, file, step) {
                found.extend(table.series()?);
                return Ok(());
            }
            items.iter().try_for_each(|item| walk(item, file, step, depth + 1, found))
        }
        _ => Ok(()),
    }
}

/// Lists of numbers under their names, one of them lag.
fn table_of_columns(fields: &Map<String, Value>, file: &str, step: f64) -> Option<Columns> {
    let is_column =
        |cells: &[Value]| cells.iter().any(|cell| !cell.is_object() && !cell.is_array());
    let columns: Vec<(&String, &Vec<Value>)> = fields
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_array()?)))
        .filter(|(_, cells)| is_column(cells))
        .collect();
    if !columns.iter().any(|(name, _)| Measure::named(name) == Some(Measure::Lag)) {
        return None;
    }
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(*name));
    let seconds = first(&["step", "step_seconds", "interval"]).and_then(Value::as_f64);
    let queue = first(&["queue", "name"]).and_then(Value::as_str);
    let length = columns.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let row = |at: usize| -> Vec<String> {
        columns.iter().map(|(_, cells)| cells.get(at).map(cell).unwrap_or_default()).collect()
    };
    Some(Columns {
        headings: columns.iter().map(|(name, _)| (*name).clone()).collect(),
        rows: (0..length).map(row).collect(),
        file: queue.unwrap_or(file).to_owned(),
        step: seconds.unwrap_or(step),
    })
}

/// Objects with the same fields, one of them lag.
fn table_of_rows(items: &[Value], file: &str, step: f64) -> Option<Columns> {
    let is_row = |item: &Value| {
        item.as_object().is_some_and(|row| {
            row.keys().any(|key| Measure::named(key) == Some(Measure::Lag))
                && !row.values().any(Value::is_array)
        })
    };
    if !items.iter().all(is_row) {
        return None;
    }
    let headings: Vec<String> = items.first()?.as_object()?.keys().cloned().collect();
    let row = |item: &Value| -> Vec<String> {
        headings.iter().map(|name| item.get(name).map(cell).unwrap_or_default()).collect()
    };
    let rows = items.iter().map(row).collect();
    Some(Columns { headings, rows, file: file.to_owned(), step })
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A series of Prometheus: `metric` and `values`, pairs of a time and a number, or `values` and `timestamps`.
fn range(value: &Value, file: &str) -> Option<Option<Series>> {
    let metric = value.get("metric")?.as_object()?;
    let values = value.get("values")?.as_array()?;
    let number = |value: &Value| {
        cell(value).parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
    };
    let time = |value: &Value| value.as_f64().map(moment::of_number);
    let mut points: Vec<(f64, f64)> = match value.get("timestamps").and_then(Value::as_array) {
        Some(times) => times
            .iter()
            .zip(values)
            .filter_map(|(at, value)| Some((time(at)?, number(value)?)))
            .collect(),
        None => {
            let pairs = values.iter().filter_map(|pair| Some((pair.get(0)?, pair.get(1)?)));
            pairs.filter_map(|(at, value)| Some((time(at)?, number(value)?))).collect()
        }
    };
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let label = |name: &str| metric.get(name).and_then(Value::as_str);
    let queue =
        label("queue").map_or_else(|| file.to_owned(), |queue| name_of(label("vhost"), queue));
    // A query with functions has no name: then the file may say what it is.
    let measure = match label("__name__") {
        Some(name) => Measure::named(name),
        None => Some(Measure::named(file).unwrap_or(Measure::Lag)),
    };
    Some(measure.map(|measure| Series { queue, measure, points }))
}
