//! JSON and JSON Lines: the text is the file itself, or with line breaks where it has none.

use super::File;
use crate::{BlockKind, Document, Format, Result};

/// Bytes a line may have on average before line breaks are put in.
const LINE: usize = 400;

/// Reads JSON. Numbers, escapes and duplicate keys stay as they are written, because values are
/// not decoded; a file that breaks off is read as far as it goes.
pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let text = file.text()?;
    let depth = deepest(&text);
    file.check_nesting(depth)?;
    let lines = memchr::memchr_iter(b'\n', text.trim().as_bytes()).count() + 1;
    let text = if text.len() / lines > LINE { indented(&text, file)? } else { text };
    let end = text.len();
    let mut builder = file.source(Format::Json, text)?;
    builder.mark(BlockKind::Code { language: Some("json".to_owned()) }, 0..end)?;
    builder.finish()
}

/// What a character is, outside of strings and inside.
enum Part {
    Open,
    Close,
    Comma,
    Colon,
    Blank,
    Other,
}

/// The characters of a text with what they mean in JSON.
fn parts(text: &str) -> impl Iterator<Item = (char, Part)> {
    let (mut quoted, mut escaped) = (false, false);
    text.chars().map(move |c| {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return (c, Part::Other);
        }
        let part = match c {
            '{' | '[' => Part::Open,
            '}' | ']' => Part::Close,
            ',' => Part::Comma,
            ':' => Part::Colon,
            c if c.is_whitespace() => Part::Blank,
            c => {
                quoted = c == '"';
                Part::Other
            }
        };
        (c, part)
    })
}

fn deepest(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (_, part) in parts(text) {
        match part {
            Part::Open => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            Part::Close => depth = depth.saturating_sub(1),
            Part::Comma | Part::Colon | Part::Blank | Part::Other => {}
        }
    }
    deepest
}

/// The text with each member on a line of its own.
fn indented(text: &str, file: &File<'_>) -> Result<String> {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut deadline = file.deadline;
    let mut depth = 0_usize;
    let mut opened = false;
    for (c, part) in parts(text) {
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        if matches!(part, Part::Blank) {
            // Values of JSON Lines follow each other with nothing but a line break.
            if depth == 0 && c == '\n' && !out.ends_with('\n') {
                out.push('\n');
            }
            continue;
        }
        if opened && !matches!(part, Part::Close) {
            line(&mut out, depth);
        }
        match part {
            Part::Close => {
                depth = depth.saturating_sub(1);
                if !opened {
                    line(&mut out, depth);
                }
                out.push(c);
            }
            Part::Comma => {
                out.push(c);
                line(&mut out, depth);
            }
            Part::Colon => out.push_str(": "),
            Part::Open | Part::Blank | Part::Other => out.push(c),
        }
        opened = matches!(part, Part::Open);
        depth += usize::from(opened);
        if out.len() > file.limits.text_bytes {
            let limit = file.limits.text_bytes;
            return Err(crate::Error::limit("bytes of text", limit, "text_bytes"));
        }
        deadline.step()?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, builder::Deadline};

    fn indent(text: &str) -> String {
        let limits = Limits::default();
        let deadline = Deadline::new(&limits);
        let file = File { bytes: text.as_bytes(), charset: None, limits: &limits, deadline };
        indented(text, &file).unwrap()
    }

    #[test]
    fn members_get_lines_of_their_own() {
        let text = r#"{"a":[1e400, {}],"a":"x,\"{y","b":[]}"#;
        let wanted =
            "{\n  \"a\": [\n    1e400,\n    {}\n  ],\n  \"a\": \"x,\\\"{y\",\n  \"b\": []\n}";
        assert_eq!(indent(text), wanted);
    }

    #[test]
    fn json_lines_stay_apart() {
        assert_eq!(indent("{}\n{\"a\":1}\n"), "{}\n{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn brackets_in_strings_are_no_nesting() {
        assert_eq!(deepest(r#"["[[[[", "\"[["]"#), 1);
        assert_eq!(deepest("[[[]]]]]"), 3);
    }
}
