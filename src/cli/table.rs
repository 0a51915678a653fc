//! Tables for a terminal.

use super::printable::printable;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width};
use console::Term;

/// Empty columns between two columns of a table.
pub(crate) const GAP: u16 = 2;

/// A name is not cut below this width; columns of numbers are left out first.
const NAME_WIDTH_MIN: u16 = 12;

/// The width of the terminal that standard output goes to; `None` for a pipe and a file.
pub(crate) fn terminal_width() -> Option<u16> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| terminal.size().1)
}

/// One line for the headings and one for each row; the first column, names, is aligned to the left, the
/// others, which hold numbers, to the right. Control characters are escaped.
///
/// With a `width`, no line is longer: names are cut with `…`, and where even short names leave no place, the
/// columns at the right are left out. A number is never cut.
pub(crate) fn list<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    width: Option<u16>,
) -> String {
    let mut table = borderless();
    let row = |cells: [String; COLUMNS]| {
        let mut row = Row::from(cells.map(|cell| printable(&cell)));
        row.max_height(1);
        row
    };
    table.set_header(row(headings.map(str::to_owned)));
    table.add_rows(rows.into_iter().map(row));
    for (at, column) in table.column_iter_mut().enumerate() {
        let (gap, alignment) =
            if at == 0 { (0, CellAlignment::Left) } else { (GAP, CellAlignment::Right) };
        column.set_padding((gap, 0)).set_cell_alignment(alignment);
    }
    if let Some(width) = width {
        let shown = fit(&table.column_max_content_widths(), width);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_constraint(match shown.get(at) {
                Some(width) if at == 0 => ColumnConstraint::Absolute(Width::Fixed(*width)),
                Some(_) => ColumnConstraint::ContentWidth,
                None => ColumnConstraint::Hidden,
            });
        }
    }
    table.trim_fmt()
}

/// The widths of the columns that a line of this width has place for, given the widths of their contents: the
/// first one narrowed if need be, and as many of the others as go in whole, with a [`GAP`] before each.
pub(crate) fn fit(contents: &[u16], width: u16) -> Vec<u16> {
    let Some((name, numbers)) = contents.split_first() else { return Vec::new() };
    let name_min = NAME_WIDTH_MIN.min(*name).min(width);
    let mut left = width - name_min;
    let go_in = |number: &&u16| match left.checked_sub(**number + GAP) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let numbers: Vec<u16> = numbers.iter().take_while(go_in).copied().collect();
    [vec![(*name).min(name_min + left)], numbers].concat()
}

/// A label and a text on each line. Control characters are escaped. With a `width`, a longer text goes on in
/// the next line below itself.
pub(crate) fn fields(
    rows: impl IntoIterator<Item = (&'static str, String)>,
    width: Option<u16>,
) -> String {
    let mut table = borderless();
    table.add_rows(rows.into_iter().map(|(label, text)| [label.to_owned(), printable(&text)]));
    table.column_iter_mut().zip([GAP, 0]).for_each(|(column, gap)| {
        column.set_padding((0, gap));
    });
    if let Some(labels) = table.column_mut(0) {
        labels.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.trim_fmt()
}

fn borderless() -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_truncation_indicator("…");
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::measure_text_width;

    fn row(name: &str, number: u64) -> [String; 2] {
        [name.to_owned(), number.to_string()]
    }

    fn lines<const COLUMNS: usize>(
        headings: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
        width: Option<u16>,
    ) -> Vec<String> {
        list(headings, rows, width).lines().map(str::to_owned).collect()
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
        let rows = [row(&"q".repeat(120), 7), row(&"日".repeat(60), 8), row(&"a b ".repeat(30), 7)];
        for line in lines(["NAME", "READY"], rows, Some(40)).iter().skip(1) {
            assert!(measure_text_width(line) <= 40 && line.contains('…'), "{line}");
            assert!(line.ends_with('7') || line.ends_with('8'), "{line}");
        }
    }

    #[test]
    fn a_narrow_terminal_shows_fewer_columns_and_never_a_longer_line() {
        let row = ["orders-of-today".to_owned(), "1000000".to_owned(), "1000000".to_owned()];
        for width in 1..60 {
            let lines = lines(["NAME", "READY", "LAG"], [row.clone()], Some(width));
            assert_eq!(lines.len(), 2, "{width}: {lines:?}");
            for line in lines {
                assert!(measure_text_width(&line) <= width.into(), "{width}: {line}");
                let numbers = line.split_whitespace().skip(1);
                let known = ["READY", "LAG", "1000000"];
                assert!(numbers.clone().all(|number| known.contains(&number)), "{width}: {line}");
            }
        }
        // Fourteen columns for the name, two for the gap, seven for the figure.
        let lines = lines(["NAME", "READY", "LAG"], [row], Some(23));
        assert_eq!(lines, ["NAME              READY", "orders-of-tod…  1000000"]);
    }

    #[test]
    fn names_do_not_reach_the_terminal_as_commands() {
        let lines = lines(["NAME", "READY"], [row("bad\x1b]0;pwned\x07\nline", 1)], None);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(!lines.concat().contains('\x1b'), "{lines:?}");
    }

    #[test]
    fn a_text_goes_on_below_itself() {
        let rows = || [("queues", "3 with 12 consumers".to_owned()), ("alarms", "none".to_owned())];
        assert_eq!(fields(rows(), None), "queues  3 with 12 consumers\nalarms  none");
        assert_eq!(fields(rows(), Some(20)), "queues  3 with 12\n        consumers\nalarms  none");
        for width in 10..40 {
            for line in fields(rows(), Some(width)).lines() {
                assert!(measure_text_width(line) <= width.into(), "{width}: {line}");
            }
        }
    }
}
