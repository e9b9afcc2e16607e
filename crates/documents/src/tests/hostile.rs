use super::{PACKAGE, docx, docx_members, epub, xlsx};
use crate::{Error, ErrorKind, Hints, Limits, formats::tests::zip, parse};
use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
    time::{Duration, Instant},
};
use zip::{ZipWriter, write::SimpleFileOptions};

fn refused(bytes: &[u8], name: &str, limits: &Limits) -> Error {
    parse(bytes, &Hints::name(name), limits).unwrap_err()
}

/// An archive with one large member of zeros in the place of the document.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in docx_members() {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        if name == "word/document.xml" {
            zip.write_all(&vec![b' '; bytes]).unwrap();
        } else {
            zip.write_all(text.as_bytes()).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_member_that_expands_too_far_is_refused() {
    let bomb = bomb(32 << 20);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let error = refused(&bomb, "a.docx", &Limits::default());
    assert!(error.message.contains("`archive_ratio`"), "{error}");
    let limits = Limits { archive_ratio: 1 << 20, archive_bytes: 16 << 20, ..Limits::default() };
    let error = refused(&bomb, "a.docx", &limits);
    assert!(error.message.contains("`archive_bytes`"), "{error}");
}

#[test]
fn an_archive_of_a_million_members_is_refused_unread() {
    let started = Instant::now();
    let mut file = docx();
    file.extend(b"PK\x01\x02 a directory entry as large as they are..".repeat(1_000_000));
    let error = refused(&file, "a.docx", &Limits::default());
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("`archive_entries`"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn links_in_archives_are_not_followed() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let (name, text) = docx_members()[0];
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    zip.add_symlink("word/document.xml", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let error = refused(&zip.finish().unwrap().into_inner(), "a.docx", &Limits::default());
    assert!(error.message.contains("`word/document.xml` is missing"), "{error}");
}

#[test]
fn names_that_lead_out_of_the_archive_lead_nowhere() {
    let mut members = docx_members();
    members.push(("../../etc/passwd", "root"));
    members.push(("/etc/passwd", "root"));
    let document = parse(&zip(&members), &Hints::default(), &Limits::default()).unwrap();
    assert_eq!(document.text(), "Some text of a document.");
    members[0].1 = "<Relationships><Relationship Id='r' Type='x/officeDocument' \
                    Target='../../../etc/passwd'/></Relationships>";
    assert!(parse(&zip(&members), &Hints::default(), &Limits::default()).is_err());
}

#[test]
fn of_members_with_one_name_one_is_read() {
    let mut members = docx_members();
    members.push((
        "word/documenu.xml",
        "<w:document><w:body><w:p><w:r><w:t>Another text.</w:t></w:r></w:p></w:body></w:document>",
    ));
    let mut file = zip(&members);
    let places: Vec<usize> = memchr::memmem::find_iter(&file, b"documenu").collect();
    for at in places {
        file[at..at + 8].copy_from_slice(b"document");
    }
    let document = parse(&file, &Hints::default(), &Limits::default()).unwrap();
    assert!(["Some text of a document.", "Another text."].contains(&document.text()));
}

#[test]
fn entities_of_books_are_not_declared() {
    let laughs = "<!DOCTYPE p [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>";
    let error = refused(&epub(&format!("{laughs}{PACKAGE}"), "<p>x"), "", &Limits::default());
    assert!(error.message.contains("document type"), "{error}");
    // In a chapter they are text: nothing is expanded or fetched.
    let chapter = format!("{laughs}<html><body><p>&b;</p></body></html>");
    let document = parse(&epub(PACKAGE, &chapter), &Hints::default(), &Limits::default()).unwrap();
    assert!(document.text().ends_with("&b;"), "{}", document.text());
}

#[test]
fn a_text_that_many_cells_share_counts_each_time() {
    // Numbers, because what compresses too well is refused before.
    let text: Vec<String> = (0..150_000).map(|number| number.to_string()).collect();
    let strings = format!("<si><t>{}</t></si>", text.concat());
    let rows = "<row><c t='s'><v>0</v></c></row>".repeat(1000);
    let error = refused(&xlsx(&rows, &strings), "a.xlsx", &Limits::default());
    assert!(error.message.contains("`text_bytes`"), "{error}");
}

#[test]
fn tables_have_a_number_of_cells() {
    let limits = Limits { table_cells: 1000, ..Limits::default() };
    let mut rows = String::new();
    (0..1001).for_each(|row| write!(rows, "<row><c><v>{row}</v></c></row>").unwrap());
    let markdown = "| a | b |\n|---|---|\n".to_owned() + &"| 1 | 2 |\n".repeat(501);
    for (name, bytes) in [
        ("a.xlsx", xlsx(&rows, "")),
        ("a.csv", ",".repeat(1001).into_bytes()),
        ("a.md", markdown.into_bytes()),
    ] {
        let text = String::from_utf8_lossy(&bytes).replace(",,", ",x,");
        let bytes = if name == "a.csv" { text.into_bytes() } else { bytes };
        let error = refused(&bytes, name, &limits);
        assert!(error.message.contains("`table_cells`"), "{name}: {error}");
    }
}

#[test]
fn text_has_a_length() {
    let limits = Limits { text_bytes: 10, ..Limits::default() };
    for (name, bytes) in [
        ("a.docx", docx()),
        ("a.epub", epub(PACKAGE, "<html><body><p>More than ten bytes</p>")),
        ("a.html", b"<p>More than ten bytes".to_vec()),
        ("a.txt", b"More than ten bytes".to_vec()),
        ("a.json", b"[\"More than ten bytes\"]".to_vec()),
        ("a.pdf", crate::formats::pdf::tests::simple()),
    ] {
        let error = refused(&bytes, name, &limits);
        assert!(error.message.contains("`text_bytes`"), "{name}: {error}");
    }
}

#[test]
fn blocks_have_a_number() {
    let limits = Limits { blocks: 100, ..Limits::default() };
    let error = refused("a\n\n".repeat(101).as_bytes(), "a.txt", &limits);
    assert!(error.message.contains("`blocks`"), "{error}");
}

#[test]
fn nesting_has_a_depth() {
    let deep = 100_000;
    for (name, text) in [
        ("a.json", "[".repeat(deep)),
        ("a.json", "{\"a\":".repeat(deep)),
        ("a.html", "<div>".repeat(deep)),
        ("a.html", "<table><tr><td>".repeat(deep)),
        ("a.html", "<ul><li>".repeat(deep)),
    ] {
        let error = refused(text.as_bytes(), name, &Limits::default());
        assert!(error.message.contains("`nesting`"), "{name}: {error}");
    }
}

#[test]
fn repetition_does_not_take_long() {
    let many = 100_000;
    let attributes: Vec<String> = (0..many).map(|n| format!("a{n}=x")).collect();
    for (name, text) in [
        ("a.md", "> ".repeat(many) + "x"),
        ("a.md", "- ".repeat(many) + "x"),
        ("a.md", "[".repeat(many) + "x"),
        ("a.md", "*a **b ".repeat(many / 4)),
        ("a.md", "`a``b".repeat(many / 4)),
        ("a.md", "![[](".repeat(many / 4)),
        ("a.html", "<p><b></p>".repeat(many) + "x"),
        ("a.html", format!("<p {}>x", attributes.join(" "))),
        ("a.html", "</div>".repeat(many) + "x"),
        ("a.html", "<!--".repeat(many) + "-->x"),
        ("a.html", "&amp;".repeat(many)),
        ("a.csv", "\"".repeat(many) + "x"),
        ("a.txt", "\u{c}x".repeat(10_000)),
    ] {
        let started = Instant::now();
        let limits = Limits { time: Duration::from_secs(30), ..Limits::default() };
        let outcome = parse(text.as_bytes(), &Hints::name(name), &limits);
        let beginning: String = text.chars().take(10).collect();
        if let Err(error) = outcome {
            let expected = matches!(error.kind, ErrorKind::TooLarge | ErrorKind::NoText);
            assert!(expected, "{name} of {beginning}: {error}");
        }
        assert!(started.elapsed() < Duration::from_secs(40), "{name} of {beginning}");
    }
}
