//! Keeps data from forging lines or steering a terminal.

use std::fmt::Write;

/// The most bytes of one text in a line; the rest is replaced by its length.
pub(crate) const MAX_TEXT: usize = 4096;

/// Whether a character moves the cursor, starts an escape sequence, ends a line or turns the
/// direction of the text around.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

/// Appends `text` with everything that steers written as an escape, cut at [`MAX_TEXT`].
pub(crate) fn push_plain(out: &mut String, text: &str) {
    let (kept, rest) = cut(text);
    for character in kept.chars() {
        if steers(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    push_rest(out, rest);
}

/// The text as it may stand in a JSON string, before JSON's own escaping.
pub(crate) fn capped(text: &str) -> String {
    let (kept, rest) = cut(text);
    let mut out = kept.to_owned();
    push_rest(&mut out, rest);
    out
}

/// Replaces what JSON leaves unescaped although a terminal would obey it.
pub(crate) fn push_json(out: &mut String, json: &str) {
    let mut units = [0; 2];
    for character in json.chars() {
        if steers(character) {
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
}

fn cut(text: &str) -> (&str, usize) {
    let kept = &text[..text.floor_char_boundary(MAX_TEXT)];
    (kept, text.len() - kept.len())
}

fn push_rest(out: &mut String, rest: usize) {
    if rest > 0 {
        // Writing to a string cannot fail.
        let _ = write!(out, "... ({rest} more bytes)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_as_escapes() {
        let mut out = String::new();
        push_plain(&mut out, "a\nERROR forged\r\u{1b}[31mred\u{9b}x\u{202e}y \u{e9}\t");
        assert_eq!(out, "a\\nERROR forged\\r\\u{1b}[31mred\\u{9b}x\\u{202e}y \u{e9}\\t");
    }

    #[test]
    fn json_keeps_its_meaning_and_steers_no_terminal() {
        let text = "bell\u{7}\u{9b}31m\u{202e}";
        let mut out = String::new();
        push_json(&mut out, &serde_json::to_string(text).unwrap());
        assert!(out.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let mut out = String::new();
        push_plain(&mut out, &"\u{e9}".repeat(MAX_TEXT));
        assert!(out.ends_with("... (4096 more bytes)"));
        assert!(out.len() < MAX_TEXT + 40);
    }
}
