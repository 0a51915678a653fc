//! The table of `top` on the other screen of a terminal, which leaves what was there before as it was.

use super::HEADINGS;
use crate::cli::printable::printable;
use crate::cli::table::{self, GAP};
use console::truncate_str;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use std::io;
use tokio::sync::mpsc;

/// Events that wait to be looked at. The thread that reads them waits when there are more.
const EVENTS_MAX: usize = 64;

type Cells = [String; HEADINGS.len()];

/// Left when dropped, with the terminal's settings as they were.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<Event>,
    view: View,
}

/// What the user did.
pub(super) enum Input {
    /// What is to be seen has changed: [`Screen::draw`].
    Redraw,
    Quit,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        // A read can't be taken back: the thread ends with the process.
        std::thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { terminal, events, view: View::default() })
    }

    /// Waits for a key that means something here, or for another size of the terminal. A terminal that is
    /// gone ends it.
    pub(super) async fn input(&mut self) -> Input {
        loop {
            match self.events.recv().await {
                Some(Event::Key(key)) if is_quit(key) => return Input::Quit,
                Some(Event::Key(key)) if self.view.scroll(key.code) => return Input::Redraw,
                Some(Event::Resize(..)) => return Input::Redraw,
                Some(_) => {}
                None => return Input::Quit,
            }
        }
    }

    pub(super) fn show(&mut self, title: &str, rows: Vec<Cells>) -> io::Result<()> {
        self.view.title = printable(title);
        self.view.rows = rows.into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
        self.draw()
    }

    pub(super) fn draw(&mut self) -> io::Result<()> {
        self.terminal.draw(|frame| self.view.draw(frame)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// The terminal sends no signal for Ctrl-C while keys are read one by one.
fn is_quit(key: KeyEvent) -> bool {
    let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('q' | 'Q') => true,
        KeyCode::Char('c') => is_interrupt,
        _ => false,
    }
}

/// What is on the screen. Its texts are printable.
#[derive(Default)]
struct View {
    title: String,
    rows: Vec<Cells>,
    /// The first row to be seen.
    first: usize,
    /// Rows that had a place when it was drawn last.
    height: usize,
}

impl View {
    /// Whether the key moves what is to be seen.
    fn scroll(&mut self, key: KeyCode) -> bool {
        let page = self.height.max(1);
        self.first = match key {
            KeyCode::Up => self.first.saturating_sub(1),
            KeyCode::Down => self.first + 1,
            KeyCode::PageUp => self.first.saturating_sub(page),
            KeyCode::PageDown => self.first + page,
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => return false,
        };
        self.first = self.first.min(self.first_max());
        true
    }

    fn first_max(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let one = Constraint::Length(1);
        let [title, _, table, foot] =
            Layout::vertical([one, one, Constraint::Fill(1), one]).areas(frame.area());
        // One row holds the headings.
        self.height = usize::from(table.height.saturating_sub(1));
        self.first = self.first.min(self.first_max());
        let cut = |text: &str| Line::from(truncate_str(text, title.width.into(), "…").into_owned());
        frame.render_widget(cut(&self.title), title);
        frame.render_widget(cut(&self.foot()), foot);
        let mut state = TableState::default().with_offset(self.first);
        frame.render_stateful_widget(self.table(table.width), table, &mut state);
    }

    fn foot(&self) -> String {
        let (first, all) = (self.first + 1, self.rows.len());
        let last = all.min(self.first + self.height);
        match all > self.height {
            true => format!("q quits, arrows scroll; queues {first} to {last} of {all} by lag"),
            false => "q quits".to_owned(),
        }
    }

    /// Names are cut where they have no place, numbers never: the last columns are left out.
    fn table(&self, width: u16) -> Table<'_> {
        let mut contents = HEADINGS.map(|heading| Line::from(heading).width());
        for row in &self.rows {
            for (content, cell) in contents.iter_mut().zip(row) {
                *content = Line::from(cell.as_str()).width().max(*content);
            }
        }
        let contents = contents.map(|content| u16::try_from(content).unwrap_or(u16::MAX));
        let widths = table::fit(&contents, width);
        let name_width = widths.first().copied().unwrap_or_default().into();
        let row = |cells: [&str; HEADINGS.len()]| {
            let [name, numbers @ ..] = cells;
            let name = Text::from(truncate_str(name, name_width, "…").into_owned());
            let numbers = numbers.map(|number| Text::from(number.to_owned()).right_aligned());
            let shown = widths.len();
            Row::new([name].into_iter().chain(numbers).take(shown).collect::<Vec<_>>())
        };
        let rows = self.rows.iter().map(|cells| row(cells.each_ref().map(String::as_str)));
        Table::new(rows, widths.iter().copied().map(Constraint::Length))
            .header(row(HEADINGS))
            .column_spacing(GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::measure_text_width;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn view(names: impl IntoIterator<Item = String>) -> View {
        let row = |name: String| {
            let mut cells: Cells = Default::default();
            cells.fill("1000".to_owned());
            cells[0] = printable(&name);
            cells
        };
        View {
            title: "127.0.0.1:15672: queues".to_owned(),
            rows: names.into_iter().map(row).collect(),
            ..View::default()
        }
    }

    /// The lines of a terminal of this size.
    fn drawn(view: &mut View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |row| {
            let (mut line, mut column) = (String::new(), 0);
            while column < width {
                // A wide character hides the cell behind it.
                let symbol = buffer[(column, row)].symbol();
                line.push_str(symbol);
                column += u16::try_from(measure_text_width(symbol)).unwrap().max(1);
            }
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    #[test]
    fn whole_numbers_are_shown_at_any_width() {
        let names = ["q".repeat(255), "日".repeat(60), "bad\x1b]0;pwned\x07".to_owned()];
        let mut view = view(names);
        for width in 20..140 {
            let lines = drawn(&mut view, width, 10);
            assert_eq!(lines.len(), 10);
            for line in &lines[2..6] {
                assert!(!line.contains('\x1b'), "{line}");
                let numbers = line.split_whitespace().skip(1);
                let is_whole = |number: &str| HEADINGS.contains(&number) || number == "1000";
                assert!(numbers.clone().all(is_whole), "{width}: {line}");
                assert!(numbers.count() > 0, "{width}: {line}");
                assert!(measure_text_width(line) <= width.into(), "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_has_no_place_is_counted_and_scrolls_into_sight() {
        let mut view = view((0..100).map(|number| format!("queue-{number:02}")));
        // A title, an empty line, the headings, five rows, and the last line.
        let lines = drawn(&mut view, 80, 9);
        assert!(lines[3].starts_with("queue-00") && lines[7].starts_with("queue-04"), "{lines:?}");
        assert!(lines[8].contains("queues 1 to 5 of 100"), "{lines:?}");
        for (key, first) in [
            (KeyCode::Down, "queue-01"),
            (KeyCode::PageDown, "queue-06"),
            (KeyCode::Up, "queue-05"),
            (KeyCode::End, "queue-95"),
            (KeyCode::Down, "queue-95"),
            (KeyCode::Home, "queue-00"),
        ] {
            assert!(view.scroll(key));
            let lines = drawn(&mut view, 80, 9);
            assert!(lines[3].starts_with(first), "{key:?}: {lines:?}");
        }
        assert!(!view.scroll(KeyCode::Char('x')));
    }

    #[test]
    fn rows_that_go_do_not_leave_an_empty_screen() {
        let mut view = view((0..100).map(|number| format!("queue-{number:02}")));
        drawn(&mut view, 80, 9);
        view.scroll(KeyCode::End);
        view.rows.truncate(3);
        let lines = drawn(&mut view, 80, 9);
        assert!(lines[3].starts_with("queue-00") && lines[8] == "q quits", "{lines:?}");
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_on() {
        let mut view = view(["orders".to_owned()]);
        for (width, height) in [(1, 1), (2, 3), (5, 4), (300, 2)] {
            drawn(&mut view, width, height);
        }
    }
}
