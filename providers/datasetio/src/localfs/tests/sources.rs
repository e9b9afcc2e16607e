//! Where rows come from, and from where they must not come.

use super::{Kept, dataset};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chaski_provider::Declarer;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Cursor, Write},
    sync::atomic::{AtomicUsize, Ordering},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// The table of the tests in each form, with its media type and the ending of its name.
fn files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let csv = b"name,count,share\none,1,0.5\n\"two, three\",,2\n".to_vec();
    let tabs = b"name\tcount\tshare\none\t1\t0.5\ntwo, three\t\t2\n".to_vec();
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(String::from_utf8(csv.clone()).unwrap().encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let rows = rows();
    let lines = format!("{}\n{}\n", rows[0], rows[1]);
    vec![
        ("text/csv", "csv", csv),
        ("text/csv", "csv", wide),
        ("text/tab-separated-values", "tsv", tabs),
        ("application/json", "json", rows.to_string().into()),
        ("application/x-ndjson", "jsonl", lines.into()),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", workbook()),
    ]
}

fn rows() -> Value {
    json!([
        { "name": "one", "count": 1, "share": 0.5 },
        { "name": "two, three", "count": null, "share": 2 },
    ])
}

fn workbook() -> Vec<u8> {
    const TYPES: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let text = |place: &str, text: &str| {
        format!("<c r='{place}' t='inlineStr'><is><t>{text}</t></is></c>")
    };
    let names = [("A1", "name"), ("B1", "count"), ("C1", "share")];
    let names: String = names.map(|(place, name)| text(place, name)).concat();
    let sheet = format!(
        "<worksheet><sheetData><row>{names}</row>\
         <row>{}<c r='B2'><v>1</v></c><c r='C2'><v>0.5</v></c></row>\
         <row>{}<c r='C3'><v>2</v></c></row></sheetData></worksheet>",
        text("A2", "one"),
        text("A3", "two, three")
    );
    let relation = |kind: &str, target: &str| {
        format!(
            "<Relationships><Relationship Id='r1' Type='{TYPES}/{kind}' Target='{target}'/></Relationships>"
        )
    };
    let book = "<workbook><sheets><sheet name='S' sheetId='1' r:id='r1'/></sheets></workbook>";
    zipped(&[
        ("_rels/.rels", &relation("officeDocument", "xl/workbook.xml")),
        ("xl/workbook.xml", book),
        ("xl/_rels/workbook.xml.rels", &relation("worksheet", "worksheets/sheet1.xml")),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

fn zipped(members: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Bytes as they stand in a `data:` URL.
fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes))
}

#[tokio::test]
async fn every_form_of_a_table_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new();
    for (media_type, ending, bytes) in files() {
        let source = json!({ "uri": data_url(media_type, &bytes) });
        let given = dataset("d", source);
        assert_eq!(kept.all(&given, Declarer::Request).await.unwrap(), rows(), "{media_type}");
        let path = folder.path().join(format!("table.{ending}"));
        fs::write(&path, bytes).unwrap();
        for uri in [path.display().to_string(), format!("file://{}", path.display())] {
            let declared = dataset("d", json!({ "uri": uri }));
            let read = kept.all(&declared, Declarer::Configuration).await.unwrap();
            assert_eq!(read, rows(), "{uri}");
        }
    }
}

#[tokio::test]
async fn addresses_are_fetched_and_read_by_their_names_or_media_types() {
    let upstream = FakeUpstream::start(|seen| {
        let path = seen.path.split('?').next().unwrap();
        let wanted = path.strip_prefix("/table.").unwrap_or_default().to_owned();
        let file = files().into_iter().find(|(_, ending, _)| *ending == wanted);
        match file {
            Some((_, _, bytes)) => Answer::new("application/octet-stream", bytes),
            None if seen.path == "/typed" => {
                Answer::new("text/csv; charset=utf-8", files()[0].2.clone())
            }
            None => Answer::text("none").status(404),
        }
    })
    .await;
    let place = upstream.url().trim_start_matches("http://").parse().unwrap();
    let kept = Kept::with(&json!({}), Some(place));
    for path in ["table.csv", "table.xlsx?x=1", "table.json#top", "table.jsonl", "typed"] {
        let uri = format!("{}/{path}", upstream.url());
        let source = dataset("d", json!({ "uri": uri }));
        assert_eq!(kept.all(&source, Declarer::Request).await.unwrap(), rows(), "{uri}");
    }
    let missing = kept.refusal(&format!("{}/none.csv", upstream.url())).await;
    assert!(missing.starts_with("the rows of dataset `d` cannot be read: "), "{missing}");
    assert!(missing.ends_with("was answered with status 404"), "{missing}");
}

#[tokio::test]
async fn a_file_is_read_anew_for_its_first_row_and_remembered_for_the_next_ones() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&asked);
    let upstream = FakeUpstream::start(move |_: &chaski_testkit::Seen| {
        let time = counted.fetch_add(1, Ordering::SeqCst);
        Answer::text(format!("n\n{time}\n{time}\n"))
    })
    .await;
    let place = upstream.url().trim_start_matches("http://").parse().unwrap();
    let kept = Kept::with(&json!({}), Some(place));
    let source = dataset("d", json!({ "uri": format!("{}/x.csv", upstream.url()) }));
    assert_eq!(kept.part(&source, 0, Some(1)).await, json!([[{ "n": 0 }], 1]));
    assert_eq!(kept.part(&source, 1, Some(1)).await, json!([[{ "n": 0 }], null]));
    assert_eq!(kept.part(&source, 0, Some(1)).await, json!([[{ "n": 1 }], 1]));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_its_remedy() {
    let kept = Kept::with(&json!({ "max_bytes": 100_000 }), None);
    let bomb = zipped(&[("xl/workbook.xml", &"x".repeat(10_000_000))]);
    for (uri, words) in [
        ("ftp://x/y.csv", "Unsupported file type: ftp://x/y.csv; use a CSV"),
        ("https://x.example/y.parquet?a=b", "Unsupported file type: https://x.example/y.parquet"),
        ("huggingface://datasets/x", "Unsupported file type: huggingface:"),
        ("", "Unsupported file type: ;"),
        ("/etc/passwd", "Unsupported file type: /etc/passwd"),
        ("file://elsewhere/x.csv", "Unsupported file type"),
        ("http://127.0.0.1:9/x.csv", "may not be fetched"),
        ("http://169.254.169.254/latest.json", "may not be fetched"),
        ("http://user:secret@x.example/x.csv", "credentials"),
        ("data:text/csv", "no comma"),
        ("data:text/csv;base64,???", "is not base64"),
        ("data:text/csv,", "no text"),
        ("data:application/json,{}", "a list of objects"),
        ("data:application/json,%FF", "UTF-8"),
        ("data:image/png,abc", "XLSX"),
        ("data:text/csv,a%0A1,2", "row 2 has 2 cells"),
        (&data_url("x/y", &bomb), "XLSX"),
        (&format!("data:text/csv,a{}", "b".repeat(100_000)), "more than 100000 bytes"),
    ] {
        let message = kept.refusal(uri).await;
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains("secret"), "{message}");
        let complete =
            message.starts_with("Unsupported") || message.starts_with("the rows of dataset `d`");
        assert!(complete, "{message}");
    }
}

/// D-6: a request reads no file of the server, whatever it calls it.
#[tokio::test]
async fn requests_read_files_of_the_configured_folders_only() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    fs::create_dir_all(open.join("deep")).unwrap();
    fs::write(open.join("deep/a.csv"), "n\n1\n").unwrap();
    fs::write(folder.path().join("secret.csv"), "n\n2\n").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.csv"), open.join("link.csv")).unwrap();
    let kept = Kept::with(&json!({ "folders": [open] }), None);
    let root = folder.path().display();
    let allowed = dataset("d", json!({ "uri": format!("file://{root}/open/deep/a.csv") }));
    assert_eq!(kept.all(&allowed, Declarer::Request).await.unwrap(), json!([{ "n": 1 }]));
    let refusals = [
        format!("file://{root}/secret.csv"),
        format!("{root}/secret.csv"),
        format!("{root}/open/../secret.csv"),
        format!("{root}/open/%2e%2e/secret.csv"),
        format!("file://{root}/open/%2e%2e/secret.csv"),
        format!("{root}/open/link.csv"),
        format!("{root}/none.csv"),
        format!("{root}/open/none.csv"),
        "secret.csv".to_owned(),
    ];
    for uri in refusals {
        let message = kept.refusal(&uri).await;
        assert!(message.contains("requests may not name files of the server"), "{uri}: {message}");
        let by_operator = dataset("d", json!({ "uri": uri }));
        let read = kept.all(&by_operator, Declarer::Configuration).await;
        let is_there = uri.contains("secret.csv") || uri.contains("link.csv");
        let expected = is_there && uri.contains('/') && !uri.starts_with(&format!("{root}/open/%"));
        assert_eq!(read.is_ok(), expected, "{uri}");
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new();
    let path = folder.path().join("folder.csv");
    fs::create_dir(&path).unwrap();
    let declared = dataset("d", json!({ "uri": path }));
    let error = kept.all(&declared, Declarer::Configuration).await.unwrap_err();
    assert!(error.message.ends_with("it is not a regular file"), "{error}");
    let declared = dataset("d", json!({ "uri": folder.path().join("none.csv") }));
    let error = kept.all(&declared, Declarer::Configuration).await.unwrap_err();
    assert!(error.message.ends_with("the file does not exist"), "{error}");
}
