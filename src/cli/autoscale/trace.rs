//! A recorded lag, as `seconds,lag,acked_per_second` and perhaps `consumers`: what came in between
//! two rows is the growth of the lag and what was acknowledged.

use std::path::Path;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// From any beginning; ascending.
    pub(super) seconds: f64,
    /// Messages that were not done.
    pub(super) lag: f64,
    /// Since the row before.
    acked_per_second: f64,
    consumers: Option<f64>,
}

/// A recorded lag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trace {
    pub(super) rows: Vec<Row>,
}

const COLUMNS: [&str; 3] = ["seconds", "lag", "acked_per_second"];

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// A text that names the file and the line.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the trace {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}, {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, head) = lines.next().ok_or("line 1: it is empty")?;
        let has_consumers = match head.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
            [columns @ .., "consumers"] if columns == COLUMNS => true,
            columns if columns == COLUMNS => false,
            _ => {
                return Err(format!(
                    "line {number}: the head is '{head}'; expected 'seconds,lag,acked_per_second' or 'seconds,lag,acked_per_second,consumers'"
                ));
            }
        };
        let mut rows: Vec<Row> = Vec::new();
        for (number, line) in lines {
            let row = parse_row(line, has_consumers).map_err(|e| format!("line {number}: {e}"))?;
            if rows.last().is_some_and(|last| last.seconds >= row.seconds) {
                return Err(format!("line {number}: its time is not after that of the row before"));
            }
            rows.push(row);
        }
        if rows.len() < 2 {
            return Err(format!("line {number}: {} rows; expected at least two", rows.len()));
        }
        Ok(Self { rows })
    }

    /// Messages per second that came in, from each row to the next.
    pub(super) fn arrivals(&self) -> Vec<f64> {
        let pairs = self.rows.iter().zip(self.rows.iter().skip(1));
        pairs
            .map(|(before, row)| {
                let grown = (row.lag - before.lag) / (row.seconds - before.seconds);
                (grown + row.acked_per_second).max(0.0)
            })
            .collect()
    }

    /// Messages per second that one consumer does while there is something to do: the median.
    pub(super) fn speed(&self) -> Option<f64> {
        let pairs = self.rows.iter().zip(self.rows.iter().skip(1));
        let busy = pairs.filter(|(before, row)| before.lag > 0.0 && row.lag > 0.0);
        let mut speeds: Vec<f64> = busy
            .filter_map(|(_, row)| Some(row.acked_per_second / row.consumers?))
            .filter(|speed| speed.is_finite() && *speed > 0.0)
            .collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }
}

fn parse_row(line: &str, has_consumers: bool) -> Result<Row, String> {
    let numbers: Vec<f64> = line
        .split(',')
        .map(|cell| match cell.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(format!("'{cell}' is no number from 0 up")),
        })
        .collect::<Result<_, _>>()?;
    match *numbers.as_slice() {
        [seconds, lag, acked_per_second, consumers] if has_consumers => {
            Ok(Row { seconds, lag, acked_per_second, consumers: Some(consumers) })
        }
        [seconds, lag, acked_per_second] if !has_consumers => {
            Ok(Row { seconds, lag, acked_per_second, consumers: None })
        }
        _ => Err(format!("{} cells, which is not what the head says", numbers.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_is_what_the_lag_grew_by_and_what_was_done() {
        let text = "# a comment\nseconds,lag,acked_per_second,consumers\n0,0,0,2\n60,600,10,2\n120,0,30,2\n";
        let trace = Trace::parse(text).unwrap();
        assert_eq!(trace.arrivals(), [20.0, 20.0]);
        assert_eq!(trace.speed(), None, "it was never busy from one row to the next");
        let text = "seconds,lag,acked_per_second,consumers\n0,9,0,2\n60,9,10,2\n120,9,30,2\n";
        assert_eq!(Trace::parse(text).unwrap().speed(), Some(15.0));
    }

    #[test]
    fn a_fault_is_named_with_its_line() {
        let error = |text: &str| Trace::parse(text).unwrap_err();
        assert!(error("").contains("empty"));
        assert!(error("time,lag\n").contains("seconds,lag,acked_per_second"));
        let head = "seconds,lag,acked_per_second\n";
        assert!(error(&format!("{head}0,1,x\n")).starts_with("line 2: 'x'"));
        assert!(error(&format!("{head}0,1,-1\n")).starts_with("line 2: '-1'"));
        assert!(error(&format!("{head}0,1\n")).starts_with("line 2: 2 cells"));
        assert!(error(&format!("{head}5,1,1\n5,1,1\n")).starts_with("line 3: its time"));
        assert!(error(&format!("{head}5,1,1\n")).contains("at least two"));
    }
}
