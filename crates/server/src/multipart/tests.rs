use super::{Form, FormLimits, Part};
use crate::pipeline::Unread;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use std::{convert::Infallible, time::Duration};

const TYPE: &str = "multipart/form-data; boundary=XX";

fn limits() -> FormLimits {
    FormLimits { bytes: 1 << 20, pause: Duration::from_secs(20) }
}

type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// A body that arrives in pieces of `size` bytes.
fn body(text: &[u8], size: usize) -> Pieces {
    let pieces: Vec<_> =
        text.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    StreamBody::new(stream::iter(pieces))
}

fn words(failure: &Unread) -> String {
    match failure {
        Unread::Refused(error) => error.message.clone(),
        Unread::Late => "late".to_owned(),
    }
}

/// The parts of a form with their content, or what is wrong with it.
async fn read(text: &[u8], size: usize) -> Result<Vec<(Part, Vec<u8>)>, String> {
    let mut form = Form::new(TYPE, body(text, size), limits()).map_err(|error| error.message)?;
    let mut parts = Vec::new();
    while let Some(part) = form.next().await.map_err(|failure| words(&failure))? {
        let mut content = Vec::new();
        while let Some(piece) = form.chunk().await.map_err(|failure| words(&failure))? {
            content.extend_from_slice(&piece);
        }
        parts.push((part, content));
    }
    Ok(parts)
}

fn part(name: &str, filename: Option<&str>) -> Part {
    Part { name: name.to_owned(), filename: filename.map(str::to_owned) }
}

#[tokio::test]
async fn a_form_is_read_however_it_is_cut() {
    let content = b"line\r\n--X\r\n--XY\r\r\n\0\xff--XX\n";
    let mut text = b"preamble\r\n--XX \t\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--XX\r\nX-Other: 1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: text/plain\r\n\r\n".to_vec();
    text.extend_from_slice(content);
    text.extend_from_slice(b"\r\n--XX\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--XX\r\nContent-Disposition: form-data; name=bare\r\n\r\n--XX--\r\nepilogue");
    for size in [1, 2, 3, 7, 64, text.len()] {
        let parts = read(&text, size).await.unwrap();
        let expected = [
            (part("purpose", None), b"assistants".to_vec()),
            (part("file", Some("a.bin")), content.to_vec()),
            (part("empty", None), Vec::new()),
            (part("bare", None), Vec::new()),
        ];
        assert_eq!(parts, expected, "in pieces of {size}");
    }
}

#[tokio::test]
async fn what_is_not_read_is_passed_over() {
    let text = b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n123\r\n--XX\r\nContent-Disposition: form-data; name=b\r\n\r\n4\r\n--XX--";
    let mut form = Form::new(TYPE, body(text, 5), limits()).unwrap();
    assert_eq!(form.next().await.ok().flatten(), Some(part("a", None)));
    assert_eq!(form.next().await.ok().flatten(), Some(part("b", None)));
    assert_eq!(form.text("b", 10).await.ok().as_deref(), Some("4"));
    assert!(form.next().await.is_ok_and(|part| part.is_none()));
    assert!(form.next().await.is_ok_and(|part| part.is_none()));
}

#[tokio::test]
async fn broken_forms_are_refused_with_the_reason() {
    let head = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let many = format!("{head}x\r\n").repeat(65);
    let long = format!("--XX\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    let dashes = format!("--XX\r\n{}", "-".repeat(1 << 20));
    for (text, reason) in [
        ("", "it ends before"),
        ("no boundary at all", "it ends before"),
        (&*"z".repeat(40_000), "first boundary is missing"),
        ("--XX", "it ends before"),
        ("--XX\r\n", "it ends before"),
        (head, "it ends before"),
        (&*format!("{head}content\r\n--X"), "it ends before"),
        ("--XXYY\r\n", "followed by other characters"),
        ("--XX\r\n\r\ncontent\r\n--XX--", "no `content-disposition`"),
        ("--XX\r\nA: b\r\n\r\ncontent\r\n--XX--", "no `content-disposition`"),
        ("--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--", "no name"),
        (&*many, "more than 64 parts"),
        (&*long, "head of a part has more than"),
        (&*dashes, "head of a part has more than"),
        (&*format!("{head}{}", "x".repeat(1 << 20)), "the body has more than"),
    ] {
        let refused = read(text.as_bytes(), 1000).await.unwrap_err();
        assert!(refused.contains(reason), "{refused} for {}", &text[..text.len().min(80)]);
    }
    assert!(read(b"--XX\r\nX: \xff\r\n\r\n", 1000).await.unwrap_err().contains("UTF-8"));
    // What follows the last boundary is not read for ever.
    let endless = format!("{head}x\r\n--XX{}", "-".repeat(900_000));
    assert_eq!(read(endless.as_bytes(), 1000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn text_is_limited_and_must_be_text() {
    let form = |content: &[u8]| {
        let head = b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        let text = [head, content, b"\r\n--XX--"].concat();
        Form::new(TYPE, body(&text, 10), limits()).unwrap()
    };
    for (content, reason) in [(&b"0123456789"[..], "more than 9 bytes"), (b"\xff", "UTF-8")] {
        let mut form = form(content);
        assert!(form.next().await.is_ok());
        let refused = form.text("a", 9).await.err().map(|failure| words(&failure)).unwrap();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn the_boundary_must_be_there_and_plain() {
    let good = |content_type: &str| super::boundary(content_type).unwrap();
    assert_eq!(good("multipart/form-data; boundary=a"), "a");
    assert_eq!(good("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), "a b");
    let long = format!("multipart/form-data; boundary={}", "-".repeat(10_000_000));
    for bad in [
        "",
        "application/json",
        "multipart/mixed; boundary=a",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a\u{e9}",
        &*long,
    ] {
        assert!(super::boundary(bad).is_err(), "{}", &bad[..bad.len().min(60)]);
    }
}
