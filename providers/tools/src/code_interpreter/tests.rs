use super::{CodeInterpreterConfig, given, render};
use chaski_api::{Reader, Wire, inference::InterleavedContent, retrieval::RagSource};
use chaski_provider::ProviderConfig;
use chaski_sandbox::{Captured, Outcome, ProducedFile, Status};
use serde_json::{Value, json};

fn outcome(status: Status, stdout: &str, stderr: &str) -> Outcome {
    let captured = |text: &str| Captured { text: text.to_owned(), left_out: 0 };
    Outcome {
        status,
        stdout: captured(stdout),
        stderr: captured(stderr),
        notes: Vec::new(),
        files: Vec::new(),
    }
}

fn file(name: &str, content: Option<&[u8]>) -> ProducedFile {
    let bytes = content.map_or(9_000_000, <[u8]>::len) as u64;
    ProducedFile { name: name.to_owned(), bytes, content: content.map(<[u8]>::to_vec) }
}

fn text(outcome: Outcome) -> String {
    let InterleavedContent::Text(text) = render::result(outcome).content else {
        panic!("there are no images");
    };
    text
}

#[test]
fn results_have_the_form_of_the_reference() {
    assert_eq!(text(outcome(Status::Completed, "2\n", "")), "completed\n[stdout]\n2\n[/stdout]");
    assert_eq!(text(outcome(Status::Completed, "", "")), "completed");
    assert_eq!(
        text(outcome(Status::Completed, "a\nb\n", "ValueError: x\n")),
        "completed\n[stdout]\na\nb\n[/stdout]\n[stderr]\nValueError: x\n[/stderr]"
    );
    let ended =
        Outcome { notes: vec!["one".into(), "two".into()], ..outcome(Status::Timeout, "", "") };
    assert_eq!(text(ended), "timeout\n[note]\none\ntwo\n[/note]");
}

#[test]
fn files_are_listed_and_short_texts_shown() {
    let files = vec![
        file("a.csv", Some(b"1,2\n")),
        file("b.bin", Some(b"\0\x01")),
        file("big", None),
        file("odd\n]name", Some(b"x")),
    ];
    assert_eq!(
        text(Outcome { files, ..outcome(Status::Completed, "", "") }),
        "completed\n[note]\nof the files of a call, 8388608 bytes together are returned\n[/note]\n\
         [files]\na.csv (4 bytes)\nb.bin (2 bytes)\nbig (9000000 bytes, not returned)\n\
         odd__name (1 bytes)\n[/files]\n[file a.csv]\n1,2\n[/file]\n[file odd__name]\nx\n[/file]"
    );
}

#[test]
fn images_are_part_of_the_content() {
    let png = b"\x89PNG\r\n\x1a\nrest".as_slice();
    let files = (0..6).map(|number| file(&format!("{number}.png"), Some(png))).collect();
    let result = render::result(Outcome { files, ..outcome(Status::Completed, "", "") });
    let content = serde_json::to_value(result.content).unwrap();
    assert_eq!(content[0]["type"], "text");
    assert_eq!(
        content[1],
        json!({ "type": "image", "image": { "url": null, "data": "iVBORw0KGgpyZXN0" } })
    );
    assert_eq!(content.as_array().unwrap().len(), 5);
}

#[test]
fn files_are_attachments_with_all_that_is_in_them() {
    let png = b"\x89PNG\r\n\x1a\nrest".as_slice();
    let table = "1,2\n".repeat(300_000);
    let files = vec![
        file("big.zip", None),
        file("link.txt", Some(b"https://example.com")),
        file("out/plot", Some(png)),
        file("t.csv", Some(table.as_bytes())),
        file("x.bin", Some(b"\0\xff")),
    ];
    let result = render::result(Outcome { files, ..outcome(Status::Completed, "", "") });
    let uri = |uri: &str| json!({ "uri": uri });
    let of = |name: &str, mime_type: &str, bytes: usize, content: Value| json!({ "name": name, "mime_type": mime_type, "bytes": bytes, "content": content });
    let image = json!({ "type": "image", "image": { "url": null, "data": "iVBORw0KGgpyZXN0" } });
    let link = uri("data:text/plain;base64,aHR0cHM6Ly9leGFtcGxlLmNvbQ==");
    assert_eq!(
        result.metadata.unwrap()["attachments"],
        json!([
            of("big.zip", "application/zip", 9_000_000, Value::Null),
            of("link.txt", "text/plain", 19, link),
            of("out/plot", "image/png", 12, image),
            of("t.csv", "text/csv", table.len(), table.into()),
            of(
                "x.bin",
                "application/octet-stream",
                2,
                uri("data:application/octet-stream;base64,AP8=")
            ),
        ])
    );
    assert_eq!(render::result(outcome(Status::Completed, "", "")).metadata, None);
}

#[test]
fn files_come_as_texts_and_as_data_urls() {
    let read = |source: Value| {
        given(("a".to_owned(), RagSource::from_json(source).unwrap())).map(|(_, content)| content)
    };
    assert_eq!(read(json!("data: é")).unwrap(), "data: é".as_bytes());
    assert_eq!(read(json!({ "uri": "data:;base64,AP8=" })).unwrap(), b"\0\xff");
    for (source, why) in [
        (json!({ "uri": "https://example.com/a" }), "does not begin with `data:`"),
        (json!({ "type": "image", "image": { "data": "" } }), "must be a text"),
    ] {
        let message = read(source).unwrap_err().message;
        assert!(
            message.starts_with("the file `a` in `files`") && message.contains(why),
            "{message}"
        );
    }
}

fn problems(config: Value) -> Vec<String> {
    let mut reader = Reader::default();
    let config = CodeInterpreterConfig::read(config, &mut reader).unwrap();
    config.validate(&mut reader);
    let issues = reader.finish(Some(config)).err().unwrap_or_default();
    issues.iter().map(ToString::to_string).collect()
}

#[test]
fn numbers_that_make_no_sense_are_named() {
    assert_eq!(problems(json!({})), Vec::<String>::new());
    assert_eq!(
        problems(json!({ "timeout_seconds": 0, "max_sessions": -1 })),
        [
            "timeout_seconds: must be an integer from 1 to 3600, not 0",
            "max_sessions: must be an integer from 1 to 256, not -1"
        ]
    );
}
