//! Text from a broker, made safe for a terminal.
//!
//! Names, errors and headers are chosen by clients that may declare or publish. Printed as they are, a name could
//! move the cursor, change colours, set the terminal's title, or show its letters in another order. Message
//! bodies that `consume` prints are data and stay as they are.

use serde_json::Value;
use std::fmt::Write;

/// The text with every character that a terminal obeys instead of shows written as an escape:
/// `\n`, `\t`, `\x1b`, `\u{202e}`. A backslash stays as it is, so names that are plain text do not change.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            character if character.is_control() && character.is_ascii() => {
                let _ = write!(shown, "\\x{:02x}", u32::from(character));
            }
            character if character.is_control() || is_format(character) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            character => shown.push(character),
        }
    }
    shown
}

/// Text of several lines with every character escaped that a terminal obeys, but for the line feeds.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON on one line, in which also the control characters that JSON allows as they are stand as escapes.
pub(crate) fn json_line(value: &Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        if character.is_control() || is_format(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(character);
        }
    }
    line
}

/// Unicode's marks for the direction of text and its separators of lines and paragraphs, and characters
/// without a width, with which two different names would look alike.
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("bad\x1b[31mred\x1b]0;t\x07"), "bad\\x1b[31mred\\x1b]0;t\\x07");
        assert_eq!(printable("a\nb\r\tc\u{9b}d\u{202e}e"), "a\\nb\\r\\tc\\u{9b}d\\u{202e}e");
        assert_eq!(printable_lines("a\x08\nb"), "a\\x08\nb");
    }

    #[test]
    fn json_says_the_same_and_commands_nothing() {
        let value = serde_json::json!({ "name": "a\x1b\u{9b}\u{e0041}" });
        let line = json_line(&value);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        assert!(line.is_ascii(), "{line}");
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["orders", "été.日本", "a\\b", "😀"] {
            assert_eq!(printable(name), name);
        }
    }
}
