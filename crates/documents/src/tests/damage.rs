use super::{PACKAGE, docx, epub, xlsx};
use crate::{ErrorKind, Hints, Limits, formats::pdf, parse};
use std::time::Duration;

/// Files of all kinds, and their names.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.pdf", pdf::tests::simple()),
        ("a.docx", docx()),
        ("a.xlsx", xlsx("<row><c t='s'><v>0</v></c><c><v>1</v></c></row>", "<si><t>a</t></si>")),
        ("a.epub", epub(PACKAGE, "<html><body><h1>One</h1><p>Text</p></body></html>")),
        ("a.html", b"<html><body><main><h1>A</h1><table><tr><td>1<td>2</table></main>".to_vec()),
        ("a.md", "# Ä\n\n- a\n  - b\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n```c\nx\n```\n".into()),
        ("a.csv", b"a,b\n\"1,\n2\",3\n".to_vec()),
        ("a.json", br#"{"a": [1, 2, {"b": "c\"d"}]}"#.to_vec()),
        ("a.rs", b"fn main() {\n    run();\n}\n".to_vec()),
        ("a.txt", "Grüße.\n\nText.\n".into()),
    ]
}

/// Reads a file, which may fail, but not by a panic, and must end with a sound structure.
fn survives(bytes: &[u8], name: &str, what: &str) {
    let limits = Limits { time: Duration::from_secs(20), ..Limits::default() };
    match parse(bytes, &Hints::name(name), &limits) {
        Ok(document) => assert!(document.checked().is_ok(), "{name}, {what}"),
        Err(error) => {
            let harmless = !matches!(error.kind, ErrorKind::Crashed | ErrorKind::Timeout);
            assert!(harmless, "{name}, {what}: {error}");
        }
    }
}

#[test]
fn whole_files_are_read() {
    for (name, bytes) in files() {
        assert!(parse(&bytes, &Hints::name(name), &Limits::default()).is_ok(), "{name}");
    }
}

#[test]
fn files_may_break_off_anywhere() {
    for (name, bytes) in files() {
        for twentieth in 0..20 {
            let end = bytes.len() * twentieth / 20;
            survives(&bytes[..end], name, &format!("cut at {end}"));
        }
    }
}

#[test]
fn bytes_may_be_wrong() {
    let mut dice: u32 = 1;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(dice >> 8).unwrap() % sides
    };
    for (name, bytes) in files() {
        for round in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=round / 6 {
                let at = roll(damaged.len());
                damaged[at] = u8::try_from(roll(256)).unwrap();
            }
            survives(&damaged, name, &format!("round {round}"));
        }
    }
}
