//! Columns for a terminal.

/// One line for the headings and one for each row; the first column is aligned to the left, the
/// others, which hold numbers, to the right.
pub(crate) fn lines<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> Vec<String> {
    let mut all = vec![headings.map(str::to_owned)];
    all.extend(rows);
    let mut widths = [0; COLUMNS];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_below_each_other() {
        let row = |name: &str, number: u64| [name.to_owned(), number.to_string()];
        let lines = lines(["NAME", "READY"], [row("orders", 7), row("é", 1_000_000)]);
        assert_eq!(lines, ["NAME      READY", "orders        7", "é       1000000"]);
    }
}
