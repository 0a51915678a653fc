//! Tables for a terminal.

use super::printable::printable;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width};
use console::Term;

/// Empty columns between two columns of a table.
pub(crate) const GAP: u16 = 2;

/// A text is not cut below this width; columns at the right are left out first.
const TEXT_WIDTH_MIN: u16 = 12;

/// The width of the terminal that standard output goes to; `None` for a pipe and a file.
pub(crate) fn terminal_width() -> Option<u16> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| terminal.size().1)
}

/// On which side the cells of a column stand below each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// For texts, which may be cut.
    Left,
    /// For numbers, which are never cut.
    Right,
}

/// [`columns`] of which the first has names and the others have numbers.
pub(crate) fn list<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    width: Option<u16>,
) -> String {
    let headings = headings.into_iter().enumerate().map(|(at, heading)| {
        (heading.to_owned(), if at == 0 { Alignment::Left } else { Alignment::Right })
    });
    columns(headings, rows.into_iter().map(Vec::from), width)
}

/// One line for the headings and one for each row. Control characters are escaped.
///
/// With a `width`, no line is longer: texts are cut with `…`, and where even short texts leave no place, the
/// columns at the right are left out. A number is never cut.
pub(crate) fn columns(
    headings: impl IntoIterator<Item = (String, Alignment)>,
    rows: impl IntoIterator<Item = Vec<String>>,
    width: Option<u16>,
) -> String {
    let (headings, alignments): (Vec<_>, Vec<_>) = headings.into_iter().unzip();
    let mut table = borderless();
    let row = |cells: Vec<String>| {
        let mut row = Row::from(cells.iter().map(|cell| printable(cell)));
        row.max_height(1);
        row
    };
    table.set_header(row(headings));
    table.add_rows(rows.into_iter().map(row));
    for (at, (column, alignment)) in table.column_iter_mut().zip(&alignments).enumerate() {
        let alignment = match alignment {
            Alignment::Left => CellAlignment::Left,
            Alignment::Right => CellAlignment::Right,
        };
        column.set_padding((gap_before(at), 0)).set_cell_alignment(alignment);
    }
    if let Some(width) = width {
        let contents: Vec<_> =
            table.column_max_content_widths().into_iter().zip(alignments.iter().copied()).collect();
        let shown = fit_columns(&contents, width);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_constraint(match (shown.get(at), alignments.get(at)) {
                (Some(width), Some(Alignment::Left)) => {
                    ColumnConstraint::Absolute(Width::Fixed(*width + gap_before(at)))
                }
                (Some(_), _) => ColumnConstraint::ContentWidth,
                (None, _) => ColumnConstraint::Hidden,
            });
        }
    }
    table.trim_fmt()
}

fn gap_before(column: usize) -> u16 {
    if column == 0 { 0 } else { GAP }
}

/// [`fit_columns`] of which the first has names and the others have numbers.
pub(crate) fn fit(contents: &[u16], width: u16) -> Vec<u16> {
    let contents = contents
        .iter()
        .enumerate()
        .map(|(at, content)| (*content, if at == 0 { Alignment::Left } else { Alignment::Right }));
    fit_columns(&contents.collect::<Vec<_>>(), width)
}

/// The widths of the columns that a line of this width has place for, given the widths of their contents: as many
/// as go in with a [`GAP`] before each, texts narrowed if need be. What is left over goes to the texts, to those
/// first that need little.
fn fit_columns(contents: &[(u16, Alignment)], width: u16) -> Vec<u16> {
    let mut left = width;
    let mut widths = Vec::new();
    for (at, (content, alignment)) in contents.iter().enumerate() {
        let needed = match alignment {
            Alignment::Left => (*content).min(TEXT_WIDTH_MIN),
            Alignment::Right => *content,
        };
        // The first column is there in any case.
        let needed = if at == 0 { needed.min(left) } else { needed };
        let Some(rest) = left.checked_sub(needed + gap_before(at)) else { break };
        left = rest;
        widths.push(needed);
    }
    let mut lacking: Vec<(u16, &mut u16)> = widths
        .iter_mut()
        .zip(contents)
        .filter(|(_, (_, alignment))| *alignment == Alignment::Left)
        .map(|(width, (content, _))| (content - *width, width))
        .collect();
    lacking.sort_by_key(|(lack, _)| *lack);
    let mut texts = u16::try_from(lacking.len()).unwrap_or(u16::MAX);
    for (lack, width) in lacking {
        let share = lack.min(left / texts);
        *width += share;
        left -= share;
        texts -= 1;
    }
    widths
}

/// A label and a text on each line. Control characters are escaped. With a `width`, a longer text goes on in
/// the next line below itself.
pub(crate) fn fields(
    rows: impl IntoIterator<Item = (impl Into<String>, String)>,
    width: Option<u16>,
) -> String {
    let mut table = borderless();
    table.add_rows(rows.into_iter().map(|(label, text)| [label.into(), printable(&text)]));
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
    fn several_texts_share_what_a_terminal_has() {
        let headings = || {
            let headings =
                [("NAME", Alignment::Left), ("N", Alignment::Right), ("PATTERN", Alignment::Left)];
            headings.map(|(heading, alignment)| (heading.to_owned(), alignment))
        };
        let row = || vec!["short".to_owned(), "1000000".to_owned(), "p".repeat(80)];
        for width in 1..120 {
            let text = columns(headings(), [row()], Some(width));
            for line in text.lines() {
                assert!(measure_text_width(line) <= width.into(), "{width}: {line}");
            }
        }
        let text = columns(headings(), [row()], Some(40));
        assert_eq!(text, format!("NAME         N  PATTERN\nshort  1000000  {}…", "p".repeat(23)));
        assert_eq!(columns(headings(), [row()], Some(20)), "NAME         N\nshort  1000000");
        let whole = columns(headings(), [row()], None);
        assert!(whole.ends_with(&"p".repeat(80)), "{whole}");
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
