//! Rows of cells under headings, as series.

use super::moment;
use super::series::{Measure, Series};
use std::collections::BTreeMap;

/// Rows of cells under headings.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// What begins each message about it, and the name of its queue when it names none.
    pub(super) file: String,
    /// Seconds from row to row where no column tells the time.
    pub(super) step: f64,
}

/// What a column is for.
#[derive(Clone, Debug, PartialEq)]
enum Use {
    Time {
        unit: f64,
    },
    Queue,
    Vhost,
    /// A name that tells series apart.
    Instance,
    /// The name of what the column `value` measures.
    Metric,
    Value {
        measure: Option<Measure>,
        queue: Option<String>,
    },
    Nothing,
}

impl Columns {
    fn uses(&self) -> Vec<Use> {
        let mut uses: Vec<Use> = self.headings.iter().map(|heading| use_of(heading)).collect();
        let is_lag = |column: &Use| {
            matches!(
                column,
                Use::Value { measure: Some(Measure::Lag | Measure::Ready | Measure::Unacked), .. }
            )
        };
        let has_lag = uses.iter().any(is_lag);
        let is_number = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).take(100);
            cells.fold((0, 0), |(all, numbers), cell| {
                (all + 1, numbers + usize::from(cell.parse::<f64>().is_ok()))
            })
        };
        for (at, (column, heading)) in uses.iter_mut().zip(&self.headings).enumerate() {
            if *column != Use::Nothing || has_lag {
                continue;
            }
            // No column says that it is lag: each with numbers is the lag of a queue.
            let (all, numbers) = is_number(at);
            let is_other = Measure::named(heading).is_none() && heading.contains("expected");
            if numbers * 2 > all && !is_other {
                *column = Use::Value { measure: Some(Measure::Lag), queue: Some(heading.clone()) };
            }
        }
        if !uses.iter().any(|column| matches!(column, Use::Time { .. }))
            && let Some(at) =
                (0..uses.len()).find(|at| uses.get(*at) == Some(&Use::Nothing) && self.ascends(*at))
            && let Some(column) = uses.get_mut(at)
        {
            *column = Use::Time { unit: 1.0 };
        }
        uses
    }

    /// Whether a column can be one of times: each is after the one before.
    fn ascends(&self, at: usize) -> bool {
        let times =
            || self.rows.iter().map(|row| row.get(at).and_then(|cell| moment::seconds(cell)));
        times().zip(times().skip(1)).all(|(before, after)| before.is_some() && before < after)
    }

    /// Its series.
    ///
    /// # Errors
    /// A text that says what is missing, or which line is not to be understood.
    pub(super) fn series(&self) -> Result<Vec<Series>, String> {
        let uses = self.uses();
        let has_time = uses.iter().any(|column| matches!(column, Use::Time { .. }));
        let mut found: BTreeMap<(String, String, Measure), Vec<(f64, f64)>> = BTreeMap::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut at = (!has_time).then_some(self.step * number as f64);
            let (mut queue, mut vhost, mut instance, mut metric) =
                (None, None, String::new(), None);
            for (column, cell) in uses.iter().zip(row) {
                match column {
                    Use::Time { unit } => at = moment::seconds(cell).map(|seconds| seconds * unit),
                    Use::Queue => queue = Some(cell.as_str()),
                    Use::Vhost => vhost = Some(cell.as_str()),
                    Use::Instance => instance = format!("{instance} {cell}"),
                    Use::Metric => metric = Some(Measure::named(cell)),
                    Use::Value { .. } | Use::Nothing => {}
                }
            }
            let Some(at) = at else {
                return Err(format!(
                    "{}, row {}: its time is not to be understood: {row:?}",
                    self.file,
                    number + 1
                ));
            };
            let name = queue.map(|queue| name_of(vhost, queue));
            for (column, cell) in uses.iter().zip(row) {
                let Use::Value { measure, queue } = column else { continue };
                // A metric that has a name and is none of ours.
                let measure = match metric {
                    Some(named) => named,
                    None => *measure,
                };
                // Empty cells and NaN are moments that nobody watched.
                let (Some(measure), Some(value)) = (measure, number_of(cell)) else { continue };
                let queue = queue.clone().or(name.clone()).unwrap_or_else(|| self.file.clone());
                found.entry((queue, instance.clone(), measure)).or_default().push((at, value));
            }
        }
        if found.is_empty() {
            return Err(format!(
                "{}: no column is known for lag; expected a column 'lag' (or 'ready' and 'unacked') beside one of times, the headings are {:?}",
                self.file, self.headings
            ));
        }
        let sorted = found.into_iter().map(|((queue, _, measure), mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series { queue, measure, points }
        });
        Ok(sorted.collect())
    }
}

pub(super) fn name_of(vhost: Option<&str>, queue: &str) -> String {
    match vhost {
        None | Some("" | "/") => queue.to_owned(),
        Some(vhost) => format!("{vhost}/{queue}"),
    }
}

fn number_of(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn use_of(heading: &str) -> Use {
    let lower = heading.trim().to_ascii_lowercase();
    // As Prometheus writes a series.
    if let Some((metric, labels)) =
        heading.trim().strip_suffix('}').and_then(|text| text.split_once('{'))
    {
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let measure = if metric.is_empty() { Some(Measure::Lag) } else { Measure::named(metric) };
        return Use::Value {
            measure,
            queue: label("queue").map(|queue| name_of(label("vhost"), queue)),
        };
    }
    let time = |unit| Use::Time { unit };
    match lower.as_str() {
        "time" | "timestamp" | "ts" | "t" | "seconds" | "second" | "sec" | "s" | "unix"
        | "epoch" | "date" | "datetime" | "at" | "_time" | "time_s" | "timestamp_s"
        | "unix_seconds" | "unixtime" | "ms" | "timestamp_ms" | "time_ms" | "time_utc" | "utc"
        | "ds" | "when" => time(1.0),
        "minute" | "minutes" | "min" | "m" | "t_min" | "time_min" => time(60.0),
        "hour" | "hours" | "h" => time(3600.0),
        "queue" | "queue_name" | "name" => Use::Queue,
        "vhost" | "virtual_host" => Use::Vhost,
        "instance" | "pod" | "job" | "host" | "node" | "series" | "reason" => Use::Instance,
        "metric" | "__name__" | "metric_name" | "measure" | "measurement" => Use::Metric,
        _ => match Measure::named(&lower) {
            Some(measure) => Use::Value { measure: Some(measure), queue: None },
            None => Use::Nothing,
        },
    }
}
