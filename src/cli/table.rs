//! Columns for a terminal.

use super::printable::printable;
use console::{measure_text_width, truncate_str};

/// Columns of text between two columns of a table.
const GAP: usize = 2;

/// A name is not cut below this width; columns of numbers are left out first.
const NAME_WIDTH_MIN: usize = 12;

/// One line for the headings and one for each row; the first column, names, is aligned to the left, the
/// others, which hold numbers, to the right. Widths are those that a terminal shows. Control characters are
/// escaped.
///
/// With a `width`, no line is longer: names are cut with `…`, and where even short names leave no place, the
/// columns at the right are left out.
pub(crate) fn lines<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    width: Option<usize>,
) -> Vec<String> {
    let mut all = vec![headings.map(str::to_owned)];
    all.extend(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    let mut widths = [0; COLUMNS];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = measure_text_width(cell).max(*width);
        }
    }
    let shown = width.map_or(COLUMNS, |width| fit(&mut widths, width));
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).take(shown).enumerate().map(|(at, (cell, width))| {
            // No place is left for the mark of what was cut either.
            let cell = if width == 0 { "".into() } else { truncate_str(cell, width, "…") };
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            if at == 0 { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// Narrows the first column so that a line fits, and returns how many columns are shown.
fn fit(widths: &mut [usize], width: usize) -> usize {
    let mut shown = widths.len();
    let Some((name, numbers)) = widths.split_first_mut() else { return 0 };
    loop {
        let taken: usize =
            numbers.iter().take(shown.saturating_sub(1)).map(|width| width + GAP).sum();
        let left = width.saturating_sub(taken);
        if left >= NAME_WIDTH_MIN.min(*name) || shown <= 1 {
            *name = left.min(*name);
            return shown;
        }
        shown -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, number: u64) -> [String; 2] {
        [name.to_owned(), number.to_string()]
    }

    #[test]
    fn numbers_stand_below_each_other() {
        let lines = lines(["NAME", "READY"], [row("orders", 7), row("é", 1_000_000)], None);
        assert_eq!(lines, ["NAME      READY", "orders        7", "é       1000000"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let lines = lines(["NAME", "READY"], [row("日本", 7), row("abcd", 8)], None);
        assert_eq!(lines, ["NAME  READY", "日本      7", "abcd      8"]);
    }

    #[test]
    fn a_long_name_is_cut_and_the_numbers_stay() {
        let rows = [row(&"q".repeat(120), 7), row(&"日".repeat(60), 8)];
        for line in lines(["NAME", "READY"], rows, Some(40)).iter().skip(1) {
            assert!(measure_text_width(line) <= 40 && line.contains('…'), "{line}");
            assert!(line.ends_with('7') || line.ends_with('8'), "{line}");
        }
    }

    #[test]
    fn a_narrow_terminal_shows_fewer_columns_and_never_a_longer_line() {
        let row = ["orders-of-today".to_owned(), "1000000".to_owned(), "1000000".to_owned()];
        for width in 0..60 {
            for line in lines(["NAME", "READY", "LAG"], [row.clone()], Some(width)) {
                assert!(measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
        // Fourteen columns for the name, two for the gap, seven for the figure.
        let lines = lines(["NAME", "READY", "LAG"], [row], Some(23));
        assert_eq!(lines, ["NAME              READY", "orders-of-tod…  1000000"]);
    }

    #[test]
    fn names_do_not_reach_the_terminal_as_commands() {
        let lines = lines(["NAME", "READY"], [row("bad\x1b]0;pwned\x07", 1)], None);
        assert!(!lines.concat().contains('\x1b'), "{lines:?}");
    }
}
