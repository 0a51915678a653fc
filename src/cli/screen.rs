//! The other screen of a terminal, for a command that redraws it until a key ends it.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read, Write, stdin};
use tokio::sync::mpsc;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Keys that wait to be looked at; one ends the command, so more are not needed.
const KEYS_MAX: usize = 16;

/// Left when dropped, with the terminal's settings as they were.
pub(crate) struct Screen {
    /// The settings of standard input, when that is a terminal.
    settings: Option<Termios>,
    keys: mpsc::Receiver<u8>,
}

impl Screen {
    /// Shows the other screen, and takes keys one by one, not line by line.
    pub(crate) fn enter() -> io::Result<Self> {
        let mut output = io::stdout().lock();
        output.write_all(ENTER.as_bytes())?;
        output.flush()?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        if !stdin().is_terminal() {
            return Ok(Self { settings: None, keys });
        }
        let settings = tcgetattr(stdin())?;
        let mut by_key = settings.clone();
        by_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &by_key)?;
        // A read can't be taken back: the thread ends with the process.
        std::thread::spawn(move || {
            for key in stdin().lock().bytes().map_while(Result::ok) {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Ok(Self { settings: Some(settings), keys })
    }

    /// Waits for the key `q`. Without a terminal to type at it waits for ever.
    pub(crate) async fn quit(&mut self) {
        while let Some(key) = self.keys.recv().await {
            if key.eq_ignore_ascii_case(&b'q') {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs neither settings nor a cursor.
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
        }
        let mut output = io::stdout().lock();
        let _ = output.write_all(LEAVE.as_bytes()).and_then(|()| output.flush());
    }
}
